// Runs in a worker thread: seals or opens one range of the segments of a file.
import { parentPort, workerData } from 'node:worker_threads'
import { Secret } from '../../seal/secret.ts'
import { AttestError } from '../../verify/errors.ts'
import { runSegments } from './segment-loop.ts'
import type { SegmentMessage, SegmentTask } from './segment-task.ts'

const { range, dek } = workerData as SegmentTask

try {
  const leaves = await runSegments(range, new Secret(dek), (done) => post({ done }))
  post({ leaves })
} catch (error) {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof AttestError) post({ failed: { code: error.code, message, at: error.at } })
  else post({ failed: { errno: (error as NodeJS.ErrnoException).code, message } })
}

function post(message: SegmentMessage): void {
  parentPort?.postMessage(message)
}
