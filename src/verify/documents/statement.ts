import * as z from 'zod'
import { ERROR_CODES, type ErrorCode } from '../errors.ts'
import { type ItemOutcome, itemOutcomesSchema, MAX_ITEMS } from './array.ts'
import { type ContractInput, type ImageRef, imageRefSchema, inputSchema } from './contract.ts'
import { bytesField, countField, encodeDocument, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { type LegalContext, legalSchema } from './header.ts'
import { ISOLATION_GRADES, type IsolationGrade } from './isolation.ts'
import { MAX_RELEASES } from './leaf.ts'

/** JWS `typ` of a receipt: an in-toto Statement as payload. */
export const RECEIPT_TYP = 'sealgate-receipt-v1+jws'
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1'
export const PREDICATE_TYPE = 'urn:sealgate:receipt:v1'

export type ReceiptType = 'execution' | 'refusal' | 'lost'
export type OutcomeKind =
  | 'succeeded'
  | 'failed'
  | 'timeout'
  | 'out-of-memory'
  | 'output-too-large'
  | 'idle'
  | 'cancelled'
  | 'refused'
  | 'lost'

/** The gateway's attestation result for the job evidence, in the words of EAR (draft-ietf-rats-ear). */
export interface AttestationResult {
  readonly profile: 'tag:ietf.org,2026:rats/ear#01'
  readonly verifier: string
  /** Seconds since the epoch, the gateway's clock. */
  readonly iat: number
  readonly status: 'affirming' | 'warning' | 'contraindicated'
  readonly tee: string
  readonly measurement: string | null
  readonly bindingGrade: string
  readonly simulated: boolean
}

/** Where a release stands in the log. `time` is the earliest that any policy's witnesses vouch for. */
export interface StatedRelease {
  readonly leafHash: string
  readonly index: number
  readonly treeSize: number
  readonly time: number
}

/** What was done, by whom, on what, under which rules. Times are seconds since the epoch from log checkpoints. */
export interface Predicate {
  readonly v: 1
  readonly type: ReceiptType
  /** Job digest. */
  readonly job: string
  readonly jobId: string
  readonly attempt: number
  readonly image: ImageRef
  readonly inputs: readonly ContractInput[]
  readonly grants: readonly string[]
  readonly policies: readonly string[]
  /** SHA-256 of the binding; null when the job ended before evidence existed. */
  readonly binding: string | null
  readonly evidence: string | null
  readonly ear: AttestationResult | null
  /** The releases that stand in the log, in their order there: one for each releaser, unless the job ended before. */
  readonly releases: readonly StatedRelease[]
  readonly isolation: {
    readonly runner: 'docker' | 'wasm'
    readonly profile: string
    /** SHA-256 of the profile as applied (canonical JSON). */
    readonly profileDigest: string
    readonly grade: IsolationGrade
  } | null
  readonly outcome: {
    readonly kind: OutcomeKind
    readonly exitCode: number | null
    readonly code: ErrorCode | null
    /** For people; never holds data of the job. */
    readonly reason: string
  }
  /** Salted commitments to each output; the salts travel sealed with the results. */
  readonly outputs: readonly { readonly commitment: string }[]
  /** How each item of an array job ended, in the contract's order; absent for any other job. */
  readonly items?: readonly ItemOutcome[] | undefined
  /** How each session of a service ended, in the order in which they began; null for a batch job. See documents/session.ts. */
  readonly sessions: readonly { readonly session: string; readonly head: string }[] | null
  /** Measured by the agent inside the enclave. */
  readonly usage: {
    readonly source: 'guest-reported'
    readonly wallMs: number
    readonly cpuMs: number | null
    /** `wallMs` times the GPUs that the job was given; absent where it was given none. */
    readonly gpuMs?: number | undefined
    readonly memoryPeakBytes: number | null
    readonly bytesIn: number
    readonly bytesOut: number
  } | null
  /** The enclave's bounds of now when it finished: lower from the log, upper = lower + its own monotonic clock. */
  readonly timing: { readonly notBefore: number; readonly notAfter: number } | null
  readonly legal: readonly LegalContext[]
  /** Which keys the agent destroyed before this signature, as far as its runtime lets it. */
  readonly keysDestroyed: readonly ('kem' | 'data')[]
  /** True when the evidence was signed by a simulator. */
  readonly simulated: boolean
  /** Version of the program that made this statement. */
  readonly agent: string
}

/**
 * in-toto Statement v1. Subjects: the sealed results (SHA-256 of the whole file), followed by the manifest of each item of an
 * array job that was run; or the contract when there are no results.
 */
export interface Statement {
  readonly _type: typeof STATEMENT_TYPE
  readonly subject: readonly { readonly name: string; readonly digest: { readonly sha256: string } }[]
  readonly predicateType: typeof PREDICATE_TYPE
  readonly predicate: Predicate
}

export const attestationResultSchema: z.ZodType<AttestationResult> = z.strictObject({
  profile: z.literal('tag:ietf.org,2026:rats/ear#01'),
  verifier: textField(128),
  iat: countField(),
  status: z.enum(['affirming', 'warning', 'contraindicated']),
  tee: textField(32),
  measurement: z
    .string()
    .regex(/^([0-9a-f]{2})*$/)
    .max(128)
    .nullable(),
  bindingGrade: textField(32),
  simulated: z.boolean(),
})

const predicateSchema: z.ZodType<Predicate> = z.strictObject({
  v: z.literal(1),
  type: z.enum(['execution', 'refusal', 'lost']),
  job: sha256Field,
  jobId: bytesField(16),
  attempt: countField(1000),
  image: imageRefSchema,
  inputs: z.array(inputSchema).min(1).max(64),
  grants: setField(sha256Field, 16),
  policies: setField(sha256Field, 16),
  binding: sha256Field.nullable(),
  evidence: sha256Field.nullable(),
  ear: attestationResultSchema.nullable(),
  releases: z
    .array(z.strictObject({ leafHash: sha256Field, index: countField(), treeSize: countField(), time: countField() }))
    .max(MAX_RELEASES)
    .refine((list) => list.every((r, i) => i === 0 || (list[i - 1]?.index ?? 0) < r.index), {
      error: 'want releases in their order in the log',
    }),
  isolation: z
    .strictObject({
      runner: z.enum(['docker', 'wasm']),
      profile: textField(64),
      profileDigest: sha256Field,
      grade: z.enum(ISOLATION_GRADES),
    })
    .nullable(),
  outcome: z.strictObject({
    kind: z.enum(['succeeded', 'failed', 'timeout', 'out-of-memory', 'output-too-large', 'idle', 'cancelled', 'refused', 'lost']),
    exitCode: z.number().int().min(0).max(255).nullable(),
    code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]).nullable(),
    reason: textField(512),
  }),
  outputs: z.array(z.strictObject({ commitment: sha256Field })).max(1024),
  items: itemOutcomesSchema.optional(),
  sessions: z
    .array(z.strictObject({ session: bytesField(16), head: sha256Field }))
    .max(64)
    .nullable(),
  usage: z
    .strictObject({
      source: z.literal('guest-reported'),
      wallMs: countField(),
      cpuMs: countField().nullable(),
      gpuMs: countField().optional(),
      memoryPeakBytes: countField().nullable(),
      bytesIn: countField(),
      bytesOut: countField(),
    })
    .nullable(),
  timing: z.strictObject({ notBefore: countField(), notAfter: countField() }).nullable(),
  legal: z.array(legalSchema).max(64),
  keysDestroyed: z.array(z.enum(['kem', 'data'])).max(2),
  simulated: z.boolean(),
  agent: textField(64),
})

const schema: z.ZodType<Statement> = z.strictObject({
  _type: z.literal(STATEMENT_TYPE),
  subject: z
    .array(z.strictObject({ name: textField(128), digest: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }) }))
    .min(1)
    .max(1 + MAX_ITEMS),
  predicateType: z.literal(PREDICATE_TYPE),
  predicate: predicateSchema,
})

export function parseStatement(bytes: Uint8Array): Statement {
  return parseDocument('statement', schema, bytes)
}

export function encodeStatement(statement: Statement): Uint8Array {
  return encodeDocument('statement', schema, statement)
}
