import { instantOf, unixSeconds } from '../appraise/time-rules.ts'
import type { ReleaseMode } from '../documents/contract.ts'
import type { LegalContext } from '../documents/header.ts'
import { hpkeKeyDigest, type MlDsaKey } from '../documents/keys.ts'
import type { Predicate, ReceiptType } from '../documents/statement.ts'
import type { ReceiptDocuments } from './documents.ts'
import { RESULT_SUBJECT } from './links.ts'
import { type LogFacts, releasedAt } from './log.ts'

/** One page about a job: who, what, on which data, where, when, and how it ended. Digests and thumbprints are base64url. */
export interface ReceiptSummary {
  readonly type: ReceiptType
  readonly outcome: Predicate['outcome']
  readonly jobId: string
  readonly attempt: number
  /** Digest of the contract. */
  readonly job: string
  readonly purpose: string
  /** Thumbprints of who asked, of who allowed it, and of who countersigned. */
  readonly submitter: string
  readonly owners: readonly string[]
  readonly gateway: string
  /** The ML-DSA-65 key that signed too; null: none did. Only a `trusted` one is known to be the gateway's. */
  readonly mlDsa: { readonly signer: string; readonly trusted: boolean } | null
  readonly image: Predicate['image']
  readonly argv: readonly string[]
  readonly data: readonly { readonly name: string; readonly header: string; readonly root: string; readonly legal: LegalContext | null }[]
  readonly grants: readonly string[]
  readonly policies: readonly string[]
  /** Digests of the keys that can open the results. */
  readonly recipients: readonly string[]
  readonly tee: string | null
  /** Hexadecimal. */
  readonly measurement: string | null
  /** True: no hardware protected anything. */
  readonly simulated: boolean
  readonly isolation: Predicate['isolation']
  /** Who released what, in the order of the log. */
  readonly releases: readonly ReleaseSummary[]
  /** By the log, RFC 3339; null without a proven entry. Released is when the last release was logged. */
  readonly releasedAt: string | null
  readonly endedAt: string | null
  readonly deadline: string | null
  readonly log: { readonly origin: string; readonly witnesses: string } | null
  /** SHA-256 of the sealed results, hexadecimal; null when there are none. */
  readonly results: string | null
  readonly usage: Predicate['usage']
  readonly keysDestroyed: Predicate['keysDestroyed']
}

/** One release: by whom, under which grants, of which data, and when. */
export interface ReleaseSummary {
  readonly mode: ReleaseMode
  /** Thumbprint of the owner, or of the broker that the grants name. */
  readonly releaser: string
  readonly grants: readonly string[]
  readonly datasets: readonly string[]
  /** Place in the log. */
  readonly index: number
  /** By the log, RFC 3339; null where the entry is not proven. */
  readonly at: string | null
}

/** Gathers what the receipt says. It is proven only where the verdict accepts. */
export async function summarize(
  doc: ReceiptDocuments,
  log: LogFacts,
  proven: { tee: string; measurement: string | null } | null,
  trustedMlDsa: MlDsaKey | null,
): Promise<ReceiptSummary> {
  const { predicate, subject } = doc.statement
  const contract = doc.contract.value
  const { gateway, mlDsa } = doc.signers
  const [result] = subject
  return {
    type: predicate.type,
    outcome: predicate.outcome,
    jobId: predicate.jobId,
    attempt: predicate.attempt,
    job: predicate.job,
    purpose: contract.purpose,
    submitter: doc.contract.signer,
    owners: [...new Set(doc.grants.map((g) => g.signer))],
    gateway: gateway.thumbprint,
    mlDsa: mlDsa === null ? null : { signer: mlDsa.thumbprint, trusted: mlDsa.key.pub === trustedMlDsa?.pub },
    image: predicate.image,
    argv: contract.argv,
    data: contract.inputs.map((input) => ({ ...input, legal: doc.headers.find((h) => h.digest === input.header)?.value.legal ?? null })),
    grants: predicate.grants,
    policies: predicate.policies,
    recipients: await Promise.all(contract.recipients.map(hpkeKeyDigest)),
    tee: proven?.tee ?? null,
    measurement: proven?.measurement ?? null,
    simulated: predicate.simulated,
    isolation: predicate.isolation,
    releases: releaseSummaries(doc, log),
    releasedAt: instantOrNull(releasedAt(log)),
    endedAt: instantOrNull(log.endingTime),
    deadline: doc.releases.map((r) => r.intent.deadline).sort((a, b) => unixSeconds(a) - unixSeconds(b))[0] ?? null,
    log: log.ending === null ? null : { origin: log.ending.checkpoint.origin, witnesses: witnessText(doc) },
    results: result?.name === RESULT_SUBJECT ? result.digest.sha256 : null,
    usage: predicate.usage,
    keysDestroyed: predicate.keysDestroyed,
  }
}

function releaseSummaries(doc: ReceiptDocuments, log: LogFacts): readonly ReleaseSummary[] {
  return doc.releases.map(({ intent, signer, entry }, i) => ({
    mode: intent.mode,
    releaser: signer,
    grants: intent.grants,
    datasets: intent.datasets,
    index: entry.index,
    at: instantOrNull(log.releases?.[i]?.time ?? null),
  }))
}

function instantOrNull(seconds: number | null): string | null {
  return seconds === null ? null : instantOf(seconds)
}

function witnessText({ policies }: ReceiptDocuments): string {
  const texts = policies.map(({ value: { witnessing: w } }) => (w.mode === 'none' ? 'none' : `${w.k} of ${w.keys.length}`))
  return texts.length === 0 ? 'none' : [...new Set(texts)].join('; ')
}
