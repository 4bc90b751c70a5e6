import { same } from '../appraise/check.ts'
import { policiesAllow } from '../appraise/demands.ts'
import { jobGrantChecks } from '../appraise/grant-rules.ts'
import { intentChecks } from '../appraise/intent-rules.ts'
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
import { type ReceiptDocuments, readReceiptFile } from './documents.ts'
import { type EventSummary, verifyEventFile } from './event.ts'
import { isAgentSigned, linkChecks, partChecks } from './links.ts'
import { checkLog, type LogFacts } from './log.ts'
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
  const log = await checkLog(doc, logViews(doc.policies, doc.ending.checkpoint, trust))
  const evidence = await evidenceFacts(doc, log, trust)
  const mlDsa = trustedMlDsa(doc, trust)
  const checks = [
    check('signature.documents', true, 'every signed document verifies under the key it names', 'all verify'),
    ...(await mlDsaChecks(doc, mlDsa)),
    ...partChecks(doc),
    ...linkChecks(doc),
    ...log.checks,
    ...evidence.checks,
    ...(doc.release === null ? [] : await releaseRules(doc, log)),
    ...trustChecks({ ...doc, owners: ownersOf(doc) }, trust),
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
  return [...(doc.evidence === null || claims !== null ? [] : ['evidence']), ...(doc.release === null ? ['grants', 'policies'] : [])]
}

/** A third signature by nobody whom the trust file names verified, and counts for nothing. */
function unknownMlDsa({ signers }: ReceiptDocuments, trusted: MlDsaKey | null): readonly string[] {
  return signers.mlDsa !== null && trusted === null ? [`signer of the ML-DSA-65 signature (unknown: ${signers.mlDsa.thumbprint})`] : []
}

async function evidenceFacts(doc: ReceiptDocuments, log: LogFacts, trust: TrustFile | null): Promise<EvidenceFacts> {
  const { evidence, release } = doc
  const { simulated } = doc.statement.predicate
  if (evidence === null) return { checks: [same('binding.simulated', false, simulated)], claims: null }
  if (release === null && !isAgentSigned(doc)) return { checks: [], claims: null }
  const at = release === null ? log.endingTime : log.releaseTime
  if (at === null) return { checks: [untimed], claims: null }
  if (trust !== null || !simulated) return checkEvidence(doc, evidence, (trust?.simulatedRoots ?? []).map(fromBase64Url), at)
  const roots = simulatedRoots(doc)
  const facts = roots.length === 0 ? { checks: [], claims: null } : await checkEvidence(doc, evidence, roots, at)
  return { ...facts, checks: [...facts.checks, unknownSimulator] }
}

/** The rules under which keys were released, each grant at the time that its own policy's witnesses vouch for. */
async function releaseRules(doc: ReceiptDocuments, log: LogFacts): Promise<readonly Check[]> {
  const { contract, grants, policies, intent, evidence } = doc
  const job = { contract: contract.value, submitter: contract.signer, headers: new Map(doc.headers.map((h) => [h.digest, h.value])) }
  const kem = evidence?.binding.kem ?? null
  return [
    ...(await jobGrantChecks(job, grants)),
    ...grants.flatMap(({ grant }) => timed(log.releaseTimes.get(grant.policy), (t) => grantTimeChecks(grant, t, t))),
    ...policiesAllow({ contract: contract.value, policies: policies.map((p) => p.value), kem, log: null }),
    ...timed(log.releaseTime, (t) => [
      ...contractTimeChecks(contract.value, t),
      ...(intent === null ? [] : intentTimeChecks(intent.value, t)),
    ]),
    ...(intent === null || evidence === null
      ? []
      : intentChecks(intent.value, intent.signer, {
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
