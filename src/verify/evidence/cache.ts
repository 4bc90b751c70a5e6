import type { Awaitable } from '../crypto/types.ts'

/**
 * What a verifier has already worked out about bytes it was given: parsed certificates, imported keys, signatures that
 * hold. Keys are digests of those bytes, so an entry is true for ever; windows of time are tested again on every call.
 * No verdict is ever kept.
 */
export interface VerifyCache {
  get(key: string): unknown
  set(key: string, value: unknown, sizeBytes: number): void
}

/** Room that an entry takes beside its bytes: key, objects, map slot. A coarse measure for the bound. */
const OVERHEAD = 512

/**
 * A cache in two generations: what was not used while the newer one filled up is forgotten with the older one. Hold one per
 * process or per gateway, and pass it to every call.
 * @param maxBytes - Bound on the bytes it stands for; 16 MiB hold the certificates of some 2,000 hosts.
 */
export function createVerifyCache(maxBytes: number = 16 * 1024 * 1024): VerifyCache {
  let newer = new Map<string, Entry>()
  let older = new Map<string, Entry>()
  let filled = 0
  const add = (key: string, entry: Entry): void => {
    if (entry.size > maxBytes / 2) return
    if (filled + entry.size > maxBytes / 2) {
      older = newer
      newer = new Map()
      filled = 0
    }
    filled += entry.size
    newer.set(key, entry)
  }
  return {
    get(key) {
      const recent = newer.get(key)
      if (recent !== undefined) return recent.value
      const entry = older.get(key)
      if (entry !== undefined) add(key, entry)
      return entry?.value
    },
    set(key, value, sizeBytes) {
      add(key, { value, size: sizeBytes + OVERHEAD })
    },
  }
}

interface Entry {
  readonly value: unknown
  readonly size: number
}

/** The value under `key`, made and kept when it is not there. `make` must depend on nothing that `key` does not name. */
export function remember<T>(cache: VerifyCache, key: string, sizeBytes: number, make: () => Awaitable<T>): Awaitable<T> {
  const known = cache.get(key)
  return known === undefined ? makeAndKeep(cache, key, sizeBytes, make) : (known as T)
}

async function makeAndKeep<T>(cache: VerifyCache, key: string, sizeBytes: number, make: () => Awaitable<T>): Promise<T> {
  const value = await make()
  cache.set(key, value, sizeBytes)
  return value
}
