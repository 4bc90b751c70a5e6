import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { issueFlattenedJws } from '../../../../src/seal/jws.ts'
import { fromBase64Url, toBase64Url, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { ERASURE_TYP, encodeErasureOrder, parseErasureOrder } from '../../../../src/verify/documents/erasure.ts'
import { type EventFile, parseEventFile } from '../../../../src/verify/documents/event-file.ts'
import type { EventType } from '../../../../src/verify/documents/event-statement.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { encodePolicy } from '../../../../src/verify/documents/policy.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey } from '../../../../src/verify/tlog/index.ts'
import { exitCodeOf } from '../../../../src/verify/verdict.ts'
import { defined } from '../../../support/defined.ts'
import { buildEvent, type EventPlan, sampleDestroyed } from '../../../support/event-builder.ts'
import {
  digestOf,
  gatewayMlDsa,
  log,
  owner,
  ownerThumbprint,
  sampleHeader,
  samplePolicy,
  submitter,
} from '../../../support/job-documents.ts'
import { noteSigner, testBytes, testKey } from '../../../support/keys.ts'
import { buildReceipt, mlDsaTrust, sampleTrust } from '../../../support/receipt-builder.ts'

const TYPES: readonly EventType[] = ['erasure', 'hold', 'onboard', 'revocation']
const mallory = testKey('mallory')

async function failures(bytes: Uint8Array, trust: TrustFile | null = sampleTrust): Promise<readonly string[]> {
  const verdict = await verifyReceiptFile(bytes, { trust })
  if (verdict.decision === 'accept') return []
  if (verdict.parsed === null) return [verdict.error?.code ?? 'none']
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
}

async function attacked(type: EventType, plan: Partial<EventPlan>): Promise<readonly string[]> {
  return failures((await buildEvent(type, plan)).bytes)
}

const change =
  (parts: object) =>
  (file: EventFile): EventFile => ({ ...file, ...parts })

describe.each(TYPES)('the receipt file of an event of type %s', (type) => {
  it('is accepted, with the time of the log', async () => {
    const { bytes } = await buildEvent(type)
    const verdict = await verifyReceiptFile(bytes, { trust: sampleTrust })
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    expect(verdict).toMatchObject({ decision: 'accept', claims: { type, loggedAt: '2026-05-28T20:26:40Z', log: { index: 3 } } })
  })

  it('has nobody to vouch for it without a trust file', async () => {
    const { bytes } = await buildEvent(type)
    const verdict = await verifyReceiptFile(bytes, { trust: null })
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'SIGNER_UNKNOWN' } })
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it('needs the ML-DSA signature where the trust file demands it', async () => {
    expect(await failures((await buildEvent(type, { mlDsa: gatewayMlDsa })).bytes, mlDsaTrust)).toEqual([])
    expect(await failures((await buildEvent(type)).bytes, mlDsaTrust)).toEqual(['signature.gateway-ml-dsa'])
  })

  it('of a gateway, or in a log, that nobody trusts', async () => {
    expect(await attacked(type, { signers: [mallory] })).toEqual(['policy.trusted-gateway'])
    const { bytes } = await buildEvent(type)
    expect(await failures(bytes, { ...sampleTrust, logs: [] })).toContain('policy.trusted-log')
  })

  it('with a second signer, another subject, or the proof of another kind of entry', async () => {
    expect(await attacked(type, { signers: [mallory, testKey('gateway')] })).toContain('format.signatures')
    expect(await attacked(type, { subject: toHex(testBytes('another', 32)) })).toEqual(['signature.subject'])
    expect(await attacked(type, { leaf: { type: 'lost' } })).toEqual(['signature.log-leaf'])
    expect(await attacked(type, { leaf: { ends: [toBase64Url(testBytes('a release', 32))] } })).toEqual(['signature.log-leaf'])
  })

  it('of another type, relabelled', async () => {
    const other = TYPES.find((t) => t !== type) ?? 'erasure'
    const { file } = await buildEvent(other)
    expect(await attacked(type, { file: change({ receipt: file.receipt }) })).toEqual(['DOCUMENT_INVALID'])
  })

  it('with one byte changed, or cut anywhere', { timeout: 240_000 }, async () => {
    const { bytes } = await buildEvent(type)
    for (const [n, i] of offsets(new TextDecoder('latin1').decode(bytes)).entries()) {
      const changed = bytes.slice()
      changed[i] = defined(bytes[i]) ^ (1 << (n % 7))
      expect((await verifyReceiptFile(changed, { trust: sampleTrust })).decision, `byte ${i}`).toBe('reject')
    }
    for (let i = 0; i < bytes.length; i += 97) {
      expect((await verifyReceiptFile(bytes.subarray(0, i), { trust: sampleTrust })).decision, `cut at ${i}`).toBe('reject')
    }
  })

  it('is read and written as the same bytes, and whatever the bytes are, they are refused in words', async () => {
    const { bytes, file } = await buildEvent(type)
    expect(parseEventFile(bytes)).toEqual(file)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (junk) => {
        expect((await verifyReceiptFile(junk, { trust: sampleTrust })).decision).toBe('reject')
      }),
      { numRuns: 50 },
    )
  })
})

/** Every byte of an erasure, the smallest; of the others every byte of form and a sample of what lies in base64. */
function offsets(text: string): number[] {
  const stride = text.length < 12_000 ? 1 : 61
  const inside = new Set<number>()
  for (const { index, 0: match } of text.matchAll(/"[^"]*"/g)) {
    if (match.length <= 80) continue
    for (let i = index + 3; i < index + match.length - 3; i++) if (i % stride !== 0) inside.add(i)
  }
  return Array.from(text, (_, i) => i).filter((i) => !inside.has(i))
}

describe('an erasure', () => {
  it('says what was destroyed, and that this is the word of who says so', async () => {
    const verdict = await verifyReceiptFile((await buildEvent('erasure')).bytes, { trust: sampleTrust })
    expect(verdict).toMatchObject({ claims: { owner: ownerThumbprint, destroyed: sampleDestroyed, reason: 'Art. 17 GDPR' } })
    expect(verdict.notChecked).toEqual(['destruction (the word of gateway and owner)'])
  })

  it('ordered by another owner than the header names', async () => {
    expect(await attacked('erasure', { owner: mallory })).toEqual(['signature.owner'])
    expect(await attacked('erasure', { owner: submitter })).toEqual(['signature.owner'])
  })

  it('of an owner whom nobody trusts', async () => {
    expect(await failures((await buildEvent('erasure')).bytes, { ...sampleTrust, owners: [] })).toEqual(['policy.trusted-owner'])
  })

  it('with an order for another dataset', async () => {
    expect(await attacked('erasure', { order: { dataset: toBase64Url(testBytes('another', 32)) } })).toEqual(['signature.dataset'])
  })

  it('with the header of another dataset of the same owner', async () => {
    const header = toBase64Url(encodeHeader(sampleHeader({ plaintextSize: 7 })))
    expect(await attacked('erasure', { file: change({ header }) })).toEqual([
      'signature.subject',
      'signature.dataset',
      'signature.stated-dataset',
    ])
  })

  it('with an order that was not the one that was carried out', async () => {
    const { file } = await buildEvent('erasure')
    if (file.type !== 'sealgate/erasure-file/v1') throw new Error('not an erasure')
    const { payload } = JSON.parse(new TextDecoder().decode(fromBase64Url(file.order))) as { payload: string }
    const order = encodeErasureOrder({ ...parseErasureOrder(fromBase64Url(payload)), stopJobs: false })
    const other = toBase64Url(await issueFlattenedJws(order, ERASURE_TYP, owner.jwk))
    expect(await attacked('erasure', { file: change({ order: other }) })).toEqual(['signature.order'])
  })

  it('with other counts than were signed', async () => {
    const { file } = await buildEvent('erasure', { predicate: { destroyed: { ...sampleDestroyed, openings: 500 } } })
    expect(await attacked('erasure', { file: change({ receipt: file.receipt }) })).toEqual(['signature.log-entry', 'signature.log-leaf'])
    const jws = JSON.parse(new TextDecoder().decode(fromBase64Url(file.receipt))) as { payload: string }
    const payload = toBase64Url(Buffer.from(Buffer.from(jws.payload, 'base64url').toString().replace('"openings":500', '"openings":501')))
    const receipt = toBase64Url(Buffer.from(JSON.stringify({ ...jws, payload })))
    expect(await attacked('erasure', { file: change({ receipt }) })).toEqual(['SIGNATURE_INVALID'])
  })

  it('under another policy, or none, than the owner ordered', async () => {
    const policy = toBase64Url(encodePolicy(samplePolicy({ maximumAge: { checkpointSeconds: 1, collateralSeconds: 1 } })))
    expect(await attacked('erasure', { file: change({ policy }) })).toEqual(['signature.policy'])
    expect(await attacked('erasure', { file: change({ policy: null }) })).toEqual(['signature.policy'])
    const bare = await buildEvent('erasure', { order: { policy: null }, file: change({ policy: null }) })
    expect(await failures(bare.bytes)).toEqual([])
  })

  it('whose policy demands witnesses that did not cosign', async () => {
    const witnesses = ['w1.example', 'w2.example'].map((name) => noteSigner(name))
    const keys = await Promise.all(
      witnesses.map(({ name, publicKey }) => encodeVerifierKey({ name, type: COSIGNATURE_ED25519, publicKey })),
    )
    const policy = { witnessing: { mode: 'quorum', k: 2, keys: [...keys].sort() } } as const
    const trust = { ...sampleTrust, witnesses: [...keys].sort() }
    const { bytes } = await buildEvent('erasure', { policy, cosigners: [log, ...witnesses] })
    expect(await verifyReceiptFile(bytes, { trust })).toMatchObject({ decision: 'accept', claims: { log: { witnesses: '2 of 2' } } })
    const alone = await buildEvent('erasure', { policy, cosigners: [log, ...witnesses.slice(0, 1)] })
    expect(await failures(alone.bytes, trust)).toContain('signature.log-entry')
    expect(await failures(bytes)).toEqual(['policy.trusted-witnesses'])
  })

  it('posing as the receipt of a job, or the other way round', async () => {
    const job = await buildReceipt()
    expect(await attacked('erasure', { file: change({ receipt: job.file.receipt }) })).toEqual(['JWS_MALFORMED'])
    const { file } = await buildEvent('erasure')
    const posing = await buildReceipt({ file: (f) => ({ ...f, receipt: file.receipt }) })
    expect(await failures(posing.bytes)).toEqual(['JWS_MALFORMED'])
  })
})

describe('a hold', () => {
  it('counts only under the key that signed the grant', async () => {
    expect(await attacked('hold', { owner: mallory })).toEqual(['signature.owner'])
  })

  it('is of the grant beside it, and what is stated', async () => {
    expect(await attacked('hold', { hold: { grant: await digestOf(testBytes('another', 9)) } })).toEqual(['signature.grant'])
    const stated = await digestOf(testBytes('stated', 9))
    expect(await attacked('hold', { predicate: { owner: stated } })).toEqual(['signature.stated-owner'])
    expect(await attacked('hold', { predicate: { grant: stated } })).toEqual(['signature.stated-grant'])
    expect(await attacked('hold', { predicate: { hold: stated } })).toEqual(['signature.hold'])
  })
})

describe('a revocation', () => {
  it('by somebody else than who granted', async () => {
    expect(await attacked('revocation', { owner: mallory })).toEqual(['signature.owner'])
  })

  it('of another grant', async () => {
    expect(await attacked('revocation', { revocation: { grant: await digestOf(testBytes('another', 9)) } })).toEqual(['signature.grant'])
  })

  it('of which the gateway states another owner or grant', async () => {
    const stated = toBase64Url(testBytes('another', 32))
    expect(await attacked('revocation', { predicate: { owner: stated } })).toEqual(['signature.stated-owner'])
    expect(await attacked('revocation', { predicate: { grant: stated } })).toEqual(['signature.stated-grant'])
    expect(await attacked('revocation', { predicate: { revocation: stated } })).toEqual(['signature.revocation'])
  })
})

describe('an onboarding', () => {
  it('with evidence for another challenge, another role, or of nobody’s platform', async () => {
    expect(await attacked('onboard', { binding: { nonce: toBase64Url(testBytes('another', 32)) } })).toContain('freshness.binding-nonce')
    expect(await attacked('onboard', { binding: { role: 'session' } })).toContain('binding.role')
    expect(await failures((await buildEvent('onboard')).bytes, { ...sampleTrust, simulatedRoots: [] })).toContain('binding.ear')
  })

  it('with a result that says more than the evidence', async () => {
    const { statement } = await buildEvent('onboard')
    const { predicate } = JSON.parse(new TextDecoder().decode(statement)) as { predicate: { ear: object } }
    const ear = { ...predicate.ear, simulated: false } as never
    expect(await attacked('onboard', { predicate: { ear } })).toContain('binding.ear')
    const refused = { ...predicate.ear, status: 'contraindicated' } as never
    expect(await attacked('onboard', { predicate: { ear: refused } })).toEqual(['policy.ear'])
  })

  it('long after its collateral ran out', async () => {
    expect((await attacked('onboard', { time: 1_780_000_000 + 50 * 365 * 86_400 })).length).toBeGreaterThan(0)
  })
})
