import { join } from 'node:path'
import {
  exists,
  FILES,
  LogMemory,
  LogMonitor,
  type LogSource,
  loadOwner,
  loadTrustFile,
  type OtherView,
  OwnReleases,
  readBytes,
  webLog,
} from '../client/index.ts'
import { unixSeconds } from '../verify/appraise/index.ts'
import { fromUtf8 } from '../verify/bytes/bytes.ts'
import { logOf, webOptions } from './audit-log.ts'

/** A note has at most 16 Ki characters. */
const MAX_NOTE_BYTES = 64 * 1024

export interface WatchOptions {
  readonly folder: string
  readonly source: LogSource
  /** URLs of copies of the log, or files that hold a checkpoint. */
  readonly compare: readonly string[]
  readonly maxAgeSeconds: number
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

export interface Watch {
  readonly origin: string
  readonly monitor: LogMonitor
  /** False where the folder has no keys of an owner: releases of nobody are looked for then. */
  readonly knowsOwn: boolean
}

/** Prepares the monitor of a client folder. The log is the one whose checkpoint the source shows, if the trust file names it. */
export async function openWatch({ folder, source, compare, maxAgeSeconds, signal, onProgress }: WatchOptions): Promise<Watch> {
  const log = logOf(await loadTrustFile(join(folder, FILES.trust)), await source.checkpoint())
  const own = (await exists(join(folder, FILES.recipientKey))) ? new OwnReleases(await loadOwner(folder)) : null
  const others = await Promise.all(compare.map((text) => otherView(folder, text, signal)))
  const now = (): number => unixSeconds(new Date())
  const monitor = new LogMonitor({ log, source, memory: new LogMemory(folder), others, own, maxAgeSeconds, now, onProgress })
  return { origin: log.origin, monitor, knowsOwn: own !== null }
}

async function otherView(folder: string, text: string, signal: AbortSignal): Promise<OtherView> {
  if (/^https?:\/\//.test(text)) return webLog(text, await webOptions(folder, signal))
  const checkpoint = async (): Promise<string> => fromUtf8(await readBytes(text, MAX_NOTE_BYTES))
  // A file that is not there is told at once.
  await checkpoint()
  return { name: text, checkpoint }
}
