import { type Item, type ItemOutcome, itemKey, itemManifestName } from '../documents/array.ts'
import type { Contract } from '../documents/contract.ts'
import type { Grant } from '../documents/grant.ts'
import type { Statement } from '../documents/statement.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'

/**
 * Whether a grant allows the items of a contract. One use of a grant is one run unless its owner says otherwise, so a grant
 * without `items` allows none.
 */
export function allowsItems({ items }: Pick<Grant, 'items'>, wanted: readonly Item[]): boolean {
  if (items === undefined) return false
  if (items === null) return true
  const allowed = new Set(items.map(itemKey))
  return wanted.every((item) => allowed.has(itemKey(item)))
}

/**
 * Whether a statement lists the items of its contract, each once and in their order, and names what every item left that was
 * run: nothing else, nothing twice, nothing missing. Without results it names nothing of them. That a statement without items has
 * one subject alone is for the caller.
 */
export function itemListChecks(contract: Contract, { subject, predicate }: Statement): readonly Check[] {
  const wanted = predicate.type === 'execution' ? (contract.array?.items.length ?? null) : null
  const items = predicate.items ?? null
  const listed = check(
    'signature.items',
    wanted === (items?.length ?? null),
    wanted === null ? 'no items' : `${wanted} items`,
    items === null ? 'no items' : `${items.length} items`,
  )
  if (items === null) return [listed]
  const ran = items.findIndex(({ kind }) => kind === 'not-run')
  const done = ran < 0 ? items : items.slice(0, ran)
  const succeeded = items.filter(({ kind }) => kind === 'succeeded').length
  const whole = succeeded === items.length
  const unsealed = subject[0]?.name === 'contract'
  // Results that could not be sealed make a failure of any job.
  const fits = predicate.outcome.kind === 'succeeded' ? whole : !whole || unsealed
  return [
    listed,
    check(
      'signature.item-outcomes',
      fits && items.every(exitFits),
      'success where every item succeeded, with exit code 0',
      `${succeeded} of ${items.length} succeeded, the job ${predicate.outcome.kind}`,
    ),
    check(
      'signature.item-order',
      items.slice(done.length).every(({ kind }) => kind === 'not-run') && stopped(contract, done),
      'one item after the other, and none after the end',
      `${done.length} of ${items.length} run first`,
    ),
    ...subjectCheck(subject, unsealed ? [] : done.map((_, i) => itemManifestName(i))),
  ]
}

/** Where the first failure ends the job, only the last one run may have failed. */
function stopped({ array }: Contract, done: readonly ItemOutcome[]): boolean {
  return array?.onItemFailure !== 'stop' || done.slice(0, -1).every(({ kind }) => kind === 'succeeded')
}

function exitFits({ kind, exitCode }: ItemOutcome): boolean {
  if (kind === 'succeeded') return exitCode === 0
  return kind === 'failed' || kind === 'output-too-large' || exitCode === null
}

function subjectCheck(subject: Statement['subject'], names: readonly string[]): readonly Check[] {
  const got = subject.slice(1).map((s) => s.name)
  const fits = got.length === names.length && names.every((name, i) => got[i] === name)
  return [check('signature.item-subjects', fits, `${names.length} manifests of items, in their order`, `${got.length} further subjects`)]
}
