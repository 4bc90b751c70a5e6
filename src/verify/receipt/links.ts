import { itemListChecks } from '../appraise/array-rules.ts'
import { same } from '../appraise/check.ts'
import { sessionListChecks } from '../appraise/service-rules.ts'
import { fromBase64Url, toHex } from '../bytes/bytes.ts'
import { ISOLATION_PROFILES } from '../documents/isolation.ts'
import type { OutcomeKind, Predicate, ReceiptType } from '../documents/statement.ts'
import { check } from '../evidence/check.ts'
import type { Json } from '../formats/canonical-json.ts'
import type { Check } from '../verdict.ts'
import type { ReceiptDocuments } from './documents.ts'

/** Name of a receipt's first subject: the sealed results, or the contract where there are none. */
export const RESULT_SUBJECT = 'results.sealed'
export const CONTRACT_SUBJECT = 'contract'

const OUTCOMES: Readonly<Record<ReceiptType, readonly OutcomeKind[]>> = {
  execution: ['succeeded', 'failed', 'timeout', 'out-of-memory', 'output-too-large', 'idle', 'cancelled'],
  refusal: ['refused', 'cancelled'],
  lost: ['lost'],
}

/** Who signs: the agent and the gateway; the gateway alone where no agent was left, or none there yet. Its ML-DSA key may sign any. */
const SIGNERS: Readonly<Record<ReceiptType, readonly number[]>> = { execution: [2], refusal: [1, 2], lost: [1] }

/** True when an agent signed too: then its word counts, and so must its evidence. */
export function isAgentSigned(doc: ReceiptDocuments): boolean {
  return doc.signers.agent !== null
}

/**
 * True when an agent refused a release before it had verified it. It then repeats nothing of it under its key: no release,
 * no grants, no legal context, even where the log holds one.
 */
export function isUnread(doc: ReceiptDocuments): boolean {
  const { type, releases } = doc.statement.predicate
  return type === 'refusal' && isAgentSigned(doc) && releases.length === 0
}

/**
 * Which parts a receipt of its type must have. One that follows a release has all of them; a refusal before has no release,
 * and evidence only if it came to that. What is missing is missing everywhere.
 */
export function partChecks(doc: ReceiptDocuments): readonly Check[] {
  const { evidence } = doc
  const released = doc.releases.length > 0
  const { type, ...stated } = doc.statement.predicate
  const executed = type === 'execution'
  const attested = evidence !== null
  const signatures = isAgentSigned(doc) ? 2 : 1
  const nonces = attested ? `one for each of ${doc.grants.length} grants` : 'none without evidence'
  return [
    check(
      'format.signatures',
      SIGNERS[type].includes(signatures),
      `${SIGNERS[type].join(' or ')} signatures of Ed25519`,
      String(signatures),
    ),
    check('format.release', released || type === 'refusal', 'a release before anything but a refusal', `${doc.releases.length} releases`),
    check(
      'format.evidence',
      attested || (!released && !isAgentSigned(doc)),
      'evidence of whoever signed or was given keys',
      presence(evidence),
    ),
    part('format.stated-binding', attested, stated.binding),
    part('format.stated-evidence', attested, stated.evidence),
    part('format.nonce-checkpoint', attested, doc.nonceCheckpoint),
    part('format.timing', isAgentSigned(doc) && stated.releases.length > 0, stated.timing),
    part('format.isolation', executed, stated.isolation),
    part('format.usage', executed, stated.usage),
    check('format.owner-nonces', doc.ownerNonces.length === (attested ? doc.grants.length : 0), nonces, String(doc.ownerNonces.length)),
    check('format.endorsements', attested || doc.endorsements.length === 0, 'endorsements of evidence', String(doc.endorsements.length)),
    check('format.outputs', executed || stated.outputs.length === 0, 'outputs of an execution alone', String(stated.outputs.length)),
  ]
}

function part(rule: Check['rule'], wanted: boolean, value: unknown): Check {
  return check(rule, wanted === (value !== null), wanted ? 'present' : 'absent', presence(value))
}

function presence(value: unknown): string {
  return value === null ? 'absent' : 'present'
}

/**
 * Whether the signed statement speaks of exactly the documents beside it. Policies and headers may be left out, of both,
 * where nothing was released.
 */
export function linkChecks(doc: ReceiptDocuments): readonly Check[] {
  const { contract, evidence, policies, headers } = doc
  const stated = doc.statement.predicate
  const { jobId, attempt, image, inputs } = contract.value
  const complete = doc.releases.length > 0
  const unread = isUnread(doc)
  const wantPolicies = complete || policies.length > 0 ? contract.value.policies : []
  const wantHeaders = complete || headers.length > 0 ? inputs.map((i) => i.header) : []
  const grants = unread ? [] : doc.grants.map((g) => g.digest)
  const legal = unread ? [] : headers.map((h) => h.value.legal)
  return [
    same('signature.job', contract.digest, stated.job),
    same('signature.contract', json({ jobId, attempt, image, inputs }), json(pick(stated))),
    same('signature.grants', grants, stated.grants),
    same(
      'signature.policies',
      wantPolicies,
      policies.map((p) => p.digest),
    ),
    same('signature.stated-policies', wantPolicies, stated.policies),
    same(
      'signature.headers',
      wantHeaders,
      headers.map((h) => h.digest),
    ),
    same('signature.legal', json(legal), json(stated.legal)),
    same('signature.binding', evidence?.bindingDigest ?? null, stated.binding),
    same('signature.evidence', evidence?.digest ?? null, stated.evidence),
    ...subjectChecks(doc),
    ...outcomeChecks(doc),
    ...sessionListChecks(contract.value, stated),
    ...itemListChecks(contract.value, doc.statement),
  ]
}

function pick({ jobId, attempt, image, inputs }: Predicate): Pick<Predicate, 'jobId' | 'attempt' | 'image' | 'inputs'> {
  return { jobId, attempt, image, inputs }
}

/** Documents hold nothing but JSON; interfaces have no index signature to show it. */
function json(value: unknown): Json {
  return value as Json
}

function subjectChecks({ statement, contract }: ReceiptDocuments): readonly Check[] {
  const { type, outcome, outputs, items } = statement.predicate
  const [subject] = statement.subject
  const contractHash = toHex(fromBase64Url(contract.digest))
  const isResult = subject?.name === RESULT_SUBJECT && type === 'execution'
  const isContract = subject?.name === CONTRACT_SUBJECT && subject.digest.sha256 === contractHash
  return [
    check(
      'signature.subject',
      (items !== undefined || statement.subject.length === 1) && (isResult || isContract),
      `${items === undefined ? 'one subject' : 'first'}: ${RESULT_SUBJECT} of an execution, or ${CONTRACT_SUBJECT} ${contractHash}`,
      subject === undefined ? 'none' : `${subject.name} ${subject.digest.sha256} of ${statement.subject.length}`,
    ),
    check(
      'signature.results',
      isResult || (outcome.kind !== 'succeeded' && outputs.length === 0),
      'results where there are outputs',
      subject?.name ?? 'none',
    ),
  ]
}

function outcomeChecks({ statement, contract }: ReceiptDocuments): readonly Check[] {
  const { type, outcome, isolation } = statement.predicate
  const { image, isolation: profile } = contract.value
  const wanted = { runner: image.runner, profile, grade: ISOLATION_PROFILES[profile].grade }
  const got = isolation === null ? null : { runner: isolation.runner, profile: isolation.profile, grade: isolation.grade }
  return [
    check('signature.outcome', OUTCOMES[type].includes(outcome.kind), OUTCOMES[type].join(', '), outcome.kind),
    ...(got === null ? [] : [same('signature.isolation', wanted, got)]),
  ]
}
