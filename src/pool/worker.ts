// Runs in a worker thread of a verifier pool.
import { parentPort, workerData } from 'node:worker_threads'
import { AttestError } from '../verify/errors.ts'
import { createVerifyCache } from '../verify/evidence/cache.ts'
import { type Collateral, loadCollateral } from '../verify/evidence/collateral.ts'
import { verifyEvidence } from '../verify/verify-evidence.ts'
import type { Answer, LoadedItems, PoolVerifyOptions, ToWorker } from './protocol.ts'

const port = parentPort
if (port === null) throw new Error('runs in a worker thread only')

const cache = createVerifyCache((workerData as { readonly cacheBytes: number }).cacheBytes)
/** Raw bytes beside what they hold: items that cannot be read are an answer about each evidence, as without a pool. */
const kept = new Map<number, Collateral | readonly Uint8Array[]>()
let last: Promise<void> = Promise.resolve()

// One message after the other: what was loaded must be there for the evidence that follows.
port.on('message', (message: ToWorker) => {
  last = last.then(() => handle(message))
})

async function handle(message: ToWorker): Promise<void> {
  if (message.kind === 'load') {
    kept.set(message.id, await loadOrKeep(message.items))
    return
  }
  const answers: Answer[] = []
  for (const { input, options } of message.jobs) answers.push(await answer(input, options))
  port?.postMessage(answers)
}

async function loadOrKeep(items: readonly Uint8Array[]): Promise<Collateral | readonly Uint8Array[]> {
  try {
    return await loadCollateral(
      items.map((bytes, i) => ({ name: `collateral[${i}]`, bytes })),
      cache,
    )
  } catch (error) {
    if (error instanceof AttestError) return items
    throw error
  }
}

async function answer(input: Uint8Array, options: PoolVerifyOptions): Promise<Answer> {
  try {
    const { collateral, trustAnchors } = options
    return {
      verdict: await verifyEvidence(input, { ...options, collateral: itemsOf(collateral), trustAnchors: itemsOf(trustAnchors), cache }),
    }
  } catch (error) {
    if (error instanceof AttestError) return { code: error.code, message: error.message, at: error.at }
    return { code: 'INTERNAL', message: 'verification failed', at: undefined }
  }
}

function itemsOf(items: readonly Uint8Array[] | LoadedItems): Collateral | readonly Uint8Array[] {
  if (!('loaded' in items)) return items
  const found = kept.get(items.loaded)
  if (found === undefined) throw new AttestError('USAGE', 'items of another pool, or of one that was closed')
  return found
}
