import { type Client, FILES, LogMemory, loadTrustFile } from '../client/index.ts'
import { equal, toBase64Url } from '../verify/bytes/bytes.ts'
import { type Leaf, parseLeaf } from '../verify/documents/leaf.ts'
import { AttestError } from '../verify/errors.ts'
import { leafHash, MerkleFrontier, parseCheckpoint, verifyInclusion, type WitnessedCheckpoint } from '../verify/tlog/index.ts'
import { withClient } from './session.ts'

/** Entries per request; the wire allows 1000. */
const PAGE = 1000

export interface CurrentCheckpoint {
  readonly note: string
  readonly verified: WitnessedCheckpoint
}

/** The newest checkpoint, under a log key of the folder's trust file and consistent with what was seen before. */
export function currentCheckpoint(folder: string, signal: AbortSignal): Promise<CurrentCheckpoint> {
  return withClient(folder, (client) => fetchCheckpoint(client, folder, signal))
}

async function fetchCheckpoint(client: Client, folder: string, signal: AbortSignal): Promise<CurrentCheckpoint> {
  const { logs } = await loadTrustFile(`${folder}/${FILES.trust}`)
  const note = await client.checkpoint({ signal })
  const { origin } = parseCheckpoint(note)
  const log = logs.find((l) => l.origin === origin)
  if (log === undefined) throw new AttestError('SIGNER_UNKNOWN', `the trust file names no log ${origin}`, { at: 'checkpoint' })
  const proofs = (from: number, to: number): Promise<readonly Uint8Array[]> => client.consistencyProof(from, to, { signal })
  return { note, verified: await new LogMemory(folder).accept(log, note, 'current', proofs) }
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
export function proveEntry(folder: string, index: number, signal: AbortSignal): Promise<EntryProof> {
  return withClient(folder, async (client) => {
    const { note, verified } = await fetchCheckpoint(client, folder, signal)
    if (index >= verified.size) throw new AttestError('NOT_FOUND', `the log has ${verified.size} entries, counted from 0`)
    const [bytes] = await client.leaves(index, 1, { signal })
    if (bytes === undefined) throw new AttestError('LOG_PROOF_INVALID', `the gateway does not hand out entry ${index}`)
    const hash = await leafHash(bytes)
    const proof = await client.inclusionProof(index, verified.size, { signal })
    await verifyInclusion({ leafHash: hash, index, size: verified.size, root: verified.root, proof })
    return {
      index,
      size: verified.size,
      leaf: parseLeaf(bytes),
      leafHash: toBase64Url(hash),
      proof: proof.map(toBase64Url),
      checkpoint: note,
    }
  })
}

export interface LogAudit {
  readonly size: number
  readonly counts: Readonly<Record<string, number>>
  readonly findings: readonly string[]
}

/** Reads the whole log and checks what anybody can check of it. @throws AttestError `LOG_PROOF_INVALID` for another root. */
export function auditLog(folder: string, signal: AbortSignal, onProgress: (done: number, total: number) => void): Promise<LogAudit> {
  return withClient(folder, async (client) => {
    const { verified } = await fetchCheckpoint(client, folder, signal)
    const audit = new Audit()
    let frontier = MerkleFrontier.empty
    while (frontier.size < verified.size) {
      const page = await client.leaves(frontier.size, Math.min(PAGE, verified.size - frontier.size), { signal })
      if (page.length === 0) throw new AttestError('LOG_PROOF_INVALID', `the gateway does not hand out entry ${frontier.size}`)
      for (const bytes of page) {
        const hash = await leafHash(bytes)
        audit.add(frontier.size, parseLeaf(bytes), toBase64Url(hash))
        frontier = (await frontier.append(hash)).frontier
      }
      onProgress(frontier.size, verified.size)
    }
    if (!equal(await frontier.root(), verified.root))
      throw new AttestError('LOG_PROOF_INVALID', 'the entries have another root than the checkpoint says')
    return { size: verified.size, ...audit.report(verified.time) }
  })
}

/** What the leaves alone show: use tags that repeat, and releases without an ending. */
export class Audit {
  readonly #counts = new Map<string, number>()
  readonly #tags = new Map<string, number>()
  /** Releases that wait for their ending, by leaf hash. */
  readonly #open = new Map<string, { readonly index: number; readonly deadline: string }>()
  readonly #findings: string[] = []

  add(index: number, leaf: Leaf, hash: string): void {
    this.#counts.set(leaf.type, (this.#counts.get(leaf.type) ?? 0) + 1)
    for (const tag of leaf.tags) {
      const first = this.#tags.get(tag)
      if (first === undefined) this.#tags.set(tag, index)
      else this.#findings.push(`entry ${index} uses the slot of entry ${first} a second time`)
    }
    if (leaf.ends !== null && !this.#open.delete(leaf.ends)) this.#findings.push(`entry ${index} ends a release that is not open`)
    if (leaf.type === 'release' && leaf.deadline !== null) this.#open.set(hash, { index, deadline: leaf.deadline })
  }

  /** @param time - Of the checkpoint, seconds since the epoch. */
  report(time: number): Pick<LogAudit, 'counts' | 'findings'> {
    const late = [...this.#open.values()].filter((r) => Date.parse(r.deadline) / 1000 < time)
    const missing = late.map((r) => `the release of entry ${r.index} has no ending by ${r.deadline}`)
    return { counts: Object.fromEntries(this.#counts), findings: [...this.#findings, ...missing] }
  }
}
