import { itemListChecks, sessionListChecks } from '../../verify/appraise/index.ts'
import { equal, toHex } from '../../verify/bytes/bytes.ts'
import { type Predicate, parseStatement, RECEIPT_TYP, type StatedRelease, type Statement } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import { verifyGeneralJws } from '../../verify/formats/jws.ts'
import type { BlobRow } from '../store/tables.ts'
import type { JobEvidence } from './evidence.ts'
import type { JobFacts } from './records.ts'
import { contractSubject } from './statements.ts'

/** What the gateway knows of a job whose end a host reports. */
export interface KnownJob {
  readonly facts: JobFacts
  readonly evidence: JobEvidence
  /** The result that the attestation gave, as it went to the host. */
  readonly ear: Json
  /** Places of the releases in the log. */
  readonly releases: readonly StatedRelease[]
  /** The result blob that the host names; null for none. */
  readonly result: BlobRow | null
}

const RESULT_SUBJECT = 'results.sealed'

/**
 * Verifies an outcome: signed by the job key that the evidence binds, about this job as the gateway knows it, and about
 * the very result file that was uploaded.
 * @returns the statement, and its type and outcome with it.
 * @throws AttestError `SIGNATURE_INVALID`, `RECEIPT_INCONSISTENT` naming the first member that does not fit, or a parser's.
 */
export async function verifyOutcome(jws: Uint8Array, known: KnownJob): Promise<Statement> {
  const { payload, signers, mlDsa } = await verifyGeneralJws(jws, RECEIPT_TYP, 'receipt')
  const [signer, ...others] = signers
  if (others.length > 0 || mlDsa !== null || signer?.key.x !== known.evidence.binding.sig.publicKey) {
    throw inconsistent('signers', 'want one signature, of the key that the job evidence binds')
  }
  const statement = parseStatement(payload)
  const { predicate } = statement
  if (predicate.type === 'lost' || predicate.outcome.kind === 'lost') throw inconsistent('type', 'a host does not report itself lost')
  if ((predicate.type === 'refusal') !== ['refused', 'cancelled'].includes(predicate.outcome.kind)) {
    if (predicate.type === 'refusal' || predicate.outcome.kind === 'refused')
      throw inconsistent('outcome.kind', 'type and outcome contradict')
  }
  for (const [member, want] of Object.entries(wanted(predicate, known))) {
    const got = predicate[member as keyof Predicate] as Json
    if (!equal(encodeCanonical(want), encodeCanonical(got))) throw inconsistent(member, 'the statement is about something else')
  }
  checkIsolation(predicate, known.facts)
  const { contract } = known.facts
  const sessions = sessionListChecks(contract, predicate).find((c) => c.outcome !== 'pass')
  if (sessions !== undefined) throw inconsistent('sessions', `want ${sessions.want}, got ${sessions.got}`)
  const items = itemListChecks(contract, statement).find((c) => c.outcome !== 'pass')
  if (items !== undefined) throw inconsistent('items', `want ${items.want}, got ${items.got}`)
  checkSubject(statement, known)
  return statement
}

/** Members whose value the gateway knows. Before the agent has verified the releases it repeats nothing of it. */
function wanted(predicate: Predicate, { facts, evidence, ear, releases }: KnownJob): Readonly<Record<string, Json>> {
  const { row, contract, grants, headers } = facts
  const always = {
    job: row.digest,
    jobId: contract.jobId,
    attempt: contract.attempt,
    image: contract.image,
    inputs: contract.inputs,
    policies: contract.policies,
    binding: evidence.bindingDigest,
    evidence: evidence.evidenceDigest,
    simulated: evidence.appraisal.simulated,
  }
  const unreleased = predicate.type === 'refusal' && predicate.releases.length === 0
  const released = unreleased
    ? { ear: null, releases: [], grants: [], legal: [] }
    : { ear, releases, grants: grants.map((g) => g.digest), legal: headers.map((h) => h.document.legal) }
  return { ...always, ...released } as unknown as Readonly<Record<string, Json>>
}

function checkIsolation({ type, isolation }: Predicate, { contract }: JobFacts): void {
  const fits =
    type === 'execution' ? isolation?.runner === contract.image.runner && isolation.profile === contract.isolation : isolation === null
  if (!fits) throw inconsistent('isolation', 'not the isolation that the contract names')
}

/** Results that did not come through (the disk was full, say) take nothing from the statement: it names them all the same. */
function checkSubject({ subject, predicate }: Statement, { facts, result }: KnownJob): void {
  const contract = contractSubject(facts.row.digest)
  const [first, ...others] = subject
  // Those of items were held against the contract.
  if (first === undefined || (predicate.items === undefined && others.length > 0)) throw inconsistent('subject', 'want one subject')
  const isResult = first.name === RESULT_SUBJECT && predicate.type === 'execution'
  const isContract = first.name === contract.name && first.digest.sha256 === contract.digest.sha256
  if (!isResult && !isContract) throw inconsistent('subject', 'want the results of an execution, or the contract')
  if (!isResult && (predicate.outputs.length > 0 || result !== null)) throw inconsistent('outputs', 'outputs that no results hold')
  if (result !== null && first.digest.sha256 !== toHex(result.digest)) {
    throw inconsistent('subject', 'the statement names other results than were uploaded')
  }
}

function inconsistent(member: string, message: string): AttestError {
  return new AttestError('RECEIPT_INCONSISTENT', message, { at: `receipt.${member}` })
}
