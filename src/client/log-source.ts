import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { rootCertificates } from 'node:tls'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { CallOptions } from '../rpc/index.ts'
import { fromUtf8 } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'
import { consistencyProof, inclusionProof, readEntryBundle, TILE_WIDTH, type TileSource, tileNodeReader } from '../verify/tlog/index.ts'
import type { Client } from './client.ts'

/** Where a log is read. Whatever it answers is verified by who asks, under the log's key. */
export interface LogSource {
  /** For people. */
  readonly name: string
  checkpoint(): Promise<string>
  inclusionProof(index: number, size: number): Promise<readonly Uint8Array[]>
  consistencyProof(oldSize: number, newSize: number): Promise<readonly Uint8Array[]>
  /**
   * Entries from `start` on, one or more of those below `size`.
   * @param size - Of a checkpoint of this log.
   * @param enough - More than so many need not come; some may.
   */
  leaves(start: number, size: number, enough?: number): Promise<readonly Uint8Array[]>
}

/** Entries per request to a gateway, which is the most that the wire allows. */
const PAGE = 1000

/** A gateway's log, over its LogService. */
export function gatewayLog(client: Client, options: CallOptions = {}): LogSource {
  return {
    name: 'the gateway',
    checkpoint: () => client.checkpoint(options),
    inclusionProof: (index, size) => client.inclusionProof(index, size, options),
    consistencyProof: (oldSize, newSize) => client.consistencyProof(oldSize, newSize, options),
    leaves: (start, size, enough = PAGE) => client.leaves(start, Math.min(PAGE, enough, size - start), options),
  }
}

export interface WebOptions {
  /** A certificate authority (PEM) that counts beside the public ones. */
  readonly ca?: string
  /** Of one request, default 30 000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** No tree of ours has longer answers: a note of 16 Ki characters, 256 hashes, 256 entries of 4096 bytes with their lengths. */
const MAX_NOTE_BYTES = 64 * 1024
const MAX_TILE_BYTES = 8192
const MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + 4096)
const TIMEOUT_MS = 30_000

/**
 * A log that anybody may read: C2SP tlog-tiles below a URL, of a gateway or of a copy. Proofs are made here, from tiles.
 * @param url - `http:` or `https:`, without query; redirects are not followed.
 * @throws AttestError `USAGE` for another URL. Its answers: `GATEWAY_UNREACHABLE`, `TLS_REJECTED`, `NOT_FOUND`,
 * `TILE_MALFORMED`, `LIMIT_EXCEEDED`, `DEADLINE`, `CANCELLED`.
 */
export function webLog(url: string, options: WebOptions = {}): LogSource {
  const base = baseOf(url)
  const source: TileSource = (path) => get(base, path, path.startsWith('tile/entries/') ? MAX_BUNDLE_BYTES : MAX_TILE_BYTES, options)
  return {
    name: base.href,
    async checkpoint() {
      const bytes = await get(base, 'checkpoint', MAX_NOTE_BYTES, options)
      if (bytes === null) throw new AttestError('NOT_FOUND', `there is no log at ${base.href}`)
      return fromUtf8(bytes)
    },
    inclusionProof: (index, size) => inclusionProof(index, size, tileNodeReader(size, source)),
    consistencyProof: (oldSize, newSize) => consistencyProof(oldSize, newSize, tileNodeReader(newSize, source)),
    async leaves(start, size) {
      const entries = await readEntryBundle(Math.floor(start / TILE_WIDTH), size, source)
      return entries.slice(start % TILE_WIDTH)
    },
  }
}

function baseOf(text: string): URL {
  if (!URL.canParse(text)) throw new AttestError('USAGE', `"${text}" is not a URL`)
  const url = new URL(text.endsWith('/') ? text : `${text}/`)
  if (!/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    throw new AttestError('USAGE', `"${text}" is not the address of a log: want http:// or https:// and a path`)
  }
  return url
}

/** @returns null for 404. */
async function get(base: URL, path: string, maxBytes: number, options: WebOptions): Promise<Uint8Array | null> {
  const url = new URL(path, base)
  const limit = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  try {
    const response = await send(url, signal, options.ca)
    const { statusCode = 0, headers } = response
    if (statusCode !== 200) {
      response.destroy()
      if (statusCode === 404) return null
      throw new AttestError('GATEWAY_UNREACHABLE', `${url.href} answers ${statusCode}`)
    }
    return await decode(await read(response, maxBytes, url), headers['content-encoding'], maxBytes, url)
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    if (options.signal?.aborted === true) throw new AttestError('CANCELLED', 'interrupted', { cause })
    if (limit.aborted) throw new AttestError('DEADLINE', `${url.href} does not answer in time`, { cause })
    throw networkError(url, cause)
  }
}

function send(url: URL, signal: AbortSignal, ca: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { 'accept-encoding': 'gzip, identity' }
    const request =
      url.protocol === 'http:'
        ? httpRequest(url, { headers, signal }, resolve)
        : httpsRequest(url, { headers, signal, ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }) }, resolve)
    request.once('error', reject)
    request.end()
  })
}

async function read(response: IncomingMessage, maxBytes: number, url: URL): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    size += chunk.length
    // Leaving the loop destroys the connection.
    if (size > maxBytes) throw tooLong(url, maxBytes)
    chunks.push(chunk)
  }
  return new Uint8Array(Buffer.concat(chunks))
}

const expand = promisify(gunzip)

async function decode(bytes: Uint8Array, encoding: string | undefined, maxBytes: number, url: URL): Promise<Uint8Array> {
  if (encoding === undefined || encoding === 'identity') return bytes
  if (encoding !== 'gzip') throw new AttestError('TILE_MALFORMED', `${url.href} comes as ${encoding}, which was not asked for`)
  try {
    return new Uint8Array(await expand(bytes, { maxOutputLength: maxBytes }))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLong(url, maxBytes)
    throw new AttestError('TILE_MALFORMED', `${url.href} is not gzip, as it says`, { cause })
  }
}

function tooLong(url: URL, maxBytes: number): AttestError {
  return new AttestError('LIMIT_EXCEEDED', `${url.href} has more than ${maxBytes} bytes`)
}

function networkError(url: URL, cause: unknown): AttestError {
  const { code = 'unknown' } = cause as NodeJS.ErrnoException
  const isTls = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO_|EPROTO)/.test(code)
  return new AttestError(isTls ? 'TLS_REJECTED' : 'GATEWAY_UNREACHABLE', `${url.href} cannot be reached (${code})`, { cause })
}
