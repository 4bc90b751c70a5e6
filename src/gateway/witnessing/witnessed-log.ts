import type { Policy } from '../../verify/documents/policy.ts'
import type { StatedRelease } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import { type LoggedEntry, parseCheckpoint, verifyCheckpoint } from '../../verify/tlog/index.ts'
import type { EntryPlace, TransparencyLog } from '../log/index.ts'
import { demandsOf, satisfies } from './demands.ts'
import type { Witnessing } from './witnessing.ts'

/**
 * The log as policies want to see it: what is handed out for a job is cosigned by the quorums that its policies demand. An
 * entry is logged first and cosigned after; until it is, nobody gets it, and whoever asks again gets it later.
 */
export class WitnessedLog {
  readonly #log: TransparencyLog
  readonly #witnessing: Witnessing

  constructor(log: TransparencyLog, witnessing: Witnessing) {
    this.#log = log
    this.#witnessing = witnessing
  }

  /** The log by its names, and whose cosignatures it can bring: what policies are held against. */
  get terms(): Policy['log'] & { readonly witnesses: readonly string[] } {
    return { origin: this.#log.origin, key: this.#log.verifierKey, witnesses: this.#witnessing.keys }
  }

  /** The newest checkpoint for anybody, with the cosignatures that are at hand. */
  async newest(): Promise<string> {
    return this.#witnessing.adorn(await this.#log.checkpoint())
  }

  /** A fresh checkpoint for the nonce of a job. @throws AttestError `WITNESS_QUORUM`. */
  async checkpoint(policies: readonly Policy[]): Promise<string> {
    const newest = await this.#log.checkpoint()
    const demands = await demandsOf(policies, [])
    return demands.length === 0 ? newest : (await this.#witnessing.cosigned(parseCheckpoint(newest).size, demands)).note
  }

  /**
   * An entry of a job under a checkpoint as its policies demand. The first one that is good enough is kept: the same answer
   * for ever, because statements and receipts repeat its time.
   * @param after - Checkpoints that must not be the younger ones, under the same policies.
   * @throws AttestError `NOT_FOUND`, `WITNESS_QUORUM`.
   */
  async entry(index: number, policies: readonly Policy[], after: readonly string[]): Promise<LoggedEntry & EntryPlace> {
    const plain = await this.#log.entryAt(index)
    const demands = await demandsOf(policies, after)
    if (await satisfies(plain.checkpoint, demands)) return plain
    const { note } = await this.#witnessing.cosigned(index + 1, demands)
    await this.#log.keepWitnessed(index, note)
    const entry = await this.#log.entryAt(index)
    if (await satisfies(entry.checkpoint, demands)) return entry
    throw new AttestError('LOG_CORRUPT', `entry ${index} is kept under a checkpoint that its policies do not accept`, { at: 'log' })
  }

  /** Where an entry of a job stands, as statements say it: the earliest time that any policy's witnesses vouch for. */
  async placeOf(index: number, policies: readonly Policy[], after: readonly string[]): Promise<StatedRelease> {
    const { leafHash, checkpoint } = await this.entry(index, policies, after)
    const own = { origin: this.#log.origin, key: this.#log.verifierKey, witnessing: { mode: 'none' } } as const
    const views = policies.length === 0 ? [own] : policies.map(({ log, witnessing }) => ({ ...log, witnessing }))
    const times: number[] = []
    for (const view of views) times.push((await verifyCheckpoint(checkpoint, view)).time)
    return { leafHash, index, treeSize: parseCheckpoint(checkpoint).size, time: Math.min(...times) }
  }
}
