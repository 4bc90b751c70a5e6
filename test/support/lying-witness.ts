import { createServer, type Server } from 'node:http'
import { cosign, type NoteSigner } from '../../src/seal/note.ts'
import { parseAddCheckpoint } from '../../src/verify/tlog/index.ts'
import { cosignerKeyOf, noteSigner } from './keys.ts'

/** What a witness that does as it likes answers. */
export interface Lie {
  readonly status?: number
  readonly type?: string
  readonly body?: string | Uint8Array
  /** Signs whatever it gets, under this key, dated so. */
  readonly cosign?: { readonly by: NoteSigner; readonly time: number }
  /** Says nothing at all. */
  readonly silent?: boolean
}

/** A witness without memory or conscience. */
export class LyingWitness {
  readonly name: string
  readonly key: string
  asked = 0
  lie: Lie = {}
  readonly #server: Server

  private constructor(name: string, key: string) {
    this.name = name
    this.key = key
    this.#server = createServer((request, response) => {
      this.asked++
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const { lie } = this
        if (lie.silent === true) return
        response.writeHead(lie.status ?? 200, { 'content-type': lie.type ?? 'text/plain; charset=utf-8' })
        if (lie.cosign === undefined) response.end(lie.body ?? '')
        else void sign(Buffer.concat(chunks), lie.cosign).then((lines) => response.end(lines))
      })
    })
  }

  static async start(name: string): Promise<LyingWitness> {
    const witness = new LyingWitness(name, await cosignerKeyOf(noteSigner(name)))
    await new Promise<void>((resolve) => witness.#server.listen(0, '127.0.0.1', resolve))
    return witness
  }

  get url(): string {
    const bound = this.#server.address()
    return `http://127.0.0.1:${typeof bound === 'object' ? bound?.port : 0}`
  }

  async end(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }
}

async function sign(body: Uint8Array, { by, time }: NonNullable<Lie['cosign']>): Promise<string> {
  const { note } = parseAddCheckpoint(new Uint8Array(body))
  return (await cosign(note, by, time)).slice(note.length)
}
