import type { WasmProblem } from './wasm-protocol.ts'

const MEMORY_SECTION = 5
const HAS_MAXIMUM = 0x01

/**
 * Looks for the one memory of a module: unshared, 32-bit, smaller than the limit. Engines cap each memory, so a module
 * with several would have a multiple of its limit.
 * @see WebAssembly Core 2.0, 5.5.8 (memory section) and 5.3.8 (limits).
 */
export function checkMemory(module: Uint8Array, maxBytes: number): WasmProblem | 'out-of-memory' | null {
  const reader = new SectionReader(module.subarray(8))
  try {
    while (!reader.done) {
      const id = reader.byte()
      const section = new SectionReader(reader.take(reader.u32()))
      if (id !== MEMORY_SECTION) continue
      const [count, flags] = [section.u32(), section.byte()]
      if (count !== 1 || (flags & ~HAS_MAXIMUM) !== 0) return 'memory'
      return section.u32() * 65536 > maxBytes ? 'out-of-memory' : null
    }
  } catch {
    return 'not-a-module'
  }
  return 'memory'
}

/** A WASI command: imports functions of WASI and nothing else, exports its memory and `_start`. */
export function checkInterface(module: WebAssembly.Module, offered: object): WasmProblem | null {
  const imports = WebAssembly.Module.imports(module)
  const isOffered = (i: WebAssembly.ModuleImportDescriptor): boolean =>
    i.module === 'wasi_snapshot_preview1' && i.kind === 'function' && Object.hasOwn(offered, i.name)
  if (!imports.every(isOffered)) return 'imports'
  const exported = new Map(WebAssembly.Module.exports(module).map((e) => [e.name, e.kind]))
  if (exported.get('memory') !== 'memory') return 'memory'
  return exported.get('_start') === 'function' ? null : 'no-start'
}

class SectionReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  byte(): number {
    const value = this.#bytes[this.#at++]
    if (value === undefined) throw new RangeError('end of section')
    return value
  }

  /** LEB128, at most five bytes. */
  u32(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw new RangeError('number too long')
  }

  take(length: number): Uint8Array {
    const part = this.#bytes.subarray(this.#at, this.#at + length)
    if (part.length !== length) throw new RangeError('end of module')
    this.#at += length
    return part
  }
}
