import { describe, expect, it } from 'vitest'
import { issueFlattenedJws } from '../../../../src/seal/jws.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { ArrayTerms, ItemOutcome } from '../../../../src/verify/documents/array.ts'
import { CONTRACT_TYP, encodeContract } from '../../../../src/verify/documents/contract.ts'
import type { Predicate, Statement } from '../../../../src/verify/documents/statement.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { headerBytes, policyBytes, sampleContract, submitter } from '../../../support/job-documents.ts'
import { buildReceipt, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

const ARRAY: ArrayTerms = { items: [['a'], ['b'], ['c']], itemLimits: { timeMs: 1000, outputBytes: 1000 }, onItemFailure: 'continue' }
const DONE: ItemOutcome = { kind: 'succeeded', exitCode: 0 }
const FAILED: ItemOutcome = { kind: 'failed', exitCode: 3 }
const NOT_RUN: ItemOutcome = { kind: 'not-run', exitCode: null }
const SUM = '5a'.repeat(32)

const subjects = (...places: readonly number[]): Statement['subject'] => [
  { name: 'results.sealed', digest: { sha256: SUM } },
  ...places.map((i) => ({ name: `items/${i}/manifest.json`, digest: { sha256: `${i}a`.repeat(32) } })),
]
const outcome = (kind: 'succeeded' | 'failed' | 'cancelled'): Predicate['outcome'] => ({
  kind,
  exitCode: kind === 'succeeded' ? 0 : null,
  code: kind === 'succeeded' ? null : 'JOB_FAILED',
  reason: 'a test',
})

function plan(predicate: Partial<Predicate> = {}, subject = subjects(0, 1, 2), changes: Partial<Plan> = {}): Partial<Plan> {
  return {
    contract: { array: ARRAY },
    grant: { items: ARRAY.items },
    predicate: { items: [DONE, DONE, DONE], outputs: [], outcome: outcome('succeeded'), ...predicate },
    statement: { subject },
    ...changes,
  }
}

async function failures(of: Partial<Plan>): Promise<readonly string[]> {
  const { bytes } = await buildReceipt(of)
  const verdict = await verifyReceiptFile(bytes, { trust: sampleTrust })
  return verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
}

describe('the receipt of an array job', () => {
  it.each<[string, Partial<Plan>]>([
    ['every item succeeded', plan()],
    ['one failed', plan({ items: [DONE, FAILED, DONE], outcome: outcome('failed') })],
    [
      'it was cancelled in the middle',
      plan({ items: [DONE, { kind: 'cancelled', exitCode: null }, NOT_RUN], outcome: outcome('cancelled') }, subjects(0, 1)),
    ],
    [
      'the first failure stopped it',
      plan({ items: [FAILED, NOT_RUN, NOT_RUN], outcome: outcome('failed') }, subjects(0), {
        contract: { array: { ...ARRAY, onItemFailure: 'stop' } },
      }),
    ],
  ])('is accepted where %s', async (_, of) => {
    expect(await failures(of)).toEqual([])
  })

  it.each<[string, Partial<Plan>, readonly string[]]>([
    ['an item is missing', plan({ items: [DONE, DONE] }, subjects(0, 1)), ['signature.items']],
    ['there is an item more', plan({ items: [DONE, DONE, DONE, DONE] }, subjects(0, 1, 2, 3)), ['signature.items']],
    ['no item is listed', plan({}, subjects(), { predicate: { outputs: [], outcome: outcome('succeeded') } }), ['signature.items']],
    ['the output of one item is claimed twice', plan({}, subjects(0, 1, 1)), ['signature.item-subjects']],
    ['what an item left is missing', plan({}, subjects(0, 1)), ['signature.item-subjects']],
    ['what an item left has another place', plan({}, subjects(0, 2, 1)), ['signature.item-subjects']],
    [
      'an item that was not run has left something',
      plan({ items: [DONE, DONE, NOT_RUN], outcome: outcome('failed') }),
      ['signature.item-subjects'],
    ],
    ['a failed item makes a success', plan({ items: [DONE, FAILED, DONE] }), ['signature.item-outcomes']],
    ['a success of all makes a failure', plan({ outcome: outcome('failed') }), ['signature.item-outcomes']],
    ['a success has another exit code', plan({ items: [DONE, DONE, { kind: 'succeeded', exitCode: 1 }] }), ['signature.item-outcomes']],
    ['an item is skipped', plan({ items: [DONE, NOT_RUN, DONE], outcome: outcome('failed') }, subjects(0)), ['signature.item-order']],
    [
      'it went on after a failure that ends it',
      plan({ items: [FAILED, DONE, DONE], outcome: outcome('failed') }, subjects(0, 1, 2), {
        contract: { array: { ...ARRAY, onItemFailure: 'stop' } },
      }),
      ['signature.item-order'],
    ],
    [
      'a job without an array lists items',
      plan({ outcome: outcome('succeeded') }, subjects(), { contract: {} }),
      ['signature.items', 'signature.item-subjects'],
    ],
    ['the grant allows no array', plan({}, subjects(0, 1, 2), { grant: {} }), ['policy.grant-items']],
    ['an item lies outside the grant', plan({}, subjects(0, 1, 2), { grant: { items: [['a'], ['b'], ['d']] } }), ['policy.grant-items']],
  ])('is rejected where %s', async (_, of, rules) => {
    expect(await failures(of)).toEqual(rules)
  })

  it('has room for as many items as there may be, each with the longest outcome', async () => {
    const items = Array.from({ length: 1000 }, (_, i) => [`item ${i}`])
    const long: ItemOutcome = { kind: 'output-too-large', exitCode: 255 }
    const of = plan(
      { items: items.map(() => long), outcome: outcome('failed') },
      subjects(...items.keys()).map((s) => ({ ...s, digest: { sha256: SUM } })),
      {
        contract: { array: { ...ARRAY, items } },
        grant: { items },
      },
    )
    expect(await failures(of)).toEqual([])
  })

  it('is rejected where the list of items was swapped after the job was signed, though its submitter signed the new one too', async () => {
    const swapped = await sampleContract(headerBytes, policyBytes, { array: { ...ARRAY, items: [['a'], ['c'], ['b']] } })
    const jws = toBase64Url(await issueFlattenedJws(encodeContract(swapped), CONTRACT_TYP, submitter.jwk))
    expect(await failures(plan({}, subjects(0, 1, 2), { file: (file) => ({ ...file, contract: jws }) }))).toContain('signature.job')
  })
})
