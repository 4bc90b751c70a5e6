import { readFile } from 'node:fs/promises'
import type { Item } from '../verify/documents/array.ts'
import { itemsSchema, MAX_ITEMS } from '../verify/documents/array.ts'
import { AttestError } from '../verify/errors.ts'

/**
 * Items of a JSON file: an array, each item an array of arguments, or a string for a single one.
 * @throws AttestError `FILE_UNREADABLE`, `USAGE`.
 */
export async function readItems(path: string): Promise<readonly Item[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read`, { cause })
  })
  let value: unknown = null
  try {
    value = JSON.parse(text)
  } catch {
    // Told below, like anything else that is no list of items.
  }
  const list: unknown = Array.isArray(value) ? value.map((item: unknown) => (typeof item === 'string' ? [item] : item)) : value
  const result = itemsSchema.safeParse(list)
  if (result.success) return result.data
  const why = result.error.issues[0]?.message ?? 'not a list of items'
  throw new AttestError(
    'USAGE',
    `${path}: want a JSON array of 1 to ${MAX_ITEMS} different items, each a string or an array of strings (${why})`,
  )
}

/** `0`, `1`, … as the one argument of each item. @throws AttestError `USAGE`. */
export function numberedItems(count: number): readonly Item[] {
  if (count < 1 || count > MAX_ITEMS) throw new AttestError('USAGE', `--items ${count}: want 1 to ${MAX_ITEMS}`)
  return Array.from({ length: count }, (_, i) => [String(i)])
}
