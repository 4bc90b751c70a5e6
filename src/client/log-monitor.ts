import { equal, toBase64Url } from '../verify/bytes/bytes.ts'
import { type Leaf, parseLeaf } from '../verify/documents/leaf.ts'
import { AttestError, type ErrorCode } from '../verify/errors.ts'
import { leafHash, MerkleFrontier, verifyCheckpoint, verifyConsistency, type WitnessedCheckpoint } from '../verify/tlog/index.ts'
import { LogAudit, type LogFinding } from './log-audit.ts'
import type { KnownLog, LogMemory } from './log-memory.ts'
import type { LogSource } from './log-source.ts'
import type { OwnReleases } from './own-releases.ts'

/** Two checkpoints under one log's key that do not fit together: each is signed, so the two are proof against the log. */
export interface LogFork {
  readonly kind: 'fork'
  /** Where the second one comes from. */
  readonly with: string
  readonly reason: string
  /** C2SP signed notes. */
  readonly checkpoints: readonly [string, string]
}

/** A checkpoint of the same log that came another way. */
export interface OtherView {
  /** For people. */
  readonly name: string
  checkpoint(): Promise<string>
}

export interface MonitorOptions {
  readonly log: KnownLog
  readonly source: LogSource
  /** Keeps the newest checkpoint from pass to pass, and over restarts. */
  readonly memory: LogMemory
  readonly others: readonly OtherView[]
  /** Null: nobody's releases are looked for. */
  readonly own: OwnReleases | null
  /** A checkpoint older than that is a finding. */
  readonly maxAgeSeconds: number
  /** Seconds since the epoch. */
  readonly now: () => number
  readonly onProgress?: (done: number, total: number) => void
}

/** A view that could not be had, so nothing was held against it. */
export interface MissingView {
  readonly name: string
  readonly code: ErrorCode
  readonly message: string
}

/** What one pass found that the passes before did not. */
export interface MonitorPass {
  readonly size: number
  readonly time: number
  /** Entries that this pass read. */
  readonly read: number
  /** Of them, releases that the owner's client made. */
  readonly ownReleases: number
  readonly findings: readonly LogFinding[]
  readonly forks: readonly LogFork[]
  readonly missing: readonly MissingView[]
}

/**
 * Follows a log for an owner. Each pass verifies the newest checkpoint, that it continues the last one seen (also by
 * earlier runs) and fits those that came other ways, reads the entries in between, and holds their root against it. The
 * first pass of a process reads the whole log: no conclusion is taken over from a file.
 */
export class LogMonitor {
  readonly #options: MonitorOptions
  readonly #audit = new LogAudit()
  /** Findings that were reported. */
  readonly #told = new Set<string>()
  #frontier = MerkleFrontier.empty
  /** Of entries that were read, and whose root is not verified yet. */
  #pending: LogFinding[] = []

  constructor(options: MonitorOptions) {
    this.#options = options
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#audit.counts
  }

  /**
   * @throws AttestError `LOG_CHECKPOINT_INVALID`, `LOG_PROOF_INVALID` when the entries are not those of the checkpoint;
   * those of the source when it cannot be read. A pass that failed is made up for by the next.
   */
  async pass(): Promise<MonitorPass> {
    const { source, others, own, log } = this.#options
    // The others first: the log itself is then at least as long as each of them, or hides something.
    const views = []
    const missing: MissingView[] = []
    for (const other of others) {
      // A copy that is away, or not of this log, must not keep the owner from looking at the log itself.
      try {
        const note = await other.checkpoint()
        views.push({ name: other.name, note, verified: await verifyUnder(log, note) })
      } catch (error) {
        if (!(error instanceof AttestError) || error.code === 'CANCELLED') throw error
        missing.push({ name: other.name, code: error.code, message: error.message })
      }
    }
    const note = await source.checkpoint()
    const verified = await verifyUnder(log, note)
    const fork = await this.#remember(note)
    const forks = fork === null ? [] : [fork]
    // After a fork nothing that this source says of its entries is worth reading.
    if (fork !== null) return { size: verified.size, time: verified.time, read: 0, ownReleases: 0, findings: [], forks, missing }
    for (const view of views) {
      const reason = await this.#misfit(view.verified, verified)
      if (reason !== null) forks.push({ kind: 'fork', with: view.name, reason, checkpoints: [note, view.note] })
    }
    await own?.refresh()
    const from = this.#frontier.size
    const ownReleases = await this.#read(verified)
    const age = this.#options.now() - verified.time
    const findings = [
      ...this.#pending,
      ...this.#audit.overdue(verified.time),
      ...(age > this.#options.maxAgeSeconds ? [{ kind: 'stale-checkpoint', time: verified.time, ageSeconds: age } as const] : []),
    ]
    this.#pending = []
    const { size, time } = verified
    return { size, time, read: size - from, ownReleases, findings: this.#untold(findings), forks, missing }
  }

  /** The newest checkpoint against the newest seen before. @returns null when it continues that one. */
  async #remember(note: string): Promise<LogFork | null> {
    const { log, memory, source } = this.#options
    const before = await memory.newest(log)
    try {
      await memory.accept(log, note, 'current', (from, to) => source.consistencyProof(from, to))
      return null
    } catch (error) {
      if (!(error instanceof AttestError) || error.code !== 'LOG_PROOF_INVALID' || before === null) throw error
      return { kind: 'fork', with: 'what was seen before', reason: error.message, checkpoints: [before, note] }
    }
  }

  /** Why a checkpoint that came another way does not fit; null when it does. */
  async #misfit(other: WitnessedCheckpoint, ours: WitnessedCheckpoint): Promise<string | null> {
    if (other.size > ours.size) return `there the log has ${other.size} entries, here it shows ${ours.size}`
    if (other.size === ours.size) return equal(other.root, ours.root) ? null : `two trees of ${ours.size} entries`
    const proof = other.size === 0 ? [] : await this.#options.source.consistencyProof(other.size, ours.size)
    try {
      await verifyConsistency({ oldSize: other.size, oldRoot: other.root, newSize: ours.size, newRoot: ours.root, proof })
      return null
    } catch {
      return `the ${other.size} entries there are not the first ones of the ${ours.size} here`
    }
  }

  /** Reads up to the checkpoint. @returns how many releases of the owner's own were among the entries. */
  async #read({ size, root }: WitnessedCheckpoint): Promise<number> {
    const { source, onProgress } = this.#options
    let ownReleases = 0
    while (this.#frontier.size < size) {
      const page = (await source.leaves(this.#frontier.size, size)).slice(0, size - this.#frontier.size)
      if (page.length === 0) throw new AttestError('LOG_PROOF_INVALID', `${source.name} does not hand out entry ${this.#frontier.size}`)
      for (const bytes of page) {
        const hash = await leafHash(bytes)
        if (this.#look(this.#frontier.size, bytes, hash)) ownReleases++
        this.#frontier = (await this.#frontier.append(hash)).frontier
      }
      onProgress?.(this.#frontier.size, size)
    }
    if (!equal(await this.#frontier.root(), root)) {
      throw new AttestError('LOG_PROOF_INVALID', `the entries of ${source.name} have another root than its checkpoint says`)
    }
    return ownReleases
  }

  /** @returns true for a release of the owner's own. */
  #look(index: number, bytes: Uint8Array, hash: Uint8Array): boolean {
    let leaf: Leaf
    try {
      leaf = parseLeaf(bytes)
    } catch (error) {
      if (!(error instanceof AttestError)) throw error
      this.#pending.push({ kind: 'malformed-entry', index, reason: error.code })
      return false
    }
    this.#pending.push(...this.#audit.add(index, leaf, toBase64Url(hash)))
    const ownership = this.#options.own?.of(leaf) ?? 'foreign'
    if (typeof ownership !== 'string') {
      const { grant, k } = ownership.unexpected
      this.#pending.push({ kind: 'unexpected-release', index, grant, slot: k })
    }
    return ownership === 'own'
  }

  #untold(findings: readonly LogFinding[]): readonly LogFinding[] {
    return findings.filter((finding) => {
      const key = finding.kind === 'stale-checkpoint' ? `${finding.kind} ${finding.time}` : `${finding.kind} ${finding.index}`
      const isNew = !this.#told.has(key)
      this.#told.add(key)
      return isNew
    })
  }
}

function verifyUnder(log: KnownLog, note: string): Promise<WitnessedCheckpoint> {
  return verifyCheckpoint(note, { ...log, witnessing: { mode: 'none' } })
}
