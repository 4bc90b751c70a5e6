import { fromBase64Url, toHex } from '../../verify/bytes/bytes.ts'
import { itemManifestName } from '../../verify/documents/array.ts'
import type { Contract } from '../../verify/documents/contract.ts'
import {
  encodeStatement,
  type OutcomeKind,
  PREDICATE_TYPE,
  type Predicate,
  STATEMENT_TYPE,
  type StatedRelease,
} from '../../verify/documents/statement.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import type { VerifiedEntry } from '../../verify/tlog/index.ts'
import type { RunUsage } from '../runner/types.ts'
import type { CheckedRelease } from './admission.ts'
import type { TimeBounds } from './clock.ts'
import type { SealedOutputs } from './results.ts'

/** What a statement says of a job however it ends. */
export interface StatementSubject {
  readonly job: string
  readonly contract: Contract
  readonly bindingDigest: string
  readonly evidenceDigest: string
  readonly simulated: boolean
  /** Name and version of this program. */
  readonly agent: string
  /** Null until all releases were verified: nothing unverified is repeated under the job key. */
  readonly release: CheckedRelease | null
  /** When the job ended; null without a release, whose log entry tells the time. */
  readonly timing: TimeBounds | null
}

/** How a job ended. A refusal never started the workload. */
export interface Ending {
  readonly type: 'execution' | 'refusal'
  readonly outcome: Predicate['outcome']
  readonly isolation: Predicate['isolation']
  readonly usage: RunUsage | null
  readonly sealed: SealedOutputs | null
  /** Of an array job. */
  readonly items?: Predicate['items']
  readonly sessions: Predicate['sessions']
  readonly keysDestroyed: Predicate['keysDestroyed']
}

/** Most outputs that a statement commits to, and its longest reason in UTF-16 units (documents/statement.ts). */
export const MAX_OUTPUTS = 1024
const MAX_REASON = 512

/** Canonical bytes of the in-toto Statement of a job. */
export function encodeJobStatement(subject: StatementSubject, ending: Ending): Uint8Array {
  const { contract, release } = subject
  const { sealed } = ending
  const named =
    sealed === null
      ? { name: 'contract', digest: { sha256: toHex(fromBase64Url(subject.job)) } }
      : { name: 'results.sealed', digest: { sha256: sealed.sha256 } }
  return encodeStatement({
    _type: STATEMENT_TYPE,
    subject: [named, ...(sealed?.manifests ?? []).map((sha256, i) => ({ name: itemManifestName(i), digest: { sha256 } }))],
    predicateType: PREDICATE_TYPE,
    predicate: {
      v: 1,
      type: ending.type,
      job: subject.job,
      jobId: contract.jobId,
      attempt: contract.attempt,
      image: contract.image,
      inputs: contract.inputs,
      grants: (release?.grants ?? []).map((g) => g.digest).sort(),
      policies: contract.policies,
      binding: subject.bindingDigest,
      evidence: subject.evidenceDigest,
      ear: release?.ear ?? null,
      releases: (release?.parts ?? []).map(({ logged }) => placeOf(logged)),
      isolation: ending.isolation,
      outcome: ending.outcome,
      outputs: (sealed?.commitments ?? []).map((commitment) => ({ commitment })),
      ...(ending.items === undefined ? {} : { items: ending.items }),
      sessions: ending.sessions,
      usage: ending.usage === null ? null : { source: 'guest-reported', ...ending.usage },
      timing: subject.timing === null ? null : { notBefore: subject.timing.lower, notAfter: subject.timing.upper },
      legal: (release?.headers ?? []).map((h) => h.document.legal),
      keysDestroyed: ending.keysDestroyed,
      simulated: subject.simulated,
      agent: subject.agent,
    },
  })
}

function placeOf({ leafHash, index, checkpoint }: VerifiedEntry): StatedRelease {
  return { leafHash, index, treeSize: checkpoint.size, time: checkpoint.time }
}

/** Why a job did not come to its end, without anything of its data: unknown errors keep their text to themselves. */
export function outcomeOfError(kind: OutcomeKind, error: unknown): Predicate['outcome'] & { readonly code: ErrorCode } {
  const known = error instanceof AttestError && error.code !== 'INTERNAL' ? error : null
  const text = known === null ? 'the agent failed' : known.at === undefined ? known.message : `${known.at}: ${known.message}`
  return { kind, exitCode: null, code: known?.code ?? 'INTERNAL', reason: reasonText(text) }
}

/** A reason as statements want it: no control characters, not long, not empty. */
export function reasonText(text: string): string {
  const clean = text === '' ? 'no reason given' : text.toWellFormed().replaceAll(/\p{Cc}/gu, ' ')
  return clean.length <= MAX_REASON ? clean : `${clean.slice(0, MAX_REASON - 1).toWellFormed()}…`
}
