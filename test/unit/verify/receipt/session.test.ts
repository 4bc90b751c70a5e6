import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { issueFlattenedJws } from '../../../../src/seal/jws.ts'
import { fromBase64Url, toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { Contract } from '../../../../src/verify/documents/contract.ts'
import {
  type Exchange,
  encodeSessionFile,
  encodeSessionRecord,
  exchangeCommitment,
  nextHead,
  parseSessionFile,
  parseSessionRecord,
  SESSION_TYP,
  type SessionRecord,
  sessionStart,
  sizeBits,
} from '../../../../src/verify/documents/session.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { type SessionVerdict, verifyReceiptFile, verifySessionFile } from '../../../../src/verify/receipt/index.ts'
import { digestOf, jobKey } from '../../../support/job-documents.ts'
import { type TestKey, testBytes, testKey } from '../../../support/keys.ts'
import { type BuiltReceipt, buildReceipt, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

const b64 = (label: string, size = 32): string => toBase64Url(testBytes(label, size))
const CLIENT = b64('client key')
const SESSION = b64('session', 16)
const IMAGE = { runner: 'docker', digest: `sha256:${'5e'.repeat(32)}` } as const
const SERVICE: NonNullable<Contract['service']> = { protocol: 'http', port: 8000, clients: [CLIENT], idleMs: null }
const EXECUTION = {
  isolation: { runner: 'docker', profile: 'sealgate-container-v1', profileDigest: b64('profile'), grade: 'container' } as const,
}

function servicePlan(head: string, changes: Partial<Plan> = {}): Partial<Plan> {
  return {
    contract: { image: IMAGE, isolation: 'sealgate-container-v1', service: SERVICE },
    grant: { images: [IMAGE], clients: [CLIENT] },
    binding: { tls: b64('tls') },
    predicate: { ...EXECUTION, sessions: [{ session: SESSION, head }] },
    ...changes,
  }
}

let job: string
let receipt: BuiltReceipt
let records: readonly SessionRecord[]

async function record(first: number, before: string, count: number): Promise<SessionRecord> {
  const exchanges: Exchange[] = []
  let head = before
  for (let n = first; n < first + count; n++) {
    const exchange = {
      n,
      request: await exchangeCommitment(testBytes('secret', 32), 'request', n, testBytes(`request ${n}`, 32)),
      response: await exchangeCommitment(testBytes('secret', 32), 'response', n, testBytes(`response ${n}`, 32)),
      requestBits: sizeBits(10),
      responseBits: sizeBits(1000),
      status: 2,
      complete: true,
    }
    exchanges.push(exchange)
    head = await nextHead(head, exchange)
  }
  return { v: 1, job, session: SESSION, client: CLIENT, first, before, exchanges, head }
}

async function fileOf(list: readonly SessionRecord[], key: TestKey = jobKey): Promise<Uint8Array> {
  const signed = await Promise.all(list.map((r) => issueFlattenedJws(encodeSessionRecord(r), SESSION_TYP, key.jwk)))
  return encodeSessionFile({ v: 1, type: 'sealgate/session-file/v1', records: signed.map(toBase64Url), secret: b64('secret') })
}

const verify = (file: Uint8Array, of: BuiltReceipt = receipt, partial = false): Promise<SessionVerdict> =>
  verifySessionFile(file, of.bytes, { trust: sampleTrust, partial })

function failed(verdict: SessionVerdict): string[] {
  expect(verdict.decision).toBe('reject')
  return verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
}

beforeAll(async () => {
  // The contract, and so the job digest, does not depend on what the receipt says.
  job = await digestOf((await buildReceipt(servicePlan(b64('any')))).documents.contract)
  const first = await record(0, await sessionStart({ job, session: SESSION, client: CLIENT }), 3)
  records = [first, await record(3, first.head, 2)]
  receipt = await buildReceipt(servicePlan(records[1]?.head ?? ''))
})

describe('the receipt of a service', () => {
  it('verifies', async () => {
    expect((await verifyReceiptFile(receipt.bytes, { trust: sampleTrust })).decision).toBe('accept')
  })

  it.each<readonly [string, Partial<Plan>, string]>([
    ['a client that the grant does not name', { grant: { images: [IMAGE], clients: [b64('another client')] } }, 'policy.grant-clients'],
    ['a grant that allows no service', { grant: { images: [IMAGE], clients: [] } }, 'policy.grant-clients'],
    ['evidence without a TLS key', { binding: { tls: null } }, 'binding.service-tls'],
    ['no list of sessions', { predicate: { ...EXECUTION, sessions: null } }, 'signature.sessions'],
    [
      'one session twice',
      { predicate: { ...EXECUTION, sessions: [1, 2].map(() => ({ session: SESSION, head: b64('x') })) } },
      'signature.sessions',
    ],
  ])('is rejected for %s', async (_, changes, rule) => {
    const verdict = await verifyReceiptFile((await buildReceipt(servicePlan(b64('head'), changes))).bytes, { trust: sampleTrust })
    expect(verdict.decision).toBe('reject')
    expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toContain(rule)
  })

  it.each<readonly [string, Partial<Plan>, string]>([
    ['a TLS key', { binding: { tls: b64('tls') } }, 'binding.service-tls'],
    ['sessions', { predicate: { sessions: [] } }, 'signature.sessions'],
  ])('of a batch job is rejected for %s', async (_, changes, rule) => {
    const verdict = await verifyReceiptFile((await buildReceipt(changes)).bytes, { trust: sampleTrust })
    expect(verdict.checks.filter((c) => c.outcome === 'fail').map((c) => c.rule)).toContain(rule)
  })
})

describe('a session record', () => {
  it('verifies with the receipt of its job', async () => {
    const verdict = await verify(await fileOf(records))
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: { exchanges: 5, first: 0, incomplete: 0, client: CLIENT, simulated: true },
    })
  })

  it('that ends early is unknown, which rejects unless that is allowed', async () => {
    const early = await fileOf(records.slice(0, 1))
    expect(failed(await verify(early))).toEqual(['binding.session-head'])
    expect((await verify(early, receipt, true)).decision).toBe('accept')
  })

  it('signed by another key is rejected', async () => {
    expect(failed(await verify(await fileOf(records, testKey('stranger'))))).toEqual(['signature.session-key'])
  })

  it('of another job, of a stranger, or that no receipt lists, is rejected', async () => {
    const other = await buildReceipt(
      servicePlan(records[1]?.head ?? '', {
        contract: { image: IMAGE, isolation: 'sealgate-container-v1', service: { ...SERVICE, port: 9 } },
      }),
    )
    expect(failed(await verify(await fileOf(records), other))).toContain('binding.session-job')
    const unlisted = await buildReceipt(servicePlan(b64('head'), { predicate: { ...EXECUTION, sessions: [] } }))
    expect(failed(await verify(await fileOf(records), unlisted, true))).toContain('binding.session-listed')
  })

  it('with an exchange changed, dropped, repeated or moved is rejected', async () => {
    const [first, second] = records as [SessionRecord, SessionRecord]
    const [a, b, c] = first.exchanges as [Exchange, Exchange, Exchange]
    const variants: readonly (readonly SessionRecord[])[] = [
      [{ ...first, exchanges: [{ ...a, status: 5 }, b, c] }, second],
      [{ ...first, exchanges: [a, c] }, second],
      [{ ...first, exchanges: [a, b, b] }, second],
      [{ ...first, exchanges: [b, a, c] }, second],
      [second, first],
      [{ ...first, before: b64('elsewhere') }, second],
      [first, { ...second, session: b64('another', 16) }],
    ]
    for (const variant of variants) expect(failed(await verify(await fileOf(variant), receipt, true))).toEqual(['signature.session-chain'])
  })

  it('with any byte changed is rejected', async () => {
    const file = parseSessionFile(await fileOf(records))
    const signed = fromBase64Url(file.records[0] ?? '')
    for (let i = 0; i < signed.length; i += 7) {
      const changed = signed.slice()
      changed[i] = (changed[i] ?? 0) ^ 1
      const bytes = encodeSessionFile({ ...file, records: [toBase64Url(changed), file.records[1] ?? ''] })
      expect((await verifySessionFile(bytes, receipt.bytes, { trust: sampleTrust, partial: true })).decision, `byte ${i}`).toBe('reject')
    }
  })

  it('gives nothing away about a content that can be guessed', async () => {
    const guess = testBytes('request 0', 32)
    const [first] = records
    expect(await exchangeCommitment(testBytes('secret', 32), 'request', 0, guess)).toBe(first?.exchanges[0]?.request)
    expect(await exchangeCommitment(testBytes('no secret', 32), 'request', 0, guess)).not.toBe(first?.exchanges[0]?.request)
    expect(await exchangeCommitment(testBytes('secret', 32), 'response', 0, guess)).not.toBe(first?.exchanges[0]?.request)
    expect(await exchangeCommitment(testBytes('secret', 32), 'request', 1, guess)).not.toBe(first?.exchanges[0]?.request)
  })

  it('rounds sizes to powers of two', () => {
    expect([0, 1, 2, 3, 4, 1023, 1024, 2 ** 52].map(sizeBits)).toEqual([0, 1, 2, 2, 3, 10, 11, 53])
  })

  it('fails only with an AttestError, whatever the bytes', () => {
    const only = (work: () => unknown): void => {
      try {
        work()
      } catch (error) {
        expect(error).toBeInstanceOf(AttestError)
      }
    }
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 512 }),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        (bytes) => {
          only(() => parseSessionRecord(bytes))
          only(() => parseSessionFile(bytes))
        },
      ),
    )
  })
})
