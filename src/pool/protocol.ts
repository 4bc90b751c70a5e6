import type { ErrorCode } from '../verify/errors.ts'
import type { VerifyOptions } from '../verify/evidence/types.ts'
import type { EvidenceVerdict } from '../verify/verify-evidence.ts'

/** Collateral or roots that every worker of a pool has loaded, by its number there. */
export interface LoadedItems {
  readonly loaded: number
}

/** {@link VerifyOptions} as far as they can be sent: the cache is each worker's own. */
export interface PoolVerifyOptions extends Omit<VerifyOptions, 'cache' | 'collateral' | 'trustAnchors'> {
  readonly collateral: readonly Uint8Array[] | LoadedItems
  readonly trustAnchors: readonly Uint8Array[] | LoadedItems
}

/** To a worker: items to keep, or evidence to verify, in batches since a message costs more than what it holds. */
export type ToWorker =
  | { readonly kind: 'load'; readonly id: number; readonly items: readonly Uint8Array[] }
  | { readonly kind: 'verify'; readonly jobs: readonly { readonly input: Uint8Array; readonly options: PoolVerifyOptions }[] }

/** From a worker: one answer for each job of one batch, in its order. */
export type Answer =
  | { readonly verdict: EvidenceVerdict }
  | { readonly code: ErrorCode; readonly message: string; readonly at: string | undefined }
export type FromWorker = readonly Answer[]
