import { listed, same } from '../appraise/check.ts'
import { policiesAllow } from '../appraise/demands.ts'
import { jobGrantChecks } from '../appraise/grant-rules.ts'
import { intentChecks } from '../appraise/intent-rules.ts'
import { releaserText, wholeChecks } from '../appraise/releasers.ts'
import { contractTimeChecks, grantTimeChecks, intentTimeChecks } from '../appraise/time-rules.ts'
import { fromBase64Url } from '../bytes/bytes.ts'
import { parseAnyReceiptFile } from '../documents/event-file.ts'
import type { MlDsaKey } from '../documents/keys.ts'
import type { TrustFile } from '../documents/trust.ts'
import { type AttestError, ERROR_CODES, type ErrorCode } from '../errors.ts'
import { check } from '../evidence/check.ts'
import { conclude, isInputError } from '../evidence/conclude.ts'
import type { Check, Verdict, VerdictError } from '../verdict.ts'
import { checkEvidence, type EvidenceFacts } from './attest.ts'
import { type ReceiptDocuments, type ReceiptEvidence, type ReceiptRelease, readReceiptFile } from './documents.ts'
import { type EventSummary, verifyEventFile } from './event.ts'
import { isAgentSigned, isUnread, linkChecks, partChecks } from './links.ts'
import { checkLog, type LogFacts, type ReleaseFacts } from './log.ts'
import { COMPROMISED_RULES, RETIRED_RULES, retirementChecks, withoutRetired } from './retired.ts'
import { type ReceiptSummary, summarize } from './summary.ts'
import { logViews, mlDsaChecks, ownersOf, simulatedRoots, TRUST_RULES, trustChecks, trustedMlDsa, unknownSimulator } from './trust.ts'

/** `parsed` is what the receipt says; `claims` is the same once it is proven. */
export type ReceiptVerdict = Verdict<ReceiptSummary | EventSummary, ReceiptSummary | EventSummary>

/**
 * Verifies a receipt file of a job or of an event. Of a job: every signature, that all parts belong together, evidence and policies as they stood when keys
 * were released, the rules of every grant, and both log entries. Needs no network and no clock: the log's time counts.
 *
 * Proves, on the word of whom `trust` names, that this job ran (or was refused, or was lost) as stated. Does not prove that
 * the log shows everyone the same tree unless its policy demands witnesses, nor that endorsements left out of the file never
 * existed.
 * @param trust - The user's trust file. Null: everything is checked under the keys that the file itself names, and the
 *   answer is a rejection with `SIGNER_UNKNOWN`, since nobody vouches for those keys.
 */
export async function verifyReceiptFile(bytes: Uint8Array, { trust }: { readonly trust: TrustFile | null }): Promise<ReceiptVerdict> {
  try {
    const file = parseAnyReceiptFile(bytes)
    const verdict =
      file.type === 'sealgate/receipt-file/v1'
        ? await verifyDocuments(await readReceiptFile(file), trust)
        : await verifyEventFile(file, trust)
    return verdict.decision === 'accept' ? verdict : { ...verdict, error: errorOf(verdict.checks, verdict.error) }
  } catch (error) {
    if (isInputError(error)) return rejectUnread(error)
    throw error
  }
}

async function verifyDocuments(doc: ReceiptDocuments, trust: TrustFile | null): Promise<Verdict<ReceiptSummary, ReceiptSummary>> {
  const { facts: log, views } = await withoutRetired(
    doc.policies,
    trust,
    (t) => logViews(doc.policies, doc.ending.checkpoint, t),
    (v) => checkLog(doc, v),
  )
  const evidence = await evidenceFacts(doc, log, trust)
  const mlDsa = trustedMlDsa(doc, trust)
  const checks = [
    check('signature.documents', true, 'every signed document verifies under the key it names', 'all verify'),
    ...(await mlDsaChecks(doc, mlDsa)),
    ...partChecks(doc),
    ...linkChecks(doc),
    ...log.checks,
    ...evidence.checks,
    ...(doc.releases.length === 0 ? [] : await releaseRules(doc, log)),
    ...trustChecks({ ...doc, owners: ownersOf(doc) }, trust),
    ...retirementChecks({ ...doc, owners: ownersOf(doc) }, log.provenBy, views, trust),
  ]
  const summary = await summarize(doc, log, evidence.claims, mlDsa)
  return conclude(
    {
      format: 'receipt',
      parsed: summary,
      claims: summary,
      checks,
      notChecked: [...notChecked(doc, evidence), ...unknownMlDsa(doc, mlDsa)],
    },
    [],
  )
}

/** A refusal by the gateway alone tells that it refused, not that it had to: evidence and rules are not appraised. */
function notChecked(doc: ReceiptDocuments, { claims }: EvidenceFacts): readonly string[] {
  return [...(doc.evidence === null || claims !== null ? [] : ['evidence']), ...(doc.releases.length === 0 ? ['grants', 'policies'] : [])]
}

/** A third signature by nobody whom the trust file names verified, and counts for nothing. */
function unknownMlDsa({ signers }: ReceiptDocuments, trusted: MlDsaKey | null): readonly string[] {
  return signers.mlDsa !== null && trusted === null ? [`signer of the ML-DSA-65 signature (unknown: ${signers.mlDsa.thumbprint})`] : []
}

async function evidenceFacts(doc: ReceiptDocuments, log: LogFacts, trust: TrustFile | null): Promise<EvidenceFacts> {
  const { evidence, releases } = doc
  const { simulated } = doc.statement.predicate
  if (evidence === null) return { checks: [same('binding.simulated', false, simulated)], claims: null }
  if (releases.length === 0 && !isAgentSigned(doc)) return { checks: [], claims: null }
  const times = releases.length === 0 ? (log.endingTime === null ? null : [log.endingTime]) : releaseTimes(log)
  if (times === null) return { checks: [untimed], claims: null }
  if (trust !== null || !simulated) return evidenceAt(doc, evidence, (trust?.simulatedRoots ?? []).map(fromBase64Url), times)
  const roots = simulatedRoots(doc)
  const facts = roots.length === 0 ? { checks: [], claims: null } : await evidenceAt(doc, evidence, roots, times)
  return { ...facts, checks: [...facts.checks, unknownSimulator] }
}

/**
 * The first and the last moment at which a key was released. What holds at both holds between them: whatever limits evidence
 * is an interval of time.
 */
function releaseTimes({ releases }: LogFacts): readonly number[] | null {
  if (releases === null) return null
  const times = releases.map((r) => r.time)
  return [...new Set([Math.min(...times), Math.max(...times)])]
}

/** The evidence must have been good at each of these times. */
async function evidenceAt(
  doc: ReceiptDocuments,
  evidence: ReceiptEvidence,
  roots: readonly Uint8Array[],
  times: readonly number[],
): Promise<EvidenceFacts> {
  const facts: EvidenceFacts[] = []
  for (const at of times) facts.push(await checkEvidence(doc, evidence, roots, at))
  const claims = facts.every((f) => f.claims !== null) ? (facts[0]?.claims ?? null) : null
  return { checks: facts.flatMap((f) => f.checks), claims }
}

/** The rules under which keys were released, each grant at the time of its own release that its own policy's witnesses vouch for. */
async function releaseRules(doc: ReceiptDocuments, log: LogFacts): Promise<readonly Check[]> {
  const { contract, grants, policies, releases, evidence } = doc
  const job = { contract: contract.value, submitter: contract.signer, headers: new Map(doc.headers.map((h) => [h.digest, h.value])) }
  const kem = evidence?.binding.kem ?? null
  return [
    ...(await jobGrantChecks(job, grants)),
    ...releases.flatMap((release, i) => oneRelease(doc, release, log.releases?.[i] ?? null)),
    ...policiesAllow({ contract: contract.value, policies: policies.map((p) => p.value), kem, log: null }),
    // A job of which only some releasers had released is ended by the gateway alone, before any key is with the enclave.
    ...(isAgentSigned(doc) && !isUnread(doc) ? wholeChecks(releases, contract.value, grants) : distinctChecks(releases)),
  ]
}

/** Two releases of one releaser for one job are never right. */
function distinctChecks(releases: readonly ReceiptRelease[]): readonly Check[] {
  const releasers = releases.map(({ intent, signer }) => releaserText({ mode: intent.mode, thumbprint: signer }))
  return [check('binding.releasers', new Set(releasers).size === releasers.length, 'one release of each releaser', listed(releasers))]
}

function oneRelease(doc: ReceiptDocuments, { intent, signer }: ReceiptRelease, facts: ReleaseFacts | null): readonly Check[] {
  const { contract, grants, evidence } = doc
  const released = grants.filter((g) => intent.grants.includes(g.digest))
  return [
    ...released.flatMap(({ grant }) => timed(facts?.times.get(grant.policy), (t) => grantTimeChecks(grant, t, t))),
    ...timed(facts?.time, (t) => [...contractTimeChecks(contract.value, t), ...intentTimeChecks(intent, t)]),
    ...(evidence === null
      ? []
      : intentChecks(intent, signer, {
          job: contract.digest,
          contract: contract.value,
          grants,
          binding: evidence.bindingDigest,
          evidence: evidence.digest,
          kem: evidence.kemDigest,
        })),
  ]
}

const untimed = check('freshness.release-time', false, 'a time that the log vouches for', 'none')

function timed(time: number | null | undefined, rules: (time: number) => readonly Check[]): readonly Check[] {
  return time == null ? [untimed] : rules(time)
}

const RECEIPT_CODES: Partial<Record<ErrorCode, ErrorCode>> = {
  EVIDENCE_UNSUPPORTED: 'DOCUMENT_INVALID',
  SIGNATURE_INVALID: 'RECEIPT_INCONSISTENT',
}

function errorOf(checks: readonly Check[], error: VerdictError | null): VerdictError | null {
  const failed = checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
  if (failed.length > 0 && failed.every((c) => TRUST_RULES.has(c.rule))) {
    return { code: 'SIGNER_UNKNOWN', at: null, message: `consistent, signers unknown: ${failed.map((c) => c.rule).join(', ')}` }
  }
  return retiredError(failed) ?? otherError(error)
}

/** Nothing is wrong but that somebody signed whose word did not count any more, or is not known at all. */
function retiredError(failed: readonly Check[]): VerdictError | null {
  const compromised = failed.filter((c) => COMPROMISED_RULES.has(c.rule))
  const retired = failed.filter((c) => RETIRED_RULES.has(c.rule))
  const unknown = failed.filter((c) => TRUST_RULES.has(c.rule))
  const [first] = [...compromised, ...retired]
  if (first === undefined || compromised.length + retired.length + unknown.length < failed.length) return null
  return { code: compromised.length > 0 ? 'KEY_COMPROMISED' : 'KEY_RETIRED', at: null, message: `${first.rule}: ${first.got}` }
}

function otherError(error: VerdictError | null): VerdictError | null {
  return error === null ? null : { ...error, code: RECEIPT_CODES[error.code] ?? error.code }
}

/** A file that cannot be read, or with a signature that does not verify: nothing in it is worth showing. */
function rejectUnread(error: AttestError): ReceiptVerdict {
  const rule = ERROR_CODES[error.code].exit === 3 ? 'format.receipt-file' : 'signature.documents'
  const checks = [check(rule, false, 'a receipt file whose signatures verify', `${error.code}: ${error.message}`)]
  const { code, message } = error
  return {
    decision: 'reject',
    format: 'receipt',
    authentic: false,
    parsed: null,
    checks,
    notChecked: [],
    error: { code, at: error.at ?? null, message },
  }
}
