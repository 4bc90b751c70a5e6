import * as z from 'zod'
import type { Group } from '../verdict.ts'
import { countField, encodeDocument, parseDocument, setField, textField } from './fields.ts'
import { ISOLATION_GRADES, type IsolationGrade } from './isolation.ts'
import { type HpkeSuiteName, hpkeSuiteField } from './keys.ts'
import { type Requirements, requirementFields } from './requirements.ts'

export type BindingGrade = 'none' | 'nonce' | 'committed' | 'link'
export type PlacementGrade = 'none' | 'operator-stated' | 'facility-signed'

/** Policy v1 (design section 3). Its digest is over the canonical bytes; grants name it by that digest. */
export interface Policy {
  readonly v: 1
  readonly appraisal: Requirements & {
    readonly tees: readonly string[]
    readonly allowSimulated: boolean
    /** Launch measurements that may receive data. Empty: none may. */
    readonly measurements: readonly { readonly tee: string; readonly value: string }[]
    /** Rule groups whose `unknown` is accepted. */
    readonly allowUnknown: readonly Group[]
  }
  /** The only log whose entries open data: origin and C2SP verifier key. */
  readonly log: { readonly origin: string; readonly key: string }
  readonly witnessing: { readonly mode: 'none' } | { readonly mode: 'quorum'; readonly k: number; readonly keys: readonly string[] }
  readonly maximumAge: { readonly checkpointSeconds: number; readonly collateralSeconds: number }
  readonly minimumTcbEvaluationDataNumber: number | null
  readonly minimumGrades: {
    readonly binding: BindingGrade
    readonly placement: PlacementGrade
    /** How well the workload is kept in; absent: as well as any of `runners` does. */
    readonly isolation?: IsolationGrade | undefined
  }
  readonly runners: readonly ('docker' | 'wasm')[]
  readonly suites: readonly HpkeSuiteName[]
  /** Cedar policy text for who-may-what. Only the empty text is understood today; anything else is refused. */
  readonly cedar: ''
}

/** Groups whose `unknown` may be accepted. */
export const GROUPS: readonly [Group, ...Group[]] = ['revocation', 'reference-values', 'tcb', 'freshness', 'binding', 'policy', 'debug']

const schema: z.ZodType<Policy> = z.strictObject({
  v: z.literal(1),
  appraisal: z.strictObject({
    tees: setField(textField(32), 16),
    allowSimulated: z.boolean(),
    measurements: z.array(z.strictObject({ tee: textField(32), value: z.string().regex(/^([0-9a-f]{2}){32,64}$/) })).max(256),
    allowUnknown: setField(z.enum(GROUPS), 16),
    ...requirementFields,
  }),
  log: z.strictObject({ origin: textField(256), key: textField(512) }),
  witnessing: z.discriminatedUnion('mode', [
    z.strictObject({ mode: z.literal('none') }),
    z
      .strictObject({ mode: z.literal('quorum'), k: countField(64), keys: setField(textField(512), 64) })
      .refine((w) => w.k > w.keys.length / 2 && w.k <= w.keys.length, { error: 'want n/2 < k <= n' }),
  ]),
  maximumAge: z.strictObject({ checkpointSeconds: countField(), collateralSeconds: countField() }),
  minimumTcbEvaluationDataNumber: countField().nullable(),
  minimumGrades: z.strictObject({
    binding: z.enum(['none', 'nonce', 'committed', 'link']),
    placement: z.enum(['none', 'operator-stated', 'facility-signed']),
    isolation: z.enum(ISOLATION_GRADES).optional(),
  }),
  runners: setField(z.enum(['docker', 'wasm']), 2),
  suites: z.array(hpkeSuiteField).min(1).max(8),
  cedar: z.literal('', { error: 'cedar text is not supported yet; an unread rule must not pass' }),
})

export function parsePolicy(bytes: Uint8Array): Policy {
  return parseDocument('policy', schema, bytes)
}

export function encodePolicy(policy: Policy): Uint8Array {
  return encodeDocument('policy', schema, policy)
}
