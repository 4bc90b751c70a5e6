import { Agent, type RequestOptions, request } from 'node:https'
import { AttestError } from '../../../verify/errors.ts'

/** How to reach a KMS, or the proxy in front of one (docs/formats/kms-protocol.md). */
export interface KmsAccess {
  /** `https://` and nothing else; the operations are below it. */
  readonly url: string
  /** PEM. Without it the system's authorities count. */
  readonly ca?: string
  /** PEM: the client's certificate and key. */
  readonly identity?: { readonly cert: string; readonly key: string }
  /** Bearer token, read anew for each request: it may be rotated. */
  readonly token?: () => Promise<string>
  readonly timeoutMs: number
}

/** Waits; replaced by tests. */
export type Sleep = (ms: number) => Promise<void>

/** An answer with a status other than 200, by the protocol's own word for it. */
export class KmsRefusal extends AttestError {
  readonly reason: string

  constructor(operation: string, status: number, reason: string) {
    const code = status === 401 || status === 403 ? 'KEYSTORE_DENIED' : 'KEYSTORE_UNAVAILABLE'
    super(code, `the KMS answered ${status}${reason === '' ? '' : ` ${reason}`}`, { at: `kms.${operation}` })
    this.reason = reason
  }
}

const MAX_ANSWER = 64 * 1024
const ATTEMPTS = 4
const FIRST_WAIT_MS = 100
const TRANSIENT: ReadonlySet<number> = new Set([429, 502, 503, 504])

interface Answer {
  readonly status: number
  readonly body: Uint8Array
}

/** Posts JSON. Never follows a redirection, never puts what was sent or received into an error. */
export class KmsHttp {
  readonly #access: KmsAccess
  readonly #agent: Agent
  readonly #sleep: Sleep

  /** @throws AttestError `USAGE` for a URL that may not be, or no way to say who asks. */
  constructor(access: KmsAccess, sleep: Sleep) {
    if (!/^https:\/\/[^?#@]+[^/?#@]$/.test(access.url))
      throw new AttestError('USAGE', 'the URL of a KMS begins with https:// and has no slash at its end')
    if (access.identity === undefined && access.token === undefined) {
      throw new AttestError('USAGE', 'a KMS must know who asks: configure a client certificate or a bearer token')
    }
    this.#access = access
    this.#sleep = sleep
    this.#agent = new Agent({
      keepAlive: true,
      // Whatever the environment says (NODE_TLS_REJECT_UNAUTHORIZED).
      rejectUnauthorized: true,
      maxSockets: 8,
      minVersion: 'TLSv1.2',
      ...(access.ca === undefined ? {} : { ca: access.ca }),
      ...access.identity,
    })
  }

  /**
   * @param repeatable - Whether asking twice is as good as asking once: then it is asked again after a failure of the way.
   * @throws KmsRefusal, AttestError `KEYSTORE_UNAVAILABLE`.
   */
  async post(operation: string, body: object, repeatable: boolean): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      const isLast = !repeatable || attempt === ATTEMPTS
      try {
        const answer = await this.#once(operation, JSON.stringify(body))
        if (answer.status === 200) return parse(operation, answer.body)
        if (isLast || !TRANSIENT.has(answer.status)) throw new KmsRefusal(operation, answer.status, reasonOf(answer.body))
      } catch (error) {
        if (error instanceof AttestError || isLast) throw unavailable(operation, error)
      }
      await this.#sleep(FIRST_WAIT_MS * 2 ** (attempt - 1) * (1 + Math.random()))
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #once(operation: string, body: string): Promise<Answer> {
    const { url, token, timeoutMs } = this.#access
    const headers = {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
      ...(token === undefined ? {} : { authorization: `Bearer ${await token()}` }),
    }
    // One limit for the whole of it, so that a server cannot hold us by sending a byte now and then.
    const options: RequestOptions = { method: 'POST', agent: this.#agent, headers, signal: AbortSignal.timeout(timeoutMs) }
    return new Promise((resolve, reject) => {
      const sent = request(`${url}/v1/${operation}`, options, (response) => {
        const chunks: Buffer[] = []
        let size = 0
        response.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > MAX_ANSWER)
            response.destroy(
              new AttestError('KEYSTORE_UNAVAILABLE', `the KMS answers with more than ${MAX_ANSWER} bytes`, { at: `kms.${operation}` }),
            )
          else chunks.push(chunk)
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: new Uint8Array(Buffer.concat(chunks)) }))
        response.on('error', reject)
      })
      sent.on('error', reject)
      sent.end(body)
    })
  }
}

/** Only a word of the protocol's form goes into an error: an answer may quote what was sent. */
function reasonOf(body: Uint8Array): string {
  try {
    const { error } = JSON.parse(new TextDecoder().decode(body)) as { error?: unknown }
    return typeof error === 'string' && /^[a-z]{1,16}(-[a-z]{1,16}){0,3}$/.test(error) ? error : ''
  } catch {
    return ''
  }
}

function parse(operation: string, body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // Without its cause, which may quote a key.
    throw new AttestError('KEYSTORE_UNAVAILABLE', 'the KMS answered with something else than JSON', { at: `kms.${operation}` })
  }
}

function unavailable(operation: string, cause: unknown): AttestError {
  if (cause instanceof AttestError) return cause
  const word = (cause as NodeJS.ErrnoException | null)?.code ?? (cause instanceof Error ? cause.name : 'unknown')
  return new AttestError('KEYSTORE_UNAVAILABLE', `the KMS does not answer (${word})`, { at: `kms.${operation}`, cause })
}
