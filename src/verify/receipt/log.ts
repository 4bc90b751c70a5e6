import { same } from '../appraise/check.ts'
import { releaseLeafChecks } from '../appraise/intent-rules.ts'
import { instantOf, nonceCheckpointChecks, unixSeconds } from '../appraise/time-rules.ts'
import { equal } from '../bytes/bytes.ts'
import type { Policy } from '../documents/policy.ts'
import { ERROR_CODES } from '../errors.ts'
import { check } from '../evidence/check.ts'
import { isInputError } from '../evidence/conclude.ts'
import { verifyCheckpoint } from '../tlog/checkpoint.ts'
import { type VerifiedEntry, verifyEntry } from '../tlog/entry.ts'
import type { Check } from '../verdict.ts'
import type { ReceiptDocuments } from './documents.ts'
import { isAgentSigned, isUnread } from './links.ts'

/** A log as one policy believes it; where a receipt has no policy, as the trust file does. */
export interface LogView extends Pick<Policy, 'log' | 'witnessing'> {
  readonly policy: { readonly digest: string; readonly value: Policy } | null
}

/** What the log says of a receipt, once its proofs are verified. */
export interface LogFacts {
  readonly checks: readonly Check[]
  readonly release: VerifiedEntry | null
  readonly ending: VerifiedEntry | null
  /** Seconds since the epoch that every policy's witnesses vouch for; null where nothing is proven. */
  readonly releaseTime: number | null
  readonly endingTime: number | null
  /** By policy digest: the time that this policy's own witnesses vouch for. */
  readonly releaseTimes: ReadonlyMap<string, number>
}

/** Verifies both entries and the checkpoint in the nonce, as every view demands, and that they follow on each other. */
export async function checkLog(doc: ReceiptDocuments, views: readonly LogView[]): Promise<LogFacts> {
  const seen = await Promise.all(views.map((view) => look(doc, view)))
  const release = seen[0]?.release ?? null
  const ending = seen[0]?.ending ?? null
  const releaseTime = earliest(seen.map((s) => s.release))
  const endingTime = earliest(seen.map((s) => s.ending))
  const checks = [
    check('signature.log', views.length > 0, 'a log that a policy or the trust file names', `${views.length} named`),
    ...seen.flatMap((s) => s.checks),
    ...statedReleaseChecks(doc, release, releaseTime),
    ...endingChecks(doc, release, ending),
    ...orderChecks(doc, release, ending, releaseTime, endingTime),
  ]
  const times = seen.flatMap((s) =>
    s.view.policy === null || s.release === null ? [] : [[s.view.policy.digest, s.release.checkpoint.time] as const],
  )
  return { checks, release, ending, releaseTime, endingTime, releaseTimes: new Map(times) }
}

interface Seen {
  readonly view: LogView
  readonly checks: readonly Check[]
  readonly release: VerifiedEntry | null
  readonly ending: VerifiedEntry | null
}

async function look(doc: ReceiptDocuments, view: LogView): Promise<Seen> {
  const { release: logged, intent, nonceCheckpoint } = doc
  const want = `an entry of ${view.log.origin}`
  const ending = await attempt('log-ending', want, () => verifyEntry({ ...doc.ending, opening: doc.receipt }, view))
  const release =
    logged === null || intent === null
      ? null
      : await attempt('log-release', want, () => verifyEntry({ ...logged, opening: intent.bytes }, view))
  const nonce =
    nonceCheckpoint === null
      ? null
      : await attempt('nonce-checkpoint', `a checkpoint of ${view.log.origin}`, () =>
          verifyCheckpoint(nonceCheckpoint, { ...view.log, witnessing: view.witnessing }),
        )
  const checks = [ending, release, nonce].flatMap((a) => (a === null ? [] : [a.check]))
  if (release?.value != null && nonce?.value != null && view.policy !== null) {
    const { index, checkpoint } = release.value
    checks.push(...nonceCheckpointChecks(view.policy.value, nonce.value, { index, time: checkpoint.time }))
  }
  return { view, checks, release: release?.value ?? null, ending: ending.value }
}

/** Does something that proves its result, and says how it went as a check: malformed input is a matter of `format`. */
export async function attempt<T>(
  name: string,
  want: string,
  work: () => Promise<T>,
): Promise<{ readonly check: Check; readonly value: T | null }> {
  try {
    return { value: await work(), check: check(`signature.${name}`, true, want, 'proven') }
  } catch (error) {
    if (!isInputError(error)) throw error
    const group = ERROR_CODES[error.code].exit === 3 ? 'format' : 'signature'
    return { value: null, check: check(`${group}.${name}`, false, want, `${error.code}: ${error.message}`) }
  }
}

function earliest(entries: readonly (VerifiedEntry | null)[]): number | null {
  const times = entries.flatMap((e) => (e === null ? [] : [e.checkpoint.time]))
  return times.length === 0 || times.length < entries.length ? null : Math.min(...times)
}

function statedReleaseChecks(doc: ReceiptDocuments, release: VerifiedEntry | null, time: number | null): readonly Check[] {
  if (release === null || doc.intent === null) return []
  const leaf = releaseLeafChecks(release.leaf, doc.intent.value)
  if (isUnread(doc)) return leaf
  const proven = { leafHash: release.leafHash, index: release.index, treeSize: release.checkpoint.size, time }
  const stated = doc.statement.predicate.release
  return [same('signature.release', proven, stated === null ? null : { ...stated }), ...leaf]
}

function endingChecks({ statement }: ReceiptDocuments, release: VerifiedEntry | null, ending: VerifiedEntry | null): readonly Check[] {
  if (ending === null) return []
  const { type, ends, tags, deadline } = ending.leaf
  return [
    same('signature.ending-type', statement.predicate.type, type),
    same('signature.ending-ends', release?.leafHash ?? null, ends),
    same('signature.ending-leaf', { deadline: null, tags: [] }, { deadline, tags }),
  ]
}

function orderChecks(
  doc: ReceiptDocuments,
  release: VerifiedEntry | null,
  ending: VerifiedEntry | null,
  releaseTime: number | null,
  endingTime: number | null,
): readonly Check[] {
  if (release === null || ending === null || releaseTime === null || endingTime === null) return []
  const [before, after] = [release.checkpoint, ending.checkpoint]
  const grew = after.size > before.size || (after.size === before.size && equal(after.root, before.root))
  return [
    check('freshness.ending-index', ending.index > release.index, `after entry ${release.index}`, String(ending.index)),
    check('signature.log-growth', grew, `a tree of ${before.size} leaves or one that grew from it`, `${after.size} leaves`),
    notBefore('freshness.ending-time', releaseTime, endingTime),
    ...deadlineChecks(doc, endingTime),
    ...timingChecks(doc, releaseTime, endingTime),
  ]
}

/** What the gateway ends alone may come late: that nobody else ended it in time is just what it says. */
function deadlineChecks(doc: ReceiptDocuments, endingTime: number): readonly Check[] {
  if (doc.intent === null || !isAgentSigned(doc)) return []
  const { deadline } = doc.intent.value
  return [check('freshness.deadline-kept', endingTime <= unixSeconds(deadline), `by ${deadline}`, instantOf(endingTime))]
}

/** The enclave's own bounds of now when it finished. */
function timingChecks({ statement }: ReceiptDocuments, releaseTime: number, endingTime: number): readonly Check[] {
  const { timing } = statement.predicate
  if (timing === null) return []
  return [
    notBefore('freshness.timing-begin', releaseTime, timing.notBefore),
    notBefore('freshness.timing-end', timing.notBefore, endingTime),
    notBefore('freshness.timing-bounds', timing.notBefore, timing.notAfter),
  ]
}

function notBefore(rule: Check['rule'], earliest: number, time: number): Check {
  return check(rule, time >= earliest, `not before ${instantOf(earliest)}`, instantOf(time))
}
