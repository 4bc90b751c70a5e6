import { compare, utf8 } from '../verify/bytes/bytes.ts'

/** Longest path and longest name in it, in bytes of UTF-8 (Linux: PATH_MAX, NAME_MAX). */
export const MAX_PATH_BYTES = 4096
const MAX_NAME_BYTES = 255

/** Folders around an entry. */
const MAX_DEPTH = 64

/**
 * Why a path may not stand in an archive, or null. Names are separated by `/`; none is empty, `.`, `..` or longer than 255
 * bytes, none holds a control character or a backslash; the whole is Unicode in normalisation form C.
 */
export function pathProblem(path: string): string | null {
  if (!path.isWellFormed()) return 'it is not Unicode'
  if (utf8(path).length > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`
  if (path.normalize('NFC') !== path) return 'it is not in Unicode normalisation form C'
  const names = path.split('/')
  if (names.length > MAX_DEPTH) return `it is more than ${MAX_DEPTH} folders deep`
  for (const name of names) {
    if (name === '') return 'it has an empty name, or is absolute'
    if (name === '.' || name === '..') return 'it has a name that is "." or ".."'
    if (utf8(name).length > MAX_NAME_BYTES) return `it has a name of more than ${MAX_NAME_BYTES} bytes`
    if (hasForbidden(name)) return 'it has a control character or a backslash'
  }
  return null
}

function hasForbidden(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i)
    // C0 and C1 controls, DEL; the separator of other systems.
    if (unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || unit === 0x5c) return true
  }
  return false
}

/** Order of names in a folder: their bytes in UTF-8. */
export function compareNames(a: string, b: string): number {
  return compare(utf8(a), utf8(b))
}

/** What a file system that ignores the case of ASCII letters takes for the same name. */
function foldName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/**
 * Walks the paths of an archive in their one order: a folder, then all that lies in it, names in a folder by their bytes. So
 * one comparison with the path before finds what is out of order or there twice, and memory is held only for the names of
 * the folders that are open.
 */
export class PathOrder {
  /** Open folders from the root inwards: the name that came last, and every name seen, case folded. */
  readonly #open: { readonly name: string; last: string | null; readonly seen: Set<string> }[] = [{ name: '', last: null, seen: new Set() }]

  /** Takes the next path, which {@link pathProblem} has passed. @returns why it may not come here, or null. */
  next(path: string, isFolder: boolean): string | null {
    const names = path.split('/')
    const name = names.pop() ?? ''
    let depth = 0
    while (depth < names.length && this.#open[depth + 1]?.name === names[depth]) depth += 1
    if (depth < names.length) return 'its folder does not stand before it'
    this.#open.length = depth + 1
    const parent = this.#open[depth]
    if (parent === undefined) return 'its folder does not stand before it'
    if (parent.last !== null && compareNames(parent.last, name) >= 0) return 'it is out of order, or there twice'
    const folded = foldName(name)
    if (parent.seen.has(folded)) return 'another name differs from it in the case of letters alone'
    parent.last = name
    parent.seen.add(folded)
    if (isFolder) this.#open.push({ name, last: null, seen: new Set() })
    return null
  }
}
