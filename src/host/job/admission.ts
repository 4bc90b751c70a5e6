import { type KemKey, type ReleasedKeys, type Secret, unwrapRelease } from '../../seal/index.ts'
import {
  checkpointAgeChecks,
  contractTimeChecks,
  grantTimeChecks,
  intentTimeChecks,
  releaseLeafChecks,
} from '../../verify/appraise/index.ts'
import { useKeyCommitment, useSlotTag } from '../../verify/documents/use-slot.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { type VerifiedEntry, verifyEntry } from '../../verify/tlog/index.ts'
import type { Check } from '../../verify/verdict.ts'
import { timeBounds } from './clock.ts'
import type { JobKeys } from './job-keys.ts'
import { type ReadPart, type ReadRelease, type Release, readRelease } from './read-release.ts'
import { type Attested, RELEASE_RULES } from './release-rules.ts'

/** A release that was checked in full, except for what only the opened keys can tell. */
export interface CheckedRelease extends Omit<ReadRelease, 'parts'> {
  /** In their order in the log. */
  readonly parts: readonly CheckedPart[]
  /** Seconds since the epoch: the latest that every policy's witnesses vouch for. Lower bounds of now count from here. */
  readonly earliestTime: number
  /** Seconds since the epoch: what any policy's witnesses vouch for at most. Upper bounds of now count from here. */
  readonly latestTime: number
}

export interface CheckedPart extends ReadPart {
  /** As the policy sees it that gives it the earliest time. */
  readonly logged: VerifiedEntry
}

/** Data encryption keys by header digest. They must be wiped when they were used. */
export type OpenedKeys = ReadonlyMap<string, Secret>

/**
 * Everything that must hold before a key is opened, in the order of design section 3: the release fits this job, this
 * evidence and this key; whoever the owners' grants name has released, each its own part and nobody else's; the grants allow
 * this contract; the log that the owners' policies name holds every intent; all of it is in time. Trusts no key that the
 * gateway hands over.
 * @param elapsedMs - Monotonic time since the job's keys were made.
 * @throws AttestError with the code and rule of the first thing that does not hold. Nothing was opened then.
 */
export async function verifyRelease(attested: Attested, release: Release, elapsedMs: number): Promise<CheckedRelease> {
  const read = await readRelease(release)
  for (const rule of RELEASE_RULES) refuseUnless(await rule.checks(attested, read), rule.code, rule.codes)
  const parts: CheckedPart[] = []
  const entries: VerifiedEntry[] = []
  for (const part of read.parts) {
    const seen = await verifyLogEntry(read, part)
    verifyTimes(attested, read, part, seen, elapsedMs)
    parts.push({ ...part, logged: seen[0] })
    entries.push(...seen)
  }
  return {
    ...read,
    parts: parts.sort((a, b) => a.logged.index - b.logged.index),
    earliestTime: Math.max(...parts.map((p) => p.logged.checkpoint.time)),
    latestTime: Math.max(...entries.map((e) => e.checkpoint.time)),
  }
}

type Entries = readonly [VerifiedEntry, ...VerifiedEntry[]]

/**
 * Under every policy: each names the log and the witnesses that its owner believes.
 * @returns what each policy makes of the entry, those with the earliest time first.
 */
async function verifyLogEntry({ policies }: ReadRelease, part: ReadPart): Promise<Entries> {
  const entries: VerifiedEntry[] = []
  for (const policy of policies) {
    const entry = await verifyEntry({ ...part.entry, opening: part.intentJws }, policy.document)
    refuseUnless(releaseLeafChecks(entry.leaf, part.intent.document), 'LOG_PROOF_INVALID')
    entries.push(entry)
  }
  const [first, ...rest] = entries.sort((a, b) => a.checkpoint.time - b.checkpoint.time)
  if (first === undefined) throw new AttestError('POLICY_DENIED', 'no policy names a log', { at: 'policies' })
  return [first, ...rest]
}

/**
 * One policy's witnesses must not shorten what another's grant is worth: the widest bounds count. Each part by its own entry:
 * it was logged after the job's keys were made, so no more time has passed since than since then.
 */
function verifyTimes(attested: Attested, read: ReadRelease, part: ReadPart, entries: Entries, elapsedMs: number): void {
  const bounds = entries.map((e) => timeBounds(e.checkpoint.time, elapsedMs))
  const lower = Math.min(...bounds.map((b) => b.lower))
  const upper = Math.max(...bounds.map((b) => b.upper))
  const intent = part.intent.document
  for (const { document } of read.policies) refuseUnless(checkpointAgeChecks(document, lower, upper), 'LOG_STALE')
  for (const { grant, digest } of read.grants) {
    if (intent.grants.includes(digest)) refuseUnless(grantTimeChecks(grant, lower, upper), 'GRANT_EXPIRED')
  }
  refuseUnless(contractTimeChecks(attested.contract, upper), 'DEADLINE')
  refuseUnless(intentTimeChecks(intent, upper), 'DEADLINE')
}

function refuseUnless(checks: readonly Check[], code: ErrorCode, codes: Readonly<Partial<Record<string, ErrorCode>>> = {}): void {
  const bad = checks.find((c) => c.outcome !== 'pass')
  if (bad !== undefined) throw new AttestError(codes[bad.rule] ?? code, `want ${bad.want}, got ${bad.got}`, { at: bad.rule })
}

/**
 * Opens the sealed keys of all parts, once per job key, and recomputes the public tags from the secret use keys.
 * @throws AttestError `JOB_CONFLICT` for a second opening, `UNWRAP_FAILED`, `GRANT_USED` for a wrong use key or tag.
 */
export async function openRelease(keys: JobKeys, release: CheckedRelease): Promise<OpenedKeys> {
  return keys.openOnce(async (kemKey) => {
    const deks = new Map<string, Secret>()
    try {
      for (const part of release.parts) for (const [header, dek] of await openPart(kemKey, release, part)) deks.set(header, dek)
      return deks
    } catch (error) {
      for (const dek of deks.values()) dek.wipe()
      throw error
    }
  })
}

async function openPart(kemKey: KemKey, release: CheckedRelease, part: CheckedPart): Promise<OpenedKeys> {
  const opened: (ReleasedKeys & { readonly header: string })[] = []
  try {
    for (const sealed of part.keys) {
      const context = { intent: part.intent.document, leafHash: part.logged.leafHash, dataset: sealed.header }
      opened.push({ header: sealed.header, ...(await unwrapRelease(kemKey, context, sealed)) })
    }
    await verifyUseSlots(release, part, opened)
    return new Map(opened.map(({ header, dek }) => [header, dek]))
  } catch (error) {
    for (const { dek } of opened) dek.wipe()
    throw error
  } finally {
    for (const { useKeys } of opened) for (const useKey of useKeys.values()) useKey.wipe()
  }
}

async function verifyUseSlots({ grants }: CheckedRelease, part: CheckedPart, opened: readonly ReleasedKeys[]): Promise<void> {
  for (const { grant, k, tag } of part.intent.document.slots) {
    const commitment = grants.find((g) => g.digest === grant)?.grant.useKeyCommitment
    const useKeys = opened.flatMap((o) => o.useKeys.get(grant) ?? [])
    if (useKeys.length === 0) throw new AttestError('GRANT_USED', 'the release lacks the use key of a grant', { at: 'release.useKeys' })
    for (const useKey of useKeys) {
      if ((await useKeyCommitment(useKey.expose())) !== commitment) {
        throw new AttestError('GRANT_USED', 'a use key is not the one that its grant commits to', { at: 'release.useKeys' })
      }
      if ((await useSlotTag(useKey.expose(), k)) !== tag) {
        throw new AttestError('GRANT_USED', 'a logged tag is not that of its use slot', { at: 'intent.slots' })
      }
    }
  }
}
