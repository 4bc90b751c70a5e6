import { describe, expect, it } from 'vitest'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { exitCodeOf } from '../../../../src/verify/verdict.ts'
import { gateway, owner, ownerThumbprint } from '../../../support/job-documents.ts'
import { testKey } from '../../../support/keys.ts'
import { buildReceipt, type Ending, MEASUREMENT, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

const ENDINGS: readonly Ending[] = [
  'execution',
  'lost',
  'refusal-released',
  'refusal-unread',
  'refusal-attested',
  'refusal-alone',
  'refusal-rejected',
  'refusal-early',
]

async function verify(changes: Partial<Plan> = {}, trust: TrustFile | null = sampleTrust): Promise<ReceiptVerdict> {
  return verifyReceiptFile((await buildReceipt(changes)).bytes, { trust })
}

const failed = ({ checks }: ReceiptVerdict): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)

describe('an honest receipt', () => {
  it.each(ENDINGS)('of a job that ended in %s is accepted', async (ending) => {
    const verdict = await verify({ ending })
    expect(failed(verdict)).toEqual([])
    expect(verdict.decision).toBe('accept')
    expect(verdict.authentic).toBe(true)
  })

  it('tells on one page who, what, on which data, where, when, and how it ended', async () => {
    const verdict = await verify()
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({
      type: 'execution',
      outcome: { kind: 'succeeded', exitCode: 0 },
      purpose: 'https://w3id.org/dpv#ScientificResearch',
      owners: [ownerThumbprint],
      image: { runner: 'wasm' },
      argv: ['classify', '--threshold', '0.5'],
      data: [{ name: 'data.csv', legal: { agreement: 'DPA-2026-017' } }],
      tee: 'sev-snp',
      measurement: MEASUREMENT,
      simulated: true,
      isolation: { grade: 'wasm-process' },
      releasedAt: '2026-05-28T20:26:40Z',
      endedAt: '2026-05-28T20:27:20Z',
      deadline: '2026-05-28T21:00:00Z',
      log: { origin: 'log.example/sealgate', witnesses: 'none' },
    })
  })

  it('says what it did not check where the gateway alone refused', async () => {
    expect((await verify({ ending: 'refusal-rejected' })).notChecked).toEqual(['evidence', 'grants', 'policies'])
    expect((await verify({ ending: 'refusal-early' })).notChecked).toEqual(['grants', 'policies'])
    expect((await verify()).notChecked).toEqual([])
  })

  it('lists every rule that it tested, each with what it wanted and found', async () => {
    const { checks } = await verify()
    expect(checks.length).toBeGreaterThan(80)
    for (const check of checks) expect(check.want !== '' && check.got !== '', check.rule).toBe(true)
  })
})

describe('trust', () => {
  const cases: readonly (readonly [string, Partial<TrustFile>, readonly string[]])[] = [
    ['the gateway', { gateways: [] }, ['policy.trusted-gateway']],
    ['the owner', { owners: [] }, ['policy.trusted-owner']],
    ['the log', { logs: [] }, ['policy.trusted-log']],
    ['anyone', { gateways: [], owners: [], logs: [] }, ['policy.trusted-gateway', 'policy.trusted-owner', 'policy.trusted-log']],
  ]
  it.each(cases)('that does not name %s rejects: signers unknown, exit 5', async (_, changes, want) => {
    const verdict = await verify({}, { ...sampleTrust, ...changes })
    expect(failed(verdict)).toEqual(want)
    expect(verdict).toMatchObject({ decision: 'reject', authentic: true, error: { code: 'SIGNER_UNKNOWN' } })
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it.each(ENDINGS)('that is not given rejects a receipt of kind %s as consistent, signers unknown, exit 5', async (ending) => {
    const verdict = await verify({ ending }, null)
    expect(verdict).toMatchObject({ decision: 'reject', authentic: true, error: { code: 'SIGNER_UNKNOWN' } })
    expect(verdict.parsed).toMatchObject({ jobId: expect.stringMatching(/^.{22}$/) })
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it('that is not given leaves simulated evidence unchecked where the receipt brings no root, and rejects', async () => {
    const verdict = await verify({ endorsements: [] }, null)
    expect(verdict).toMatchObject({ decision: 'reject', notChecked: ['evidence'], error: { code: 'SIGNER_UNKNOWN' } })
  })

  it('that is not given still shows contradictions first', async () => {
    const verdict = await verify({ predicate: { jobId: 'A'.repeat(22) } }, null)
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false, error: { code: 'RECEIPT_INCONSISTENT' } })
    expect(exitCodeOf(verdict.checks)).toBe(4)
  })

  it('without the simulated root rejects simulated evidence, even if the receipt brings the root along', async () => {
    const verdict = await verify({}, { ...sampleTrust, simulatedRoots: [] })
    expect(failed(verdict)).toEqual(['chain.issuer'])
    expect(exitCodeOf(verdict.checks)).toBe(4)
  })

  it('in another owner does not reach data of this one', async () => {
    const stranger = testKey('stranger')
    const verdict = await verify({ keys: { ...defaults, owner: stranger, releaser: stranger } })
    expect(failed(verdict)).toContain('policy.trusted-owner')
  })
})

const defaults: Plan['keys'] = { submitter: testKey('submitter'), owner, releaser: owner, job: testKey('job'), gateway }

describe('a file that is not a receipt file', () => {
  it('is rejected as malformed, exit 3', async () => {
    const { bytes } = await buildReceipt()
    const text = new TextDecoder().decode(bytes)
    const inputs: readonly (readonly [string, Uint8Array | string])[] = [
      ['DOCUMENT_INVALID', '{}'],
      ['JSON_MALFORMED', ''],
      ['JSON_MALFORMED', 'receipt'],
      ['JSON_NOT_CANONICAL', `${text}\n`],
      ['JSON_NOT_CANONICAL', JSON.stringify(JSON.parse(text), null, 2)],
      ['JSON_NOT_CANONICAL', text.replace('{"contract"', '{"contract":"AA","contract"')],
      ['DOCUMENT_INVALID', text.replace('"v":1}', '"v":1,"vv":1}')],
      ['DOCUMENT_INVALID', text.replace('"v":1}', '"v":2}')],
      ['DOCUMENT_INVALID', '[]'],
      ['ENCODING_INVALID', Uint8Array.of(0xff, 0xfe)],
      ['DOCUMENT_INVALID', new Uint8Array(16 * 1024 * 1024 + 1)],
    ]
    for (const [code, input] of inputs) {
      const verdict = await verifyReceiptFile(typeof input === 'string' ? new TextEncoder().encode(input) : input, { trust: sampleTrust })
      expect(verdict).toMatchObject({ decision: 'reject', authentic: false, parsed: null, error: { code } })
      expect(exitCodeOf(verdict.checks)).toBe(3)
    }
  })
})
