import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import { type WebOptions, webLog } from '../../../src/client/index.ts'
import { outcomeOf } from '../../support/outcome.ts'

let server: Server | null = null
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

async function serving(handler: RequestListener): Promise<string> {
  server = createServer(handler)
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answering =
  (status: number, body: string | Uint8Array, headers: Record<string, string> = {}): RequestListener =>
  (_, response) =>
    void response.writeHead(status, headers).end(body)

async function checkpointOf(handler: RequestListener, options: WebOptions = {}): Promise<string> {
  const url = await serving(handler)
  return outcomeOf(() => webLog(url, options).checkpoint())
}

describe('a log on the web', () => {
  it.each([
    '',
    'log.example',
    'ftp://log.example',
    'https://user@log.example',
    'https://log.example/?a',
    'https://log.example/#a',
    'file:///etc',
  ])('is not at %j', async (url) => {
    expect(await outcomeOf(() => webLog(url))).toBe('USAGE')
  })

  it('is asked below its prefix, with or without a slash at the end', async () => {
    const asked: string[] = []
    const url = await serving((request, response) => {
      asked.push(request.url ?? '')
      response.end('note')
    })
    for (const prefix of ['', '/', '/some/log', '/some/log/']) expect(await webLog(url + prefix).checkpoint()).toBe('note')
    expect(asked).toEqual(['/checkpoint', '/checkpoint', '/some/log/checkpoint', '/some/log/checkpoint'])
  })

  it('does not follow a redirect', async () => {
    expect(await checkpointOf(answering(302, '', { location: 'http://169.254.169.254/' }))).toBe('GATEWAY_UNREACHABLE')
  })

  it('is missing, failing or away', async () => {
    expect(await checkpointOf(answering(404, 'no'))).toBe('NOT_FOUND')
    expect(await checkpointOf(answering(503, 'busy'))).toBe('GATEWAY_UNREACHABLE')
    expect(await checkpointOf((request) => void request.socket.destroy())).toBe('GATEWAY_UNREACHABLE')
    expect(await outcomeOf(() => webLog('http://127.0.0.1:1').checkpoint())).toBe('GATEWAY_UNREACHABLE')
  })

  it('does not get more than a tile, a bundle or a note of memory, compressed or not', async () => {
    const long = new Uint8Array(3 * 1024 * 1024)
    for (const [body, headers] of [
      [long, {}],
      [gzipSync(long), { 'content-encoding': 'gzip' }],
    ] as const) {
      const url = await serving(answering(200, body, headers))
      expect(await outcomeOf(() => webLog(url).checkpoint())).toBe('LIMIT_EXCEEDED')
      expect(await outcomeOf(() => webLog(url).inclusionProof(0, 2))).toBe('LIMIT_EXCEEDED')
      expect(await outcomeOf(() => webLog(url).leaves(0, 1))).toBe('LIMIT_EXCEEDED')
      server?.close()
    }
  })

  it('is refused when its encoding is not one that was asked for, or not what it says', async () => {
    expect(await checkpointOf(answering(200, 'x', { 'content-encoding': 'br' }))).toBe('TILE_MALFORMED')
    expect(await checkpointOf(answering(200, 'x', { 'content-encoding': 'gzip' }))).toBe('TILE_MALFORMED')
    expect(await checkpointOf(answering(200, gzipSync('x').subarray(0, 12), { 'content-encoding': 'gzip' }))).toBe('TILE_MALFORMED')
    expect(await checkpointOf(answering(200, Uint8Array.of(0xff)))).toBe('ENCODING_INVALID')
  })

  it('is not waited for longer than is wanted', async () => {
    expect(await checkpointOf(() => {}, { timeoutMs: 50 })).toBe('DEADLINE')
    const dripping: RequestListener = (_, response) => {
      response.writeHead(200)
      response.write('x')
    }
    expect(await checkpointOf(dripping, { timeoutMs: 50 })).toBe('DEADLINE')
    const abort = new AbortController()
    expect(await checkpointOf(() => abort.abort(), { signal: abort.signal })).toBe('CANCELLED')
  })
})
