import { join } from 'node:path'
import { issueFlattenedJws } from '../../seal/index.ts'
import { instantOf } from '../../verify/appraise/index.ts'
import { ERASURE_TYP, encodeErasureOrder, parseErasureOrder } from '../../verify/documents/erasure.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { type EventSummary, verifyReceiptFile } from '../../verify/receipt/index.ts'
import type { Client, ErasureProgress } from '../client.ts'
import { makeFolder, PUBLIC, replaceFile, syncFolder } from '../files.ts'
import { FILES } from '../folder.ts'
import { digestOf } from '../grants.ts'
import type { KeptErasure } from '../keyring.ts'
import type { Owner } from '../owner.ts'
import { rest, untilWitnessed } from '../patience.ts'
import { describeFailures } from '../release/check-evidence.ts'
import type { ReleaserKeys } from '../releaser-keys.ts'

export interface EraseRequest {
  readonly owner: Owner
  readonly dataset: string
  /** Whether the gateway is to stop jobs that have the key already. */
  readonly stopJobs: boolean
  /** For people; stands in the receipt. */
  readonly reason: string | null
  /** Exact bytes of the policy under whose log and witnesses the erasure must be proven; null: the log's own word is enough. */
  readonly policy: Uint8Array | null
  /** Seconds since the epoch. */
  readonly now: number
}

/**
 * Erases a dataset as far as this owner's folder goes: the order is signed and remembered, then the key is destroyed. Nothing has
 * been claimed to anybody when it returns, and whatever a crash cuts, the same call does again: the order that is remembered is the
 * one that goes to the gateway. A second call may add that jobs are to be stopped, or name another policy where the gateway refused the first.
 * @returns the order, for {@link eraseAtGateway}.
 * @throws AttestError `NOT_FOUND` for a dataset whose key was never here.
 */
export async function eraseHere(request: EraseRequest): Promise<KeptErasure> {
  const { owner, dataset } = request
  const before = await owner.keyring.erasure(dataset)
  const erasure = before !== null && (await says(before, request)) ? before : await remember(request, before)
  // Durable when it returns: that the key is gone. Only then is anybody told.
  await owner.keyring.destroyDataset(dataset)
  return erasure
}

/** Whether the order that is remembered asks for what is asked now. */
async function says({ jws }: KeptErasure, { stopJobs, policy }: EraseRequest): Promise<boolean> {
  const order = parseErasureOrder((await verifyFlattenedJws(jws, ERASURE_TYP, 'order')).payload)
  return order.policy === (await digestOrNull(policy)) && (order.stopJobs || !stopJobs)
}

async function remember(request: EraseRequest, before: KeptErasure | null): Promise<KeptErasure> {
  const { owner, dataset, stopJobs, reason, policy, now } = request
  const name = before?.name ?? (await owner.keyring.dataset(dataset)).name
  const order = { v: 1, dataset, erasedAt: instantOf(now), stopJobs, policy: await digestOrNull(policy), reason } as const
  const jws = await issueFlattenedJws(encodeErasureOrder(order), ERASURE_TYP, owner.grantKey)
  const erasure = { digest: dataset, name, jws, policy }
  // Durable when it returns: the order. From here on no key leaves this folder for the dataset, and the erasure can be gone on with.
  await owner.keyring.putErasure(erasure)
  return erasure
}

async function digestOrNull(bytes: Uint8Array | null): Promise<string | null> {
  return bytes === null ? null : digestOf(bytes)
}

export interface ErasedDataset {
  readonly dataset: string
  readonly logIndex: number
  readonly summary: EventSummary & { readonly type: 'erasure' }
  /** The receipt file, as kept in the owner's folder. */
  readonly receipt: Uint8Array
  readonly path: string
}

export interface EraseOptions {
  readonly signal?: AbortSignal
  /** Jobs that still have the key. */
  readonly onWaiting?: (jobs: number) => void
}

const POLL_MS = 1000

/**
 * Has a dataset erased at the gateway, waits for jobs that have the key, and keeps the receipt, verified, in the owner's folder.
 * @param erasure - What {@link eraseHere} returned.
 * @throws AttestError those of the gateway; `RECEIPT_INCONSISTENT` or the verdict's own for a receipt that does not hold.
 */
export async function eraseAtGateway(
  client: Client,
  owner: Owner,
  trust: TrustFile,
  erasure: KeptErasure,
  { signal, onWaiting }: EraseOptions = {},
): Promise<ErasedDataset> {
  const options = signal === undefined ? {} : { signal }
  const { jws, policy, digest: dataset } = erasure
  let progress: ErasureProgress
  for (;;) {
    progress = await client.eraseDataset(jws, policy, options)
    if (progress.logIndex !== null) break
    onWaiting?.(progress.waitingJobs)
    await rest(POLL_MS, signal)
  }
  const { logIndex } = progress
  const receipt = await untilWitnessed(() => client.eventReceipt(logIndex, options), signal)
  const summary = await checkErasure(receipt, trust, dataset)
  const folder = join(owner.path, FILES.receipts)
  const path = join(folder, `erasure-${dataset}.sealgate-receipt.json`)
  await makeFolder(folder)
  // Durable when it returns: the receipt. A crash before costs asking the gateway again.
  await replaceFile(path, receipt, PUBLIC)
  await syncFolder(folder)
  return { dataset, logIndex, summary, receipt, path }
}

async function checkErasure(receipt: Uint8Array, trust: TrustFile, dataset: string): Promise<ErasedDataset['summary']> {
  const verdict = await verifyReceiptFile(receipt, { trust })
  if (verdict.decision !== 'accept') {
    const { error, checks } = verdict
    throw new AttestError(error?.code ?? 'RECEIPT_INCONSISTENT', error?.message ?? describeFailures(checks), { at: error?.at ?? 'receipt' })
  }
  const { claims } = verdict
  if (claims.type !== 'erasure' || claims.dataset !== dataset) {
    throw new AttestError('RECEIPT_INCONSISTENT', 'the gateway answered with the receipt of something else', { at: 'receipt' })
  }
  return claims
}

/** @throws AttestError `DATASET_ERASED` when an input of this job was erased here. */
export async function refuseErased(keys: Pick<ReleaserKeys, 'isErased'>, datasets: readonly string[]): Promise<void> {
  for (const dataset of datasets) {
    if (await keys.isErased(dataset))
      throw new AttestError('DATASET_ERASED', `you have erased dataset ${dataset}`, { at: 'contract.inputs' })
  }
}
