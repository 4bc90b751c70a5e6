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
  /** Of each release of the receipt, in their order; null where an entry is not proven. */
  readonly releases: readonly ReleaseFacts[] | null
  readonly ending: VerifiedEntry | null
  readonly endingTime: number | null
  readonly provenBy: ProvenBy
}

/** By when the log proves that something existed, seconds since the epoch, under every view. Null: no quorum of witnesses says so. */
export interface ProvenBy {
  /** All releases; where there is none, the ending. */
  readonly releases: number | null
  readonly ending: number | null
}

/** Where one release stands in the log, and when. */
export interface ReleaseFacts {
  readonly entry: VerifiedEntry
  /** Seconds since the epoch that every policy's witnesses vouch for. */
  readonly time: number
  /** By policy digest: the time that this policy's own witnesses vouch for. */
  readonly times: ReadonlyMap<string, number>
}

/** Verifies all entries and the checkpoint in the nonce, as every view demands, and that they follow on each other. */
export async function checkLog(doc: ReceiptDocuments, views: readonly LogView[]): Promise<LogFacts> {
  const seen = await Promise.all(views.map((view) => look(doc, view)))
  const releases = releaseFacts(doc, seen)
  const ending = seen[0]?.ending ?? null
  const endingTime = earliest(seen.map((s) => s.ending))
  const checks = [
    check('signature.log', views.length > 0, 'a log that a policy or the trust file names', `${views.length} named`),
    ...seen.flatMap((s) => s.checks),
    ...(releases === null ? [] : statedReleaseChecks(doc, releases)),
    ...endingChecks(doc, releases, ending),
    ...orderChecks(doc, releases, ending, endingTime),
  ]
  return { checks, releases, ending, endingTime, provenBy: provenBy(doc, seen) }
}

function provenBy(doc: ReceiptDocuments, seen: readonly Seen[]): ProvenBy {
  const ending = provenByOf(seen.map((s) => s.ending))
  return { ending, releases: doc.releases.length === 0 ? ending : provenByOf(seen.flatMap((s) => s.releases)) }
}

/** The latest, and null as soon as one entry has none: no view is left out. */
export function provenByOf(entries: readonly (VerifiedEntry | null)[]): number | null {
  const times = entries.flatMap((e) => e?.checkpoint.provenBy ?? [])
  return times.length === 0 || times.length < entries.length ? null : Math.max(...times)
}

interface Seen {
  readonly view: LogView
  readonly checks: readonly Check[]
  /** In the order of the receipt's releases. */
  readonly releases: readonly (VerifiedEntry | null)[]
  readonly ending: VerifiedEntry | null
}

async function look(doc: ReceiptDocuments, view: LogView): Promise<Seen> {
  const { nonceCheckpoint } = doc
  const want = `an entry of ${view.log.origin}`
  const ending = await attempt('log-ending', want, () => verifyEntry({ ...doc.ending, opening: doc.receipt }, view))
  const releases = await Promise.all(
    doc.releases.map(({ entry, bytes }) => attempt('log-release', want, () => verifyEntry({ ...entry, opening: bytes }, view))),
  )
  const nonce =
    nonceCheckpoint === null
      ? null
      : await attempt('nonce-checkpoint', `a checkpoint of ${view.log.origin}`, () =>
          verifyCheckpoint(nonceCheckpoint, { ...view.log, witnessing: view.witnessing }),
        )
  const checks = [ending, ...releases, nonce].flatMap((a) => (a === null ? [] : [a.check]))
  for (const { value } of releases) {
    if (value === null || nonce?.value == null || view.policy === null) continue
    const { index, checkpoint } = value
    checks.push(...nonceCheckpointChecks(view.policy.value, nonce.value, { index, time: checkpoint.time }))
  }
  return { view, checks, releases: releases.map((r) => r.value), ending: ending.value }
}

/** Null as soon as one release is not proven under one view: nothing is concluded from the rest. */
function releaseFacts(doc: ReceiptDocuments, seen: readonly Seen[]): readonly ReleaseFacts[] | null {
  const facts = doc.releases.flatMap((_, i) => {
    const entry = seen[0]?.releases[i] ?? null
    const time = earliest(seen.map((s) => s.releases[i] ?? null))
    if (entry === null || time === null) return []
    const times = seen.flatMap(({ view, releases }) =>
      view.policy === null ? [] : [[view.policy.digest, releases[i]?.checkpoint.time ?? time] as const],
    )
    return [{ entry, time, times: new Map(times) }]
  })
  return facts.length === doc.releases.length ? facts : null
}

/** The instant at which everything was released; null without a release, or without a proven one. */
export function releasedAt({ releases }: LogFacts): number | null {
  return releases === null || releases.length === 0 ? null : Math.max(...releases.map((r) => r.time))
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

function statedReleaseChecks(doc: ReceiptDocuments, releases: readonly ReleaseFacts[]): readonly Check[] {
  const leaves = releases.flatMap(({ entry }, i) => {
    const intent = doc.releases[i]?.intent
    return intent === undefined ? [] : releaseLeafChecks(entry.leaf, intent)
  })
  if (isUnread(doc)) return leaves
  const proven = releases.map(({ entry, time }) => ({
    leafHash: entry.leafHash,
    index: entry.index,
    treeSize: entry.checkpoint.size,
    time,
  }))
  return [
    same(
      'signature.releases',
      proven,
      doc.statement.predicate.releases.map((r) => ({ ...r })),
    ),
    ...leaves,
  ]
}

/** One ending for all releases of the job: none stays open, and none of another job is closed with it. */
function endingChecks(
  { statement }: ReceiptDocuments,
  releases: readonly ReleaseFacts[] | null,
  ending: VerifiedEntry | null,
): readonly Check[] {
  if (ending === null) return []
  const { type, ends, tags, deadline } = ending.leaf
  return [
    same('signature.ending-type', statement.predicate.type, type),
    same('signature.ending-ends', (releases ?? []).map(({ entry }) => entry.leafHash).sort(), ends),
    same('signature.ending-leaf', { deadline: null, tags: [] }, { deadline, tags }),
  ]
}

function orderChecks(
  doc: ReceiptDocuments,
  releases: readonly ReleaseFacts[] | null,
  ending: VerifiedEntry | null,
  endingTime: number | null,
): readonly Check[] {
  if (releases === null || releases.length === 0 || ending === null || endingTime === null) return []
  const after = ending.checkpoint
  const each = releases.flatMap(({ entry: { index, checkpoint: before }, time }) => {
    const grew = after.size > before.size || (after.size === before.size && equal(after.root, before.root))
    return [
      check('freshness.ending-index', ending.index > index, `after entry ${index}`, String(ending.index)),
      check('signature.log-growth', grew, `a tree of ${before.size} leaves or one that grew from it`, `${after.size} leaves`),
      notBefore('freshness.ending-time', time, endingTime),
    ]
  })
  const last = Math.max(...releases.map((r) => r.time))
  return [...each, ...deadlineChecks(doc, endingTime), ...timingChecks(doc, last, endingTime)]
}

/** What the gateway ends alone may come late: that nobody else ended it in time is just what it says. */
function deadlineChecks(doc: ReceiptDocuments, endingTime: number): readonly Check[] {
  if (!isAgentSigned(doc)) return []
  return doc.releases.map(({ intent: { deadline } }) =>
    check('freshness.deadline-kept', endingTime <= unixSeconds(deadline), `by ${deadline}`, instantOf(endingTime)),
  )
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
