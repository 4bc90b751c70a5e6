import { setTimeout as delay } from 'node:timers/promises'
import { AttestError } from '../../verify/errors.ts'
import type { Registry } from './config.ts'
import { basic, fetchToken, parseChallenge } from './token.ts'

/** A request that gets no answer, or whose body stands still, for so long has failed. */
const ANSWER_MS = 30_000
const MAX_REDIRECTS = 5
const MAX_TRIES = 4
/** Longest that a registry may ask us to wait (`Retry-After`). */
const MAX_WAIT_SECONDS = 30

export interface RegistryAnswer {
  readonly contentType: string
  readonly body: AsyncIterable<Uint8Array>
}

export interface RegistryMeans {
  readonly signal: AbortSignal
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
}

/**
 * Reads one repository of a registry (OCI Distribution Specification 1.1): token flow, waiting where it asks for it, redirects to
 * where it keeps blobs. Credentials and tokens go to the registry and its token host, never along a redirect. Nothing that it
 * answers is trusted: the caller checks every byte by digest.
 */
export class RegistryReader {
  readonly #registry: Registry
  readonly #name: string
  readonly #means: RegistryMeans
  #authorization: string | null = null

  constructor(registry: Registry, name: string, means: RegistryMeans) {
    this.#registry = registry
    this.#name = name
    this.#means = means
  }

  /** @throws AttestError `IMAGE_UNAVAILABLE`. */
  async get(kind: 'manifests' | 'blobs', digest: string, accept: readonly string[]): Promise<RegistryAnswer> {
    const { host, plainHttp } = this.#registry
    const first = new URL(`${plainHttp === true ? 'http' : 'https'}://${host}/v2/${this.#name}/${kind}/${digest}`)
    for (let tries = 1; ; tries++) {
      const answer = await this.#follow(first, accept)
      if (answer.ok && answer.body !== null) {
        return { contentType: mediaTypeOf(answer), body: bodyOf(answer.body, host) }
      }
      await answer.body?.cancel()
      if (tries === MAX_TRIES) throw refused(host, `status ${answer.status}`)
      if (answer.status === 401) await this.#authorize(answer.headers.get('www-authenticate') ?? '')
      else if (answer.status === 429 || answer.status === 503) await this.#wait(answer.headers.get('retry-after'), tries)
      else throw refused(host, `status ${answer.status}`)
    }
  }

  async #follow(first: URL, accept: readonly string[]): Promise<Response> {
    let url = first
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const own = url.origin === first.origin
      const authorization = own && this.#authorization !== null ? { authorization: this.#authorization } : {}
      const answer = await ask(url, { accept: accept.join(', '), ...authorization }, this.#means.signal)
      const location = answer.headers.get('location')
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === null) return answer
      await answer.body?.cancel()
      url = this.#target(location, url)
    }
    throw refused(first.host, 'too many redirects')
  }

  #target(location: string, from: URL): URL {
    const url = URL.canParse(location, from) ? new URL(location, from) : null
    const isAllowed = url?.protocol === 'https:' || (this.#registry.plainHttp === true && url?.host === this.#registry.host)
    if (url === null || !isAllowed || url.username !== '') throw refused(this.#registry.host, 'a redirect to where nothing is read from')
    return url
  }

  /** A second 401 under fresh authorization is an answer: no credentials will help. */
  async #authorize(header: string): Promise<void> {
    const { host, credentials } = this.#registry
    if (this.#authorization !== null) throw refused(host, 'it does not accept these credentials')
    const challenge = parseChallenge(header)
    if (challenge === null) throw refused(host, 'it asks for a kind of authentication that is not known here')
    if (challenge.scheme === 'bearer') {
      this.#authorization = `Bearer ${await fetchToken(this.#registry, this.#name, challenge, (url, headers) => ask(url, headers, this.#means.signal))}`
    } else if (credentials === undefined) throw refused(host, 'it asks for credentials')
    else this.#authorization = basic(credentials)
  }

  async #wait(retryAfter: string | null, tries: number): Promise<void> {
    const { signal, sleep = (ms, s) => delay(ms, undefined, { signal: s }) } = this.#means
    const seconds = /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) : 2 ** tries
    if (seconds > MAX_WAIT_SECONDS) throw refused(this.#registry.host, `it asks to wait for ${seconds} seconds`)
    await sleep(seconds * 1000, signal)
  }
}

export function refused(host: string, why: string, cause?: unknown): AttestError {
  return new AttestError('IMAGE_UNAVAILABLE', `the registry ${host} does not give the image: ${why}`, cause === undefined ? {} : { cause })
}

async function ask(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  const answered = new AbortController()
  const timer = setTimeout(() => answered.abort(), ANSWER_MS)
  try {
    return await fetch(url, { headers, redirect: 'manual', signal: AbortSignal.any([signal, answered.signal]) })
  } catch (cause) {
    throw refused(url.host, 'it does not answer', cause)
  } finally {
    clearTimeout(timer)
  }
}

/** The body, as long as it moves. */
async function* bodyOf(body: ReadableStream<Uint8Array>, host: string): AsyncGenerator<Uint8Array> {
  const reader = body.getReader()
  try {
    for (;;) {
      const idle = new AbortController()
      const stood = delay(ANSWER_MS, null, { signal: idle.signal }).catch(() => null)
      const next = await Promise.race([reader.read(), stood]).finally(() => idle.abort())
      if (next === null) throw new Error('the body stands still')
      if (next.done) return
      yield next.value
    }
  } catch (cause) {
    throw refused(host, 'the transfer broke off', cause)
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

function mediaTypeOf(answer: Response): string {
  return (answer.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}
