import { openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** Files below a folder that hold one of the needles, byte for byte. */
export function filesHolding(folder: string, needles: readonly Buffer[]): readonly string[] {
  const found: string[] = []
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = readFileSync(path)
    if (needles.some((needle) => bytes.includes(needle))) found.push(path)
  }
  return found
}

const CHUNK = 16 * 1024 * 1024

/**
 * Which needles the memory of a process holds, read from outside (proc(5): /proc/PID/mem). Null where the system does not let us.
 */
export function memoryHolding(pid: number, needles: readonly Buffer[]): readonly number[] | null {
  let file: number
  try {
    file = openSync(`/proc/${pid}/mem`, 'r')
  } catch {
    return null
  }
  const overlap = Math.max(...needles.map((n) => n.length))
  const found = new Set<number>()
  const buffer = Buffer.alloc(CHUNK)
  for (const { start, end } of writableRanges(pid)) {
    for (let at = start; at < end; at += CHUNK - overlap) {
      const size = readAt(file, buffer, Math.min(CHUNK, end - at), at)
      if (size <= 0) break
      const seen = buffer.subarray(0, size)
      for (const [i, needle] of needles.entries()) if (seen.includes(needle)) found.add(i)
    }
  }
  return [...found].sort((a, b) => a - b)
}

/** proc(5): lines `start-end perms …` of /proc/PID/maps. Data is where a process can write, or could before. */
function writableRanges(pid: number): readonly { readonly start: number; readonly end: number }[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ (\d+)/.exec(line)
      if (match?.[1] === undefined || match[2] === undefined || /\[v(var|dso|syscall)/.test(line)) return []
      return [{ start: Number.parseInt(match[1], 16), end: Number.parseInt(match[2], 16) }]
    })
    .filter(({ start, end }) => end - start < 2 ** 34)
}

function readAt(file: number, buffer: Buffer, size: number, position: number): number {
  try {
    return readSync(file, buffer, 0, size, position)
  } catch {
    return 0
  }
}

/** Waits for a file that appears and stops growing. */
export async function settledFile(folder: string, pattern: RegExp, timeoutMs: number): Promise<string> {
  const deadline = Date.now() + timeoutMs
  let last = -1
  while (Date.now() < deadline) {
    const name = readdirSync(folder).find((n) => pattern.test(n))
    if (name !== undefined) {
      const { size } = statSync(join(folder, name))
      if (size > 0 && size === last) return join(folder, name)
      last = size
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  throw new Error(`no file like ${pattern} in ${folder}`)
}
