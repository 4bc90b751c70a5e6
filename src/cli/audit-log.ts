import { join } from 'node:path'
import {
  describeFinding,
  FILES,
  gatewayLog,
  type KnownLog,
  LogAudit,
  LogMemory,
  type LogSource,
  loadTrustFile,
  MAX_FILE_SIZE,
  readBytesIfThere,
  type WebOptions,
  webLog,
} from '../client/index.ts'
import { equal, fromUtf8, toBase64Url } from '../verify/bytes/bytes.ts'
import { type Leaf, parseLeaf } from '../verify/documents/leaf.ts'
import type { TrustFile } from '../verify/documents/trust.ts'
import { AttestError } from '../verify/errors.ts'
import { leafHash, MerkleFrontier, parseCheckpoint, verifyInclusion, type WitnessedCheckpoint } from '../verify/tlog/index.ts'
import { withClient } from './session.ts'

/** Whose word on a log is asked for, and who asks. */
export interface LogQuestion {
  /** Client folder: trust file, memory of checkpoints, and identity where the gateway itself is asked. */
  readonly folder: string
  /** Where the log can be read by anybody; null: at the gateway of the folder. */
  readonly url: string | null
  readonly signal: AbortSignal
}

/** Opens the log that is asked about. */
export async function withLog<T>({ folder, url, signal }: LogQuestion, work: (source: LogSource) => Promise<T>): Promise<T> {
  if (url !== null) return work(webLog(url, await webOptions(folder, signal)))
  return withClient(folder, (client) => work(gatewayLog(client, { signal })))
}

/** The authority of the folder's gateway counts beside the public ones, should it serve its log over HTTPS itself. */
export async function webOptions(folder: string, signal: AbortSignal): Promise<WebOptions> {
  const ca = await readBytesIfThere(join(folder, FILES.ca), MAX_FILE_SIZE)
  return { signal, ...(ca === null ? {} : { ca: fromUtf8(ca) }) }
}

export interface CurrentCheckpoint {
  readonly note: string
  readonly verified: WitnessedCheckpoint
}

/** The newest checkpoint, under a log key of the folder's trust file and consistent with what was seen before. */
export function currentCheckpoint(question: LogQuestion): Promise<CurrentCheckpoint> {
  return withLog(question, (source) => fetchCheckpoint(source, question.folder))
}

async function fetchCheckpoint(source: LogSource, folder: string): Promise<CurrentCheckpoint> {
  const trust = await loadTrustFile(join(folder, FILES.trust))
  const note = await source.checkpoint()
  const log = logOf(trust, note)
  const proofs = (from: number, to: number): Promise<readonly Uint8Array[]> => source.consistencyProof(from, to)
  return { note, verified: await new LogMemory(folder).accept(log, note, 'current', proofs) }
}

/** Which log of the trust file a checkpoint claims to be of. @throws AttestError `SIGNER_UNKNOWN`. */
export function logOf({ logs }: TrustFile, note: string): KnownLog {
  const { origin } = parseCheckpoint(note)
  const log = logs.find((l) => l.origin === origin)
  if (log === undefined) throw new AttestError('SIGNER_UNKNOWN', `the trust file names no log ${origin}`, { at: 'checkpoint' })
  return log
}

export interface EntryProof {
  readonly index: number
  readonly size: number
  readonly leaf: Leaf
  readonly leafHash: string
  readonly proof: readonly string[]
  readonly checkpoint: string
}

/** @throws AttestError `NOT_FOUND` beyond the log, `LOG_PROOF_INVALID`. */
export function proveEntry(question: LogQuestion, index: number): Promise<EntryProof> {
  return withLog(question, async (source) => {
    const { note, verified } = await fetchCheckpoint(source, question.folder)
    const { size, root } = verified
    if (index >= size) throw new AttestError('NOT_FOUND', `the log has ${size} entries, counted from 0`)
    const [bytes] = await source.leaves(index, size, 1)
    if (bytes === undefined) throw new AttestError('LOG_PROOF_INVALID', `${source.name} does not hand out entry ${index}`)
    const hash = await leafHash(bytes)
    const proof = await source.inclusionProof(index, size)
    await verifyInclusion({ leafHash: hash, index, size, root, proof })
    return { index, size, leaf: parseLeaf(bytes), leafHash: toBase64Url(hash), proof: proof.map(toBase64Url), checkpoint: note }
  })
}

export interface LogReport {
  readonly size: number
  readonly counts: Readonly<Record<string, number>>
  readonly findings: readonly string[]
}

/** Reads the whole log and checks what anybody can check of it. @throws AttestError `LOG_PROOF_INVALID` for another root. */
export function auditLog(question: LogQuestion, onProgress: (done: number, total: number) => void): Promise<LogReport> {
  return withLog(question, async (source) => {
    const { verified } = await fetchCheckpoint(source, question.folder)
    const { size, root, time } = verified
    const audit = new LogAudit()
    const findings: string[] = []
    let frontier = MerkleFrontier.empty
    while (frontier.size < size) {
      const page = (await source.leaves(frontier.size, size)).slice(0, size - frontier.size)
      if (page.length === 0) throw new AttestError('LOG_PROOF_INVALID', `${source.name} does not hand out entry ${frontier.size}`)
      for (const bytes of page) {
        const hash = await leafHash(bytes)
        findings.push(...audit.add(frontier.size, parseLeaf(bytes), toBase64Url(hash)).map(describeFinding))
        frontier = (await frontier.append(hash)).frontier
      }
      onProgress(frontier.size, size)
    }
    if (!equal(await frontier.root(), root)) {
      throw new AttestError('LOG_PROOF_INVALID', 'the entries have another root than the checkpoint says')
    }
    return { size, counts: audit.counts, findings: [...findings, ...audit.overdue(time).map(describeFinding)] }
  })
}
