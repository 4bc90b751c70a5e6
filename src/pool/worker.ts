// Runs in a worker thread of a verifier pool.
import { parentPort, workerData } from 'node:worker_threads'
import { AttestError } from '../verify/errors.ts'
import { createVerifyCache } from '../verify/evidence/cache.ts'
import { type Collateral, type CollateralItem, loadCollateral } from '../verify/evidence/collateral.ts'
import { loadTrustAnchors, type TrustAnchors } from '../verify/evidence/trust-anchors.ts'
import type { VerifyOptions } from '../verify/evidence/types.ts'
import { verifyEvidence } from '../verify/verify-evidence.ts'
import type { Answer, LoadedItems, PoolVerifyOptions, ToWorker } from './protocol.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread only')

const cache = createVerifyCache((workerData as { readonly cacheBytes: number }).cacheBytes)
/** Items by their number, and what they hold once they were asked for. */
const kept = new Map<number, { readonly items: readonly Uint8Array[]; collateral?: Collateral; anchors?: TrustAnchors }>()
let last: Promise<void> = Promise.resolve()

// One message after the other: what was loaded must be there for the evidence that follows.
port.on('message', (message: ToWorker) => {
  last = last.then(() => handle(message))
})

async function handle(message: ToWorker): Promise<void> {
  if (message.kind === 'load') {
    kept.set(message.id, { items: message.items })
    return
  }
  const answers: Answer[] = []
  for (const { input, options } of message.jobs) answers.push(await answer(input, options))
  port?.postMessage(answers)
}

async function answer(input: Uint8Array, options: PoolVerifyOptions): Promise<Answer> {
  try {
    const collateral = await collateralOf(options.collateral)
    const trustAnchors = await anchorsOf(options.trustAnchors)
    return { verdict: await verifyEvidence(input, { ...options, collateral, trustAnchors, cache }) }
  } catch (error) {
    if (error instanceof AttestError) return { code: error.code, message: error.message, at: error.at }
    return { code: 'INTERNAL', message: 'verification failed', at: undefined }
  }
}

/** Items that cannot be read stay as they are: that is an answer about each evidence, as without a pool. */
async function collateralOf(given: PoolVerifyOptions['collateral']): Promise<VerifyOptions['collateral']> {
  if (!('loaded' in given)) return given
  const entry = entryOf(given)
  try {
    entry.collateral ??= await loadCollateral(named('collateral', entry.items), cache)
  } catch (error) {
    if (!(error instanceof AttestError)) throw error
  }
  return entry.collateral ?? entry.items
}

async function anchorsOf(given: PoolVerifyOptions['trustAnchors']): Promise<VerifyOptions['trustAnchors']> {
  if (!('loaded' in given)) return given
  const entry = entryOf(given)
  try {
    entry.anchors ??= await loadTrustAnchors(named('trust anchor', entry.items), cache)
  } catch (error) {
    if (!(error instanceof AttestError)) throw error
  }
  return entry.anchors ?? entry.items
}

function entryOf({ loaded }: LoadedItems): NonNullable<ReturnType<typeof kept.get>> {
  const entry = kept.get(loaded)
  if (entry === undefined) throw new AttestError('USAGE', 'items of another pool, or of one that was closed')
  return entry
}

function named(kind: string, items: readonly Uint8Array[]): CollateralItem[] {
  return items.map((bytes, i) => ({ name: `${kind}[${i}]`, bytes }))
}
