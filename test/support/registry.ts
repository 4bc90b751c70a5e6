import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export interface RegistryRequest {
  readonly path: string
  readonly authorization: string | undefined
}

/** What a test changes of an answer; false: nothing, the registry goes on. */
export type Tamper = (request: IncomingMessage, response: ServerResponse) => boolean

/**
 * A registry on a port of this machine that speaks the pull half of the OCI Distribution Specification 1.1: manifests and blobs by
 * digest, with the token flow where it is given credentials.
 */
export class TestRegistry {
  readonly #server: Server
  readonly #content = new Map<string, { readonly type: string; readonly bytes: Uint8Array }>()
  readonly requests: RegistryRequest[] = []
  /** `user:password`; null: anybody may pull. */
  credentials: string | null = null
  tamper: Tamper = () => false
  host = ''

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response))
  }

  static async start(): Promise<TestRegistry> {
    const registry = new TestRegistry()
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve))
    registry.host = `127.0.0.1:${(registry.#server.address() as AddressInfo).port}`
    return registry
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** @returns its digest. */
  put(bytes: Uint8Array, type = 'application/octet-stream'): string {
    const digest = digestOf(bytes)
    this.#content.set(digest, { type, bytes })
    return digest
  }

  putJson(value: object, type: string): { readonly mediaType: string; readonly digest: string; readonly size: number } {
    const bytes = Buffer.from(JSON.stringify(value))
    return { mediaType: type, digest: this.put(bytes, type), size: bytes.length }
  }

  /** An image of these unpacked layers. */
  putImage(layers: readonly Uint8Array[], { gzip = true, diffIds = layers.map(digestOf), config = {} }: ImageOptions = {}): TestImage {
    const configuration = { architecture: 'amd64', os: 'linux', config, rootfs: { type: 'layers', diff_ids: diffIds } }
    const described = layers.map((layer) => {
      const bytes = gzip ? gzipSync(layer) : layer
      return { mediaType: `${OCI}.layer.v1.tar${gzip ? '+gzip' : ''}`, digest: this.put(bytes), size: bytes.length }
    })
    const stored = this.putJson(configuration, CONFIG)
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config: stored, layers: described }
    return { image: stored.digest, manifest, descriptor: this.putJson(manifest, MANIFEST) }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', `http://${this.host}`)
    this.requests.push({ path: url.pathname + url.search, authorization: request.headers.authorization })
    if (this.tamper(request, response)) return
    if (url.pathname === '/token') {
      this.#token(request, response, url)
      return
    }
    const match = /^\/v2\/(team\/app)\/(manifests|blobs)\/(sha256:[0-9a-f]{64})$/.exec(url.pathname)
    if (this.credentials !== null && request.headers.authorization !== 'Bearer short-lived') {
      response.setHeader('www-authenticate', `Bearer realm="http://${this.host}/token",service="test",scope="repository:other:push"`)
      response.writeHead(401).end()
      return
    }
    const found = this.#content.get(match?.[3] ?? '')
    if (found === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': found.type, 'content-length': found.bytes.length }).end(found.bytes)
  }

  #token(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const basic = `Basic ${Buffer.from(this.credentials ?? '').toString('base64')}`
    const isRight = request.headers.authorization === basic && url.searchParams.get('scope') === 'repository:team/app:pull'
    response.writeHead(isRight ? 200 : 401).end(isRight ? '{"token":"short-lived"}' : '')
  }
}

interface ImageOptions {
  readonly gzip?: boolean
  readonly diffIds?: readonly string[]
  readonly config?: object
}

const OCI = 'application/vnd.oci.image'
const CONFIG = `${OCI}.config.v1+json`
export const MANIFEST: string = `${OCI}.manifest.v1+json`
export const INDEX: string = `${OCI}.index.v1+json`

export interface TestImage {
  /** Digest of its configuration. */
  readonly image: string
  readonly manifest: object
  readonly descriptor: { readonly mediaType: string; readonly digest: string; readonly size: number }
}
