import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { countField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { MAX_COLLATERAL_SIZE } from '../../verify/evidence/collateral.ts'
import type { Clock } from '../clock.ts'
import type { Answer } from './answer.ts'
import { type CollateralDisk, DISK, diskCall, fileNames, makeFolder, readIfThere, sha256Hex, writeAtomically } from './disk.ts'
import type { Item } from './items.ts'
import { isEarly, questionOf } from './questions.ts'

export interface StoreLimits {
  readonly answers: number
  readonly bytes: number
}

/** An answer as it lies on the disk: its bytes are those that were written, and nothing more is known. */
export interface StoredAnswer {
  readonly name: string
  readonly fetched: number
  readonly items: readonly Uint8Array[]
}

interface Entry {
  readonly v: 1
  readonly name: string
  readonly fetched: number
  readonly items: readonly string[]
}

const FILE = /^[0-9a-f]{64}\.(?:crt|crl|json)$/
const ENTRY_FILE = /^[0-9a-f]{64}\.json$/
const MAX_ENTRY = 4096
/** A file that no entry names may belong to an answer that another process is writing right now. */
const ORPHAN_MS = 3600 * 1000
/** Tidying up looks at every entry, so limits may be passed by so many answers. */
const SAVES_PER_TIDY = 64

const entrySchema: z.ZodType<Entry> = z.strictObject({
  v: z.literal(1),
  name: z.string().refine((name) => questionOf(name) !== null, { error: 'want the name of an answer' }),
  fetched: countField(),
  items: z.array(z.string().regex(FILE)).min(1).max(2),
})

const EXTENSION: Readonly<Record<Item['kind'], string>> = { certificate: 'crt', crl: 'crl', document: 'json' }

/**
 * Collateral on the disk. `HASH.crt`, `.crl` and `.json` hold one item each and are named by their SHA-256, those of Intel's
 * early updates in `early/`; `index/HASH.json`, named by the hash of the answer's name, says which items make an answer. So the
 * folder itself can be given to `sealgate verify --collateral`. Several processes may use it at once.
 */
export class CollateralStore {
  readonly #folder: string
  readonly #disk: CollateralDisk
  readonly #limits: StoreLimits
  readonly #clock: Clock
  #saves = 0

  private constructor(folder: string, clock: Clock, limits: StoreLimits, disk: CollateralDisk) {
    this.#folder = folder
    this.#clock = clock
    this.#limits = limits
    this.#disk = disk
  }

  /** @throws AttestError `FILE_UNREADABLE`, `DISK_FULL`. */
  static async open(folder: string, clock: Clock, limits: StoreLimits, disk: CollateralDisk = DISK): Promise<CollateralStore> {
    await makeFolder(join(folder, 'index'))
    await makeFolder(join(folder, 'early'))
    const store = new CollateralStore(folder, clock, limits, disk)
    await store.#tidy()
    return store
  }

  /** Null for an answer that is not there, or no longer as it was written: that one is dropped. */
  async load(name: string): Promise<StoredAnswer | null> {
    const file = entryFile(name)
    const entry = await this.#entry(file)
    if (entry === null) return null
    const items: Uint8Array[] = []
    for (const item of entry.items) {
      const bytes = await readIfThere(this.#itemPath(entry.name, item), MAX_COLLATERAL_SIZE)
      if (bytes === null || sha256Hex(bytes) !== item.slice(0, 64)) {
        await this.drop(name)
        return null
      }
      items.push(bytes)
    }
    return { name, fetched: entry.fetched, items }
  }

  /**
   * Writes the items first and then the entry that names them. Durable when it returns. A crash between the two leaves items
   * that no entry names: they are swept later, and the answer is fetched again.
   * @throws AttestError `DISK_FULL`, `FILE_UNREADABLE`: nothing that was there before is lost.
   */
  async save({ name, fetched, items }: Answer): Promise<void> {
    const folder = this.#itemFolder(name)
    for (const { bytes, kind, sha256 } of items) {
      const file = `${sha256}.${EXTENSION[kind]}`
      const there = await readIfThere(join(folder, file), MAX_COLLATERAL_SIZE)
      if (there === null || sha256Hex(there) !== sha256) await writeAtomically(this.#disk, folder, file, bytes)
    }
    const entry: Entry = { v: 1, name, fetched, items: items.map((i) => `${i.sha256}.${EXTENSION[i.kind]}`) }
    await writeAtomically(this.#disk, join(this.#folder, 'index'), entryFile(name), encodeDocument('collateral entry', entrySchema, entry))
    if (++this.#saves % SAVES_PER_TIDY === 0) await this.#tidy()
  }

  async drop(name: string): Promise<void> {
    await this.#remove(join(this.#folder, 'index', entryFile(name)))
  }

  /** Names of all answers, sorted. */
  async names(): Promise<readonly string[]> {
    return (await this.#entries()).map((entry) => entry.name).sort()
  }

  async #entries(): Promise<readonly Entry[]> {
    const files = (await fileNames(join(this.#folder, 'index'))).filter((file) => ENTRY_FILE.test(file))
    const entries: Entry[] = []
    for (const file of files) {
      const entry = await this.#entry(file)
      if (entry !== null) entries.push(entry)
    }
    return entries
  }

  /** An entry that is not what it should be is removed: what it stood for is fetched again. */
  async #entry(file: string): Promise<Entry | null> {
    const path = join(this.#folder, 'index', file)
    const bytes = await readIfThere(path, MAX_ENTRY)
    const entry = bytes === null ? null : readEntry(bytes)
    if (entry !== null && entryFile(entry.name) === file) return entry
    await this.#remove(path)
    return null
  }

  async #tidy(): Promise<void> {
    await this.#trim()
    await this.#sweep(this.#clock.now())
  }

  /** Removes items that no entry names any more, and parts of writes that did not end. */
  async #sweep(now: number): Promise<void> {
    const named = new Set((await this.#entries()).flatMap((e) => e.items.map((item) => this.#itemPath(e.name, item))))
    for (const folder of [this.#folder, join(this.#folder, 'early'), join(this.#folder, 'index')]) {
      for (const file of await fileNames(folder)) {
        const path = join(folder, file)
        const isOurs = file.endsWith('.part') || (FILE.test(file) && folder !== join(this.#folder, 'index'))
        if (isOurs && !named.has(path) && (await ageOf(path, now)) > ORPHAN_MS) await this.#remove(path)
      }
    }
  }

  /** Drops what came longest ago until the rest is within the limits. */
  async #trim(): Promise<void> {
    const entries = [...(await this.#entries())].sort((a, b) => b.fetched - a.fetched)
    const kept = new Set<string>()
    let bytes = 0
    for (const [i, entry] of entries.entries()) {
      const paths = entry.items.map((item) => this.#itemPath(entry.name, item))
      for (const path of paths) if (!kept.has(path)) bytes += await sizeOf(path)
      if (i > 0 && (i >= this.#limits.answers || bytes > this.#limits.bytes)) {
        await this.drop(entry.name)
        for (const path of paths) if (!kept.has(path)) await this.#remove(path)
      } else for (const path of paths) kept.add(path)
    }
  }

  #itemFolder(name: string): string {
    return isEarly(name) ? join(this.#folder, 'early') : this.#folder
  }

  #itemPath(name: string, item: string): string {
    return join(this.#itemFolder(name), item)
  }

  #remove(path: string): Promise<void> {
    return diskCall(path, () => rm(path, { force: true }))
  }
}

function entryFile(name: string): string {
  return `${sha256Hex(name)}.json`
}

function readEntry(bytes: Uint8Array): Entry | null {
  try {
    return parseDocument('collateral entry', entrySchema, bytes, MAX_ENTRY)
  } catch (error) {
    if (error instanceof AttestError) return null
    throw error
  }
}

async function ageOf(path: string, now: number): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => now - mtimeMs,
    () => 0,
  )
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}
