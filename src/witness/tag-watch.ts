import { equal } from '../verify/bytes/bytes.ts'
import { parseLeaf } from '../verify/documents/leaf.ts'
import { AttestError } from '../verify/errors.ts'
import { type Checkpoint, encodeTilePath, leafHash, MerkleFrontier, parseEntryBundle, TILE_WIDTH } from '../verify/tlog/index.ts'
import type { FetchEntries } from './entries.ts'

/** What the leaves of a tree say about its use-slot tags. */
export type Reading =
  | { readonly kind: 'fits' }
  /** A tag stands in two leaves: a use slot was used twice. */
  | { readonly kind: 'repeats'; readonly why: string }
  /** The leaves could not be had, are not those of the tree, or are more than are read at once. */
  | { readonly kind: 'unread'; readonly why: string }

/** Bundles that are read for one request; what is missing is read for the next. */
const MAX_BUNDLES = 64

/**
 * Reads the leaves of one log and refuses a tree in which a use-slot tag stands twice. What it knows is made of the leaves
 * alone, which are held against the root of each checkpoint: after a start all of them are read again, so no damaged or
 * forgotten list of tags can let a second use pass.
 */
export class TagWatch {
  readonly #prefix: string
  readonly #fetch: FetchEntries
  #frontier = MerkleFrontier.empty
  #tags = new Map<string, number>()

  /** @param prefix - URL of the log (C2SP tlog-tiles), without a slash at its end. */
  constructor(prefix: string, fetch: FetchEntries) {
    this.#prefix = prefix
    this.#fetch = fetch
  }

  /** Reads up to the tree of a checkpoint, whose signature and consistency were verified. */
  async read(checkpoint: Checkpoint): Promise<Reading> {
    if (this.#frontier.size > checkpoint.size) this.#forget()
    try {
      for (let bundles = 0; this.#frontier.size < checkpoint.size; bundles++) {
        if (bundles === MAX_BUNDLES)
          return { kind: 'unread', why: `${this.#frontier.size} of ${checkpoint.size} entries are read; ask again` }
        const repeated = await this.#readBundle(checkpoint.size)
        if (repeated !== null) {
          this.#forget()
          return { kind: 'repeats', why: repeated }
        }
      }
    } catch (error) {
      this.#forget()
      const why = error instanceof AttestError ? error.message : 'the entries cannot be had'
      return { kind: 'unread', why }
    }
    if (equal(await this.#frontier.root(), checkpoint.root)) return { kind: 'fits' }
    this.#forget()
    return { kind: 'unread', why: 'the entries that the log hands out are not those of its checkpoint' }
  }

  /** @returns words for a tag that stands twice, or null. */
  async #readBundle(size: number): Promise<string | null> {
    const index = Math.floor(this.#frontier.size / TILE_WIDTH)
    const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
    const entries = await this.#bundle(index, width)
    for (const bytes of entries.slice(this.#frontier.size - index * TILE_WIDTH, width)) {
      const at = this.#frontier.size
      for (const tag of parseLeaf(bytes).tags) {
        const first = this.#tags.get(tag)
        if (first !== undefined) return `entry ${at} uses the slot of entry ${first} a second time`
        this.#tags.set(tag, at)
      }
      this.#frontier = (await this.#frontier.append(await leafHash(bytes))).frontier
    }
    return null
  }

  /** A partial bundle may have given way to the full one. */
  async #bundle(index: number, width: number): Promise<readonly Uint8Array[]> {
    const bytes = await this.#fetch(`${this.#prefix}/${pathOf(index, width)}`)
    if (bytes !== null) return parseEntryBundle(bytes, width)
    const full = width === TILE_WIDTH ? null : await this.#fetch(`${this.#prefix}/${pathOf(index, TILE_WIDTH)}`)
    if (full === null) throw new AttestError('NOT_FOUND', `the log does not hand out bundle ${index} of its entries`)
    return parseEntryBundle(full, TILE_WIDTH)
  }

  /** All is read again, the next time. */
  #forget(): void {
    this.#frontier = MerkleFrontier.empty
    this.#tags = new Map()
  }
}

function pathOf(index: number, width: number): string {
  return encodeTilePath({ kind: 'entries', index, width })
}
