import { fromBase64Url, toHex } from '../../verify/bytes/bytes.ts'
import {
  type AttestationResult,
  encodeStatement,
  PREDICATE_TYPE,
  STATEMENT_TYPE,
  type StatedRelease,
} from '../../verify/documents/statement.ts'
import type { ErrorCode } from '../../verify/errors.ts'
import type { JobEvidence } from './evidence.ts'
import type { JobFacts } from './records.ts'

/** An end that the enclave could not tell of, so the gateway does. */
export interface GatewayEnding {
  readonly kind: 'refused' | 'cancelled' | 'lost'
  readonly code: ErrorCode
  /** For people; never holds data of the job. */
  readonly reason: string
}

const MAX_REASON = 512

/** The one subject of a statement without results: the contract itself. */
export function contractSubject(digest: string): { readonly name: string; readonly digest: { readonly sha256: string } } {
  return { name: 'contract', digest: { sha256: toHex(fromBase64Url(digest)) } }
}

/** Canonical bytes of the statement that the gateway alone signs. @param gateway - Name and version of this gateway. */
export function encodeGatewayStatement(
  facts: JobFacts,
  evidence: JobEvidence | null,
  ear: AttestationResult | null,
  releases: readonly StatedRelease[],
  ending: GatewayEnding,
  gateway: string,
): Uint8Array {
  const { row, contract, grants, headers } = facts
  return encodeStatement({
    _type: STATEMENT_TYPE,
    subject: [contractSubject(row.digest)],
    predicateType: PREDICATE_TYPE,
    predicate: {
      v: 1,
      type: ending.kind === 'lost' ? 'lost' : 'refusal',
      job: row.digest,
      jobId: contract.jobId,
      attempt: contract.attempt,
      image: contract.image,
      inputs: contract.inputs,
      grants: grants.map((g) => g.digest),
      policies: contract.policies,
      binding: evidence?.bindingDigest ?? null,
      evidence: evidence?.evidenceDigest ?? null,
      ear,
      releases,
      isolation: null,
      outcome: { kind: ending.kind, exitCode: null, code: ending.code, reason: plainText(ending.reason) },
      outputs: [],
      sessions: null,
      usage: null,
      timing: null,
      legal: headers.map((h) => h.document.legal),
      keysDestroyed: [],
      simulated: evidence?.appraisal.simulated ?? false,
      agent: gateway,
    },
  })
}

/** As statements and transitions want it: no control characters, not long, never empty. */
export function plainText(text: string): string {
  const clean = Array.from(text.toWellFormed(), (c) => (c < ' ' || c === '\u007f' ? ' ' : c)).join('')
  if (clean === '') return 'no reason given'
  return clean.length <= MAX_REASON ? clean : `${clean.slice(0, MAX_REASON - 1).toWellFormed()}…`
}
