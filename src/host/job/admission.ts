import { type ReleasedKeys, type Secret, unwrapRelease } from '../../seal/index.ts'
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
import { type ReadRelease, type Release, readRelease } from './read-release.ts'
import { type Attested, RELEASE_RULES } from './release-rules.ts'

/** A release that was checked in full, except for what only the opened keys can tell. */
export interface CheckedRelease extends ReadRelease {
  readonly logged: VerifiedEntry
  /** Seconds since the epoch: what any policy's witnesses vouch for at most. Upper bounds of now count from here. */
  readonly latestTime: number
}

/** Data encryption keys by header digest. They must be wiped when they were used. */
export type OpenedKeys = ReadonlyMap<string, Secret>

/**
 * Everything that must hold before a key is opened, in the order of design section 3: the release fits this job, this
 * evidence and this key; the owner of the data signed intent and grants; the grants allow this contract; the log that
 * the owner's policies name holds the intent; all of it is in time. Trusts no key that the gateway hands over.
 * @param elapsedMs - Monotonic time since the job's keys were made.
 * @throws AttestError with the code and rule of the first thing that does not hold. Nothing was opened then.
 */
export async function verifyRelease(attested: Attested, release: Release, elapsedMs: number): Promise<CheckedRelease> {
  const read = await readRelease(release)
  for (const rule of RELEASE_RULES) refuseUnless(await rule.checks(attested, read), rule.code, rule.codes)
  const entries = await verifyLogEntry(read)
  verifyTimes(attested, read, entries, elapsedMs)
  return { ...read, logged: entries[0], latestTime: Math.max(...entries.map((e) => e.checkpoint.time)) }
}

type Entries = readonly [VerifiedEntry, ...VerifiedEntry[]]

/**
 * Under every policy: each names the log and the witnesses that its owner believes.
 * @returns what each policy makes of the entry, those with the earliest time first.
 */
async function verifyLogEntry(read: ReadRelease): Promise<Entries> {
  const entries: VerifiedEntry[] = []
  for (const policy of read.policies) {
    const entry = await verifyEntry({ ...read.entry, opening: read.intentJws }, policy.document)
    refuseUnless(releaseLeafChecks(entry.leaf, read.intent.document), 'LOG_PROOF_INVALID')
    entries.push(entry)
  }
  const [first, ...rest] = entries.sort((a, b) => a.checkpoint.time - b.checkpoint.time)
  if (first === undefined) throw new AttestError('POLICY_DENIED', 'no policy names a log', { at: 'policies' })
  return [first, ...rest]
}

/** One policy's witnesses must not shorten what another's grant is worth: the widest bounds count. */
function verifyTimes(attested: Attested, read: ReadRelease, entries: Entries, elapsedMs: number): void {
  const bounds = entries.map((e) => timeBounds(e.checkpoint.time, elapsedMs))
  const lower = Math.min(...bounds.map((b) => b.lower))
  const upper = Math.max(...bounds.map((b) => b.upper))
  for (const { document } of read.policies) refuseUnless(checkpointAgeChecks(document, lower, upper), 'LOG_STALE')
  for (const { grant } of read.grants) refuseUnless(grantTimeChecks(grant, lower, upper), 'GRANT_EXPIRED')
  refuseUnless(contractTimeChecks(attested.contract, upper), 'DEADLINE')
  refuseUnless(intentTimeChecks(read.intent.document, upper), 'DEADLINE')
}

function refuseUnless(checks: readonly Check[], code: ErrorCode, codes: Readonly<Partial<Record<string, ErrorCode>>> = {}): void {
  const bad = checks.find((c) => c.outcome !== 'pass')
  if (bad !== undefined) throw new AttestError(codes[bad.rule] ?? code, `want ${bad.want}, got ${bad.got}`, { at: bad.rule })
}

/**
 * Opens the sealed keys, once per job key, and recomputes the public tags from the secret use keys.
 * @throws AttestError `JOB_CONFLICT` for a second opening, `UNWRAP_FAILED`, `GRANT_USED` for a wrong use key or tag.
 */
export async function openRelease(keys: JobKeys, release: CheckedRelease): Promise<OpenedKeys> {
  return keys.openOnce(async (kemKey) => {
    const opened: (ReleasedKeys & { readonly header: string })[] = []
    try {
      for (const sealed of release.keys) {
        const context = { intent: release.intent.document, leafHash: release.logged.leafHash, dataset: sealed.header }
        opened.push({ header: sealed.header, ...(await unwrapRelease(kemKey, context, sealed)) })
      }
      await verifyUseSlots(release, opened)
      return new Map(opened.map(({ header, dek }) => [header, dek]))
    } catch (error) {
      for (const { dek } of opened) dek.wipe()
      throw error
    } finally {
      for (const { useKeys } of opened) for (const useKey of useKeys.values()) useKey.wipe()
    }
  })
}

async function verifyUseSlots(release: CheckedRelease, opened: readonly ReleasedKeys[]): Promise<void> {
  for (const { grant, k, tag } of release.intent.document.slots) {
    const commitment = release.grants.find((g) => g.digest === grant)?.grant.useKeyCommitment
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
