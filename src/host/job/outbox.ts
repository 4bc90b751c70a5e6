import { join } from 'node:path'
import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { blobField, bytesField, countField, encodeDocument, parseDocument, sha256Field } from '../../verify/documents/fields.ts'
import { MAX_HEADER_SIZE } from '../../verify/documents/header.ts'
import type { DurableFiles } from './durable-files.ts'

/** Sealed results as they lie in the state folder. */
export interface SealedResults {
  readonly header: Uint8Array
  /** base64url. */
  readonly root: string
  /** Of the whole sealed file. */
  readonly sizeBytes: number
}

/** A signed outcome that the gateway has not acknowledged yet. Holds no secret: what is sealed stays sealed. */
export interface PendingOutcome {
  readonly jobId: string
  /** General JWS with the job key's signature. */
  readonly receipt: Uint8Array
  readonly results: SealedResults | null
}

const markerSchema = z.strictObject({ v: z.literal(1), jobId: bytesField(16) })
const outcomeSchema = z.strictObject({
  v: z.literal(1),
  jobId: bytesField(16),
  receipt: blobField(512 * 1024),
  results: z.strictObject({ header: blobField(MAX_HEADER_SIZE), root: sha256Field, sizeBytes: countField() }).nullable(),
})

const MAX_OUTCOME_SIZE = 1024 * 1024
const RUNNING = /^running-([A-Za-z0-9_-]{22})\.json$/
const OUTCOME = /^outcome-([A-Za-z0-9_-]{22})\.json$/
const RESULTS = /^results-([A-Za-z0-9_-]{22})\.sealed$/

const runningName = (jobId: string): string => `running-${jobId}.json`
const outcomeName = (jobId: string): string => `outcome-${jobId}.json`
const resultsName = (jobId: string): string => `results-${jobId}.sealed`

/**
 * What the agent must not forget across a crash: which job it was in the middle of, and which signed outcomes wait for
 * the gateway. For every job that was begun there is a marker or an outcome until the gateway has acknowledged its end.
 */
export class Outbox {
  readonly #files: DurableFiles
  readonly #outcomes = new Map<string, PendingOutcome>()
  /** Jobs that an earlier run of the agent began and did not end. Their keys died with it. */
  readonly #lost = new Set<string>()
  readonly #running = new Set<string>()

  private constructor(files: DurableFiles) {
    this.#files = files
  }

  static async open(files: DurableFiles): Promise<Outbox> {
    const outbox = new Outbox(files)
    await outbox.#load()
    return outbox
  }

  get pending(): readonly PendingOutcome[] {
    return [...this.#outcomes.values()]
  }

  get lost(): readonly string[] {
    return [...this.#lost]
  }

  /** True for a job that was begun here and whose end is not acknowledged: it must not be begun again. */
  knows(jobId: string): boolean {
    return this.#outcomes.has(jobId) || this.#lost.has(jobId) || this.#running.has(jobId)
  }

  /** Durable on return: a crash from here on is reported as a lost job. A crash before costs nothing, no keys exist yet. */
  async begin(jobId: string): Promise<void> {
    await this.#files.write(runningName(jobId), encodeDocument('marker', markerSchema, { v: 1, jobId }))
    this.#running.add(jobId)
  }

  /** Where to write sealed results. They count only once {@link end} has named them. */
  resultsPath(jobId: string): string {
    return join(this.#files.folder, resultsName(jobId))
  }

  /**
   * Durable on return: the outcome is sent until acknowledged, whatever crashes. A crash before it is written makes the
   * job lost; one between the two steps leaves both files, and loading prefers the outcome. Where the write fails (a
   * full disk) the outcome is still sent for as long as this process lives.
   */
  async end(outcome: PendingOutcome): Promise<void> {
    const { jobId, receipt, results } = outcome
    const json = {
      v: 1 as const,
      jobId,
      receipt: toBase64Url(receipt),
      results: results === null ? null : { ...results, header: toBase64Url(results.header) },
    }
    try {
      await this.#files.write(outcomeName(jobId), encodeDocument('outcome', outcomeSchema, json))
    } finally {
      this.#outcomes.set(jobId, outcome)
      this.#running.delete(jobId)
    }
    await this.#files.remove(runningName(jobId))
  }

  /** The gateway has recorded the end of the job. A crash in the middle leaves at most results that loading removes. */
  async acknowledged(jobId: string): Promise<void> {
    if (this.#running.has(jobId)) return
    await this.#files.remove(outcomeName(jobId))
    await this.#files.remove(runningName(jobId))
    await this.#files.remove(resultsName(jobId))
    this.#outcomes.delete(jobId)
    this.#lost.delete(jobId)
  }

  async #load(): Promise<void> {
    const names = await this.#files.list()
    for (const jobId of idsOf(names, OUTCOME)) {
      const json = parseDocument('outcome', outcomeSchema, await this.#files.read(outcomeName(jobId)), MAX_OUTCOME_SIZE)
      const results = json.results === null ? null : { ...json.results, header: fromBase64Url(json.results.header) }
      this.#outcomes.set(jobId, { jobId, receipt: fromBase64Url(json.receipt), results })
    }
    for (const jobId of idsOf(names, RUNNING)) {
      if (this.#outcomes.has(jobId)) await this.#files.remove(runningName(jobId))
      else this.#lost.add(jobId)
    }
    for (const jobId of idsOf(names, RESULTS)) {
      if (this.#outcomes.get(jobId)?.results == null) await this.#files.remove(resultsName(jobId))
    }
  }
}

function idsOf(names: readonly string[], pattern: RegExp): string[] {
  return names.flatMap((name) => pattern.exec(name)?.[1] ?? [])
}
