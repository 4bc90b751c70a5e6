/**
 * What agent and WebAssembly process say to each other over the process's stdin and stdout: one frame each way, a
 * big-endian u32, that many bytes of JSON, then the bodies it announces, one after the other. No file, no argument and
 * no environment variable carries data. The process imports this file too, so it imports nothing.
 */

/** To the process. Bodies: the module, then each file of the inputs. */
export interface WasmTask {
  readonly moduleBytes: number
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  /** Files and folders below /in, each folder before what lies in it; `size` is null for a folder. */
  readonly inputs: readonly { readonly path: string; readonly size: number | null }[]
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly outputEntries: number
  readonly outputDepth: number
  readonly streamBytes: number
}

/** Why a module was not run. */
export type WasmProblem = 'not-a-module' | 'imports' | 'memory' | 'no-start'

/** From the process, which may be under the module's control: the agent believes nothing of it but its bytes. Bodies: stdout, stderr, each output. */
export interface WasmResult {
  readonly end: 'exit' | 'trap' | 'out-of-memory' | WasmProblem
  readonly exitCode: number
  readonly outputFull: boolean
  readonly tooDeep: boolean
  readonly outputs: readonly { readonly path: string; readonly size: number }[]
  readonly stdout: { readonly kept: number; readonly total: number }
  readonly stderr: { readonly kept: number; readonly total: number }
  readonly cpuMs: number
  readonly memoryPeakBytes: number
}

/** Largest JSON of a task: some 300,000 input files. Its process has little memory of its own. */
export const MAX_TASK_JSON: number = 32 * 1024 * 1024

/** Largest JSON of a result: as many outputs as there may be entries, with the longest names. */
export const MAX_RESULT_JSON: number = 16 * 1024 * 1024

export function encodeHead(value: WasmTask | WasmResult): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(value))
  const head = new Uint8Array(4 + json.length)
  new DataView(head.buffer).setUint32(0, json.length)
  head.set(json, 4)
  return head
}

/** Reads exact numbers of bytes from a stream of chunks. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /** Null when the stream ends before. */
  async read(size: number): Promise<Uint8Array | null> {
    const out = new Uint8Array(size)
    for (let at = 0; at < size; ) {
      if (this.#chunk.length === 0) {
        const next = await this.#chunks.next()
        if (next.done === true) return null
        this.#chunk = next.value
      }
      const part = this.#chunk.subarray(0, size - at)
      out.set(part, at)
      at += part.length
      this.#chunk = this.#chunk.subarray(part.length)
    }
    return out
  }

  /** The JSON before the bodies; null when there is none, or more of it than `maxBytes`. */
  async readHead(maxBytes: number): Promise<unknown> {
    const prefix = await this.read(4)
    if (prefix === null) return null
    const length = new DataView(prefix.buffer).getUint32(0)
    const json = length <= maxBytes ? await this.read(length) : null
    try {
      return json === null ? null : JSON.parse(new TextDecoder().decode(json))
    } catch {
      return null
    }
  }
}
