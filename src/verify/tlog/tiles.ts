import { concat } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { HASH_SIZE } from './hash.ts'

/** Hashes of a full tile, and levels of the tree that one tile spans (C2SP tlog-tiles). */
export const TILE_WIDTH = 256
export const TILE_HEIGHT = 8

/** Highest level that a path may name. */
const MAX_LEVEL = 63
/** A length prefix has two bytes. */
const MAX_ENTRY_SIZE = 0xffff

/** Hashes of `width` neighbouring complete subtrees of 256^level leaves each, from number 256 · index on. */
export interface HashTile {
  readonly kind: 'hashes'
  readonly level: number
  readonly index: number
  /** 1 to 256; below 256 the tile is partial. */
  readonly width: number
}

/** The entries whose leaf hashes stand in the hash tile of level 0 with the same index and width. */
export interface EntryTile {
  readonly kind: 'entries'
  readonly index: number
  readonly width: number
}

export type Tile = HashTile | EntryTile

/** `tile/L/N[.p/W]` or `tile/entries/N[.p/W]`, N in groups of three digits. @throws AttestError `TILE_MALFORMED`. */
export function encodeTilePath(tile: Tile): string {
  checkTile(tile)
  const digits = String(tile.index)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? []
  const number = groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
  const folder = tile.kind === 'entries' ? 'entries' : String(tile.level)
  return `tile/${folder}/${number}${tile.width === TILE_WIDTH ? '' : `.p/${tile.width}`}`
}

const PATH = /^tile\/(entries|0|[1-9]\d?)\/((?:x\d{3}\/)*\d{3})(?:\.p\/([1-9]\d{0,2}))?$/
/** Longer than any path of an index below 2^53. */
const MAX_PATH_SIZE = 64

/**
 * Reads the path of a tile, without a slash in front. One spelling: what {@link encodeTilePath} writes.
 * @throws AttestError `TILE_MALFORMED`.
 */
export function parseTilePath(path: string): Tile {
  const [, folder, number = '', width] = (path.length > MAX_PATH_SIZE ? null : PATH.exec(path)) ?? []
  if (folder === undefined || number.startsWith('x000')) throw malformed('want tile/L/N or tile/entries/N, N like x001/x234/067')
  const place = { index: Number(number.replaceAll(/[x/]/g, '')), width: width === undefined ? TILE_WIDTH : Number(width) }
  // A full tile has no width in its path.
  if (width !== undefined && place.width >= TILE_WIDTH) throw malformed('a partial tile has 1 to 255 hashes')
  const tile: Tile = folder === 'entries' ? { kind: 'entries', ...place } : { kind: 'hashes', level: Number(folder), ...place }
  checkTile(tile)
  return tile
}

function checkTile(tile: Tile): void {
  const { index, width } = tile
  if (!isCount(index) || !isCount((index + 1) * TILE_WIDTH)) throw malformed('tiles are counted from 0, and entries end below 2^53')
  if (!isCount(width) || width < 1 || width > TILE_WIDTH) throw malformed('a tile has 1 to 256 hashes')
  if (tile.kind === 'hashes' && (!isCount(tile.level) || tile.level > MAX_LEVEL)) throw malformed('levels go from 0 to 63')
}

/** @param hashes - 1 to 256, of 32 bytes. @throws AttestError `TILE_MALFORMED`. */
export function encodeHashTile(hashes: readonly Uint8Array[]): Uint8Array {
  checkCount(hashes.length)
  if (!hashes.every((hash) => hash.length === HASH_SIZE)) throw malformed('every hash has 32 bytes')
  return concat(...hashes)
}

/** @param width - 1 to 256: exactly so many hashes. @throws AttestError `TILE_MALFORMED`. */
export function parseHashTile(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  checkCount(width)
  if (bytes.length !== width * HASH_SIZE) throw malformed(`a tile of ${width} hashes has ${bytes.length} bytes`)
  return Array.from({ length: width }, (_, i) => bytes.slice(i * HASH_SIZE, (i + 1) * HASH_SIZE))
}

/** u16be(length) ‖ entry, one after the other. @param entries - 1 to 256, of at most 65535 bytes. @throws AttestError `TILE_MALFORMED`. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  checkCount(entries.length)
  if (!entries.every((entry) => entry.length <= MAX_ENTRY_SIZE)) throw malformed(`an entry has at most ${MAX_ENTRY_SIZE} bytes`)
  return concat(...entries.flatMap((entry) => [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry]))
}

/**
 * Reads an entry bundle. Says nothing of what the tree holds: hash the entries.
 * @param width - 1 to 256: exactly so many entries, and nothing behind them.
 * @throws AttestError `TILE_MALFORMED`.
 */
export function parseEntryBundle(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  checkCount(width)
  const entries: Uint8Array[] = []
  let at = 0
  while (entries.length < width) {
    const [high, low] = [bytes[at], bytes[at + 1]]
    if (high === undefined || low === undefined) throw malformed(`the bundle ends after ${entries.length} of ${width} entries`)
    const end = at + 2 + ((high << 8) | low)
    if (end > bytes.length) throw malformed(`entry ${entries.length} passes the end of the bundle`)
    entries.push(bytes.slice(at + 2, end))
    at = end
  }
  if (at !== bytes.length) throw malformed(`${bytes.length - at} bytes after the last entry`)
  return entries
}

function checkCount(count: number): void {
  if (!isCount(count) || count < 1 || count > TILE_WIDTH) throw malformed('a tile has 1 to 256 entries')
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function malformed(message: string): AttestError {
  return new AttestError('TILE_MALFORMED', message, { at: 'log.tile' })
}
