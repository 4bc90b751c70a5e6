import * as z from 'zod'
import type { Group } from '../verdict.ts'
import { countField, encodeDocument, instantField, parseDocument, setField, sha256Field, textField } from './fields.ts'
import { GROUPS } from './policy.ts'
import { type Requirements, requirementFields } from './requirements.ts'
import { type AttestationResult, attestationResultSchema, STATEMENT_TYPE } from './statement.ts'

/** JWS `typ` of a receipt of an event: an in-toto Statement as payload. */
export const EVENT_TYP = 'sealgate-event-v1+jws'

/** What happened at a gateway, other than the ending of a job. Also the type of the leaf. */
export type EventType = 'erasure' | 'hold' | 'onboard' | 'revocation'

/** What the gateway says that it destroyed. Nothing proves it but its word; the owner destroyed the key. */
export interface Destroyed {
  /** The sealed file; `digest` is its SHA-256. Null: there was none. */
  readonly ciphertext: { readonly bytes: number; readonly digest: string } | null
  /** Uploads of the same file, finished or not. */
  readonly uploads: number
  /** Jobs whose records and receipts went: those of which every dataset is erased. */
  readonly jobs: number
  /** Sealed results of these jobs. */
  readonly results: number
  /** Grants all of whose datasets are erased. */
  readonly grants: number
  /** Entries of the log whose salt and opening went. */
  readonly openings: number
}

export interface ErasurePredicate {
  readonly v: 1
  readonly type: 'erasure'
  readonly dataset: string
  /** Thumbprint, as the header names it. */
  readonly owner: string
  /** SHA-256 of the order. */
  readonly order: string
  readonly destroyed: Destroyed
  /** Version of the program that made this statement. */
  readonly agent: string
}

export interface RevocationPredicate {
  readonly v: 1
  readonly type: 'revocation'
  readonly grant: string
  /** Thumbprint of who signed grant and revocation. */
  readonly owner: string
  /** SHA-256 of the revocation. */
  readonly revocation: string
  readonly agent: string
}

export interface HoldPredicate {
  readonly v: 1
  readonly type: 'hold'
  readonly grant: string
  /** Thumbprint of who signed grant and hold. */
  readonly owner: string
  /** SHA-256 of the hold, or of its end. */
  readonly hold: string
  readonly agent: string
}

/** Under what evidence of hosts was appraised: the strict default, but for this. */
export interface HostDemands extends Requirements {
  readonly allowUnknown: readonly Group[]
}

export interface OnboardPredicate {
  readonly v: 1
  readonly type: 'onboard'
  /** As the gateway calls it. */
  readonly host: string
  readonly binding: string
  readonly evidence: string
  readonly ear: AttestationResult
  readonly demands: HostDemands
  /** Evidence is asked for again before. */
  readonly expires: string
  readonly agent: string
}

export interface EventPredicates {
  readonly erasure: ErasurePredicate
  readonly hold: HoldPredicate
  readonly onboard: OnboardPredicate
  readonly revocation: RevocationPredicate
}

/** in-toto Statement v1 about one subject. */
export interface EventStatement<T extends EventType> {
  readonly _type: typeof STATEMENT_TYPE
  readonly subject: readonly [{ readonly name: string; readonly digest: { readonly sha256: string } }]
  readonly predicateType: string
  readonly predicate: EventPredicates[T]
}

const agent = textField(64)

const predicates: { readonly [T in EventType]: z.ZodType<EventPredicates[T]> } = {
  erasure: z.strictObject({
    v: z.literal(1),
    type: z.literal('erasure'),
    dataset: sha256Field,
    owner: sha256Field,
    order: sha256Field,
    destroyed: z.strictObject({
      ciphertext: z.strictObject({ bytes: countField(), digest: sha256Field }).nullable(),
      uploads: countField(),
      jobs: countField(),
      results: countField(),
      grants: countField(),
      openings: countField(),
    }),
    agent,
  }),
  hold: z.strictObject({
    v: z.literal(1),
    type: z.literal('hold'),
    grant: sha256Field,
    owner: sha256Field,
    hold: sha256Field,
    agent,
  }),
  onboard: z.strictObject({
    v: z.literal(1),
    type: z.literal('onboard'),
    host: textField(128),
    binding: sha256Field,
    evidence: sha256Field,
    ear: attestationResultSchema,
    demands: z.strictObject({ allowUnknown: setField(z.enum(GROUPS), 16), ...requirementFields }),
    expires: instantField,
    agent,
  }),
  revocation: z.strictObject({
    v: z.literal(1),
    type: z.literal('revocation'),
    grant: sha256Field,
    owner: sha256Field,
    revocation: sha256Field,
    agent,
  }),
}

/** `predicateType`, and the name of the one subject, of each type. */
export const EVENTS: { readonly [T in EventType]: { readonly predicateType: string; readonly subject: string } } = {
  erasure: { predicateType: 'urn:sealgate:erasure:v1', subject: 'dataset' },
  hold: { predicateType: 'urn:sealgate:hold:v1', subject: 'grant' },
  onboard: { predicateType: 'urn:sealgate:onboarding:v1', subject: 'evidence' },
  revocation: { predicateType: 'urn:sealgate:revocation:v1', subject: 'grant' },
}

function schemaOf<T extends EventType>(type: T): z.ZodType<EventStatement<T>> {
  const { predicateType, subject } = EVENTS[type]
  const digest = z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) })
  return z.strictObject({
    _type: z.literal(STATEMENT_TYPE),
    subject: z.tuple([z.strictObject({ name: z.literal(subject), digest })]),
    predicateType: z.literal(predicateType),
    predicate: predicates[type],
  }) as unknown as z.ZodType<EventStatement<T>>
}

const schemas: { readonly [T in EventType]: z.ZodType<EventStatement<T>> } = {
  erasure: schemaOf('erasure'),
  hold: schemaOf('hold'),
  onboard: schemaOf('onboard'),
  revocation: schemaOf('revocation'),
}

export function parseEventStatement<T extends EventType>(type: T, bytes: Uint8Array): EventStatement<T> {
  return parseDocument<EventStatement<T>>('statement', schemas[type], bytes)
}

/** @param sha256 - Of the subject, hexadecimal. */
export function encodeEventStatement<T extends EventType>(type: T, sha256: string, predicate: EventPredicates[T]): Uint8Array {
  const { predicateType, subject } = EVENTS[type]
  const statement = { _type: STATEMENT_TYPE, subject: [{ name: subject, digest: { sha256 } }], predicateType, predicate } as const
  return encodeDocument<EventStatement<T>>('statement', schemas[type], statement)
}
