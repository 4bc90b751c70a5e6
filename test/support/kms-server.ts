import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { createAuthority, issueIdentity, type PemIdentity } from '../../src/cli/folders/authority.ts'

export const KMS_TOKEN = 'throwaway-bearer-token'

interface StoredKey {
  readonly key: Buffer
  destroyed: boolean
}

type Body = Record<string, unknown>
type Answer = readonly [status: number, body: unknown]
/** What the server does instead of answering as it should; null: as it should. */
export type Misbehaviour = (operation: string, request: IncomingMessage, response: ServerResponse) => boolean | Answer

/** A KMS of the protocol in docs/formats/kms-protocol.md, over HTTPS with client certificates and a bearer token. */
export class TestKms {
  readonly ca: string
  readonly client: PemIdentity
  readonly stranger: PemIdentity
  readonly url: string
  /** Operations, in the order in which they came. */
  readonly asked: string[] = []
  /** What came in, as text. */
  readonly received: string[] = []
  misbehave: Misbehaviour | null = null
  ignoreContext = false
  scheduleFor: string | null = null
  readonly #server: Server
  readonly #keys = new Map<string, StoredKey>()

  private constructor(server: Server, port: number, ca: string, client: PemIdentity, stranger: PemIdentity) {
    this.#server = server
    this.url = `https://localhost:${port}`
    this.ca = ca
    this.client = client
    this.stranger = stranger
    server.on('request', (request: IncomingMessage, response: ServerResponse) => void this.#handle(request, response))
  }

  static async start(): Promise<TestKms> {
    const at = new Date()
    const authority = await createAuthority('kms', at)
    const other = await createAuthority('other', at)
    const client = { role: 'client', name: 'broker', addresses: [], rsa: false } as const
    const tls = await issueIdentity(authority, { role: 'gateway', name: 'kms', addresses: ['localhost'], rsa: false }, at)
    const server = createServer({ ...tls, ca: authority.cert, requestCert: true, rejectUnauthorized: true })
    server.listen(0, 'localhost')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return new TestKms(
      server,
      address.port,
      authority.cert,
      await issueIdentity(authority, client, at),
      await issueIdentity(other, client, at),
    )
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const operation = /^\/v1\/([a-z-]+)$/.exec(request.url ?? '')?.[1] ?? ''
    this.asked.push(operation)
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    this.received.push(text)
    const instead = this.misbehave?.(operation, request, response) ?? false
    if (instead === true) return
    const [status, body] = instead !== false ? instead : this.#answer(operation, request, JSON.parse(text) as Body)
    response.writeHead(status, { 'content-type': 'application/json' }).end(typeof body === 'string' ? body : JSON.stringify(body))
  }

  #answer(operation: string, request: IncomingMessage, body: Body): Answer {
    if (request.headers.authorization !== `Bearer ${KMS_TOKEN}`) return [403, { error: 'unauthorized' }]
    if (operation === 'create-key') return [200, { keyId: this.#create() }]
    const stored = this.#keys.get(String(body.keyId))
    if (stored === undefined) return [404, { error: 'key-not-found' }]
    if (operation === 'destroy-key') {
      stored.destroyed = true
      return [200, this.scheduleFor === null ? { destroyed: true } : { scheduledFor: this.scheduleFor }]
    }
    if (stored.destroyed) return [410, { error: 'key-destroyed' }]
    const aad = this.ignoreContext ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body.context))
    if (operation === 'encrypt') {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', stored.key, nonce).setAAD(aad)
      const sealed = Buffer.concat([nonce, cipher.update(String(body.plaintext), 'base64url'), cipher.final(), cipher.getAuthTag()])
      return [200, { ciphertext: sealed.toString('base64url') }]
    }
    if (operation !== 'decrypt') return [404, { error: 'bad-request' }]
    try {
      const sealed = Buffer.from(String(body.ciphertext), 'base64url')
      const cipher = createDecipheriv('aes-256-gcm', stored.key, sealed.subarray(0, 12), { authTagLength: 16 }).setAAD(aad)
      cipher.setAuthTag(sealed.subarray(-16))
      return [200, { plaintext: Buffer.concat([cipher.update(sealed.subarray(12, -16)), cipher.final()]).toString('base64url') }]
    } catch {
      return [422, { error: 'decrypt-failed' }]
    }
  }

  #create(): string {
    const id = `projects/test/keys/${randomBytes(8).toString('hex')}`
    this.#keys.set(id, { key: randomBytes(32), destroyed: false })
    return id
  }
}
