import { request as httpRequest } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { ServiceChannel } from '../../../../src/client/service/channel.ts'
import { type ConnectRequest, connectService } from '../../../../src/client/service/connect-service.ts'
import { createServiceKey } from '../../../../src/host/service/tls-key.ts'
import { SERVICE_ALPN } from '../../../../src/rpc/service/index.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { asClient, clientKey, type Lies, NOW, opened, serviceTrust, strangerKey, TestService } from '../../../support/test-service.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closers.splice(0).reverse()) await close()
})

async function service(lies: Lies = {}, body = 'from inside'): Promise<TestService> {
  const made = await TestService.start((request, response) => {
    request.resume()
    request.on('end', () => response.end(body))
  }, lies)
  closers.push(() => made.close())
  return made
}

/** Connects to `of`; resolves with its URL and how it will end. */
async function connected(
  of: TestService,
  changes: Partial<ConnectRequest> = {},
): Promise<{ url: string; end: Promise<string>; compared: number[] }> {
  const compared: number[] = []
  const stop = new AbortController()
  closers.push(() => stop.abort())
  let onUrl: (url: string) => void = () => {}
  const listening = new Promise<string>((resolve) => (onUrl = resolve))
  const end = connectService({
    service: of.known,
    trust: serviceTrust,
    evidence: () => Promise.resolve(of.evidence),
    open: of.open,
    key: asClient(clientKey),
    keyDigest: clientKey.digest,
    listen: { host: '127.0.0.1', port: 0 },
    renewMs: 600_000,
    ended: new Promise(() => undefined),
    signal: stop.signal,
    now: () => NOW,
    onEvent: (event) => {
      if (event.kind === 'listening') onUrl(`http://127.0.0.1:${event.address.port}`)
      if (event.kind === 'session') compared.push(event.compared)
    },
    ...changes,
  }).then(
    ({ reason }) => reason,
    (error: unknown) => (error instanceof AttestError ? `${error.code} ${error.at ?? ''} ${error.message}` : String(error)),
  )
  const first = await Promise.race([listening, end.then((failure) => ({ failure }))])
  return typeof first === 'string' ? { url: first, end, compared } : { url: '', end: Promise.resolve(first.failure), compared }
}

const failure = async (of: TestService, changes: Partial<ConnectRequest> = {}): Promise<string> => (await connected(of, changes)).end

/** A relay that may change what passes towards the client. */
async function relay(port: number, change: (chunk: Buffer, soFar: number, end: () => void) => Buffer): Promise<number> {
  const server: Server = createServer((client) => {
    void opened(port).then((enclave) => {
      let soFar = 0
      client.pipe(enclave)
      enclave.on('data', (chunk: Buffer) => {
        client.write(change(chunk, soFar, () => client.destroy()))
        soFar += chunk.length
      })
      for (const [a, b] of [
        [client, enclave],
        [enclave, client],
      ] as [Socket, Socket][]) {
        a.on('error', () => undefined)
        a.on('close', () => b.destroy())
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => server.close())
  return (server.address() as AddressInfo).port
}

describe('a client of a service', () => {
  it('speaks with the enclave that its evidence names', async () => {
    const { url } = await connected(await service())
    expect(await (await fetch(`${url}/x`)).text()).toBe('from inside')
  })

  it('dials many connections at a time without a warning of leaked listeners', async () => {
    const of = await service()
    const warnings: string[] = []
    const onWarning = ({ name }: Error): void => void warnings.push(name)
    process.on('warning', onWarning)
    closers.push(() => process.off('warning', onWarning))
    let together: (() => void)[] | null = null
    // As a dial does that can be given up; from `together` on none is through before twenty are under way.
    const open: ConnectRequest['open'] = async (signal) => {
      const listen = (): void => undefined
      signal.addEventListener('abort', listen)
      if (together !== null && together.length < 20) {
        await new Promise<void>((resolve) => {
          together?.push(resolve)
          if (together?.length === 20) for (const go of together) go()
        })
      }
      const socket = await of.open()
      signal.removeEventListener('abort', listen)
      return socket
    }
    const { url } = await connected(of, { open })
    together = []
    await Promise.all(Array.from({ length: 32 }, () => fetch(`${url}/x`).then((r) => r.text())))
    await new Promise((resolve) => setImmediate(resolve))
    expect(warnings).toEqual([])
  })

  it('sends nothing to a gateway in the middle that has a certificate of its own', async () => {
    const honest = await service()
    const own = await createServiceKey()
    let received = 0
    const middle = createTlsServer({ ...asClient(own), ALPNProtocols: [SERVICE_ALPN], minVersion: 'TLSv1.3' }, (socket: TLSSocket) => {
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => (received += chunk.length))
    })
    await new Promise<void>((resolve) => middle.listen(0, '127.0.0.1', resolve))
    closers.push(() => middle.close())
    const { port } = middle.address() as AddressInfo
    expect(await failure(honest, { open: () => opened(port) })).toMatch(/^TLS_REJECTED binding\.tls/)
    expect(received).toBe(0)
  })

  it('notices a gateway that swaps the connections of two jobs', async () => {
    const [one, other] = [await service(), await service({ jobLabel: 'other' })]
    expect(await failure(one, { open: other.open })).toMatch(/^TLS_REJECTED binding\.tls/)
    expect(other.seen).toEqual([])
  })

  it.each([
    ['of another job', (): Promise<TestService> => service({ jobLabel: 'other' }), 'binding.job'],
    ['without a TLS key', (): Promise<TestService> => service({ tls: null }), 'binding.service-tls'],
  ])('refuses evidence %s', async (_, other, rule) => {
    const honest = await service()
    const { evidence } = await other()
    const known = rule === 'binding.job' ? honest.known : (await service({ tls: null })).known
    expect(await failure(honest, { service: known, evidence: () => Promise.resolve(evidence) })).toContain(rule)
  })

  it('refuses evidence that binds the key of somebody else, which the other end cannot use', async () => {
    expect(await failure(await service({ tls: strangerKey.digest }))).toMatch(/^TLS_REJECTED binding\.tls/)
  })

  it('refuses evidence under a trust file that does not name its root', async () => {
    expect(await failure(await service(), { trust: { ...serviceTrust, simulatedRoots: [] } })).toMatch(/^EVIDENCE_REJECTED/)
  })

  it('does not open its endpoint before the enclave has answered a fresh nonce: old evidence is replayed', async () => {
    let first: Uint8Array | null = null
    const replaying = await service({
      renewed: (nonce, honest) => {
        first ??= new Uint8Array(nonce.length)
        return honest(first)
      },
    })
    expect(await failure(replaying)).toMatch(/^EVIDENCE_REJECTED.*freshness\.binding-nonce/)
    expect(replaying.seen).toEqual([])
  })

  it('closes everything when a renewal replays the evidence of the one before', async () => {
    const kept: Uint8Array[] = []
    const replaying = await service({
      renewed: (nonce, honest) => {
        kept.push(nonce)
        return honest(kept[0] ?? nonce)
      },
    })
    const { url, end } = await connected(replaying, { renewMs: 50 })
    expect(await end).toMatch(/^EVIDENCE_REJECTED.*freshness\.binding-nonce/)
    await expect(fetch(url)).rejects.toThrow()
  })

  it('closes everything when another enclave answers the renewal', async () => {
    const other = await service({ jobLabel: 'service' })
    let turns = 0
    const moved = await service({
      renewed: async (nonce, honest) => {
        turns++
        if (turns === 1) return honest(nonce)
        const answer = new ServiceChannel(other.key.digest, asClient(clientKey), other.open)
        closers.push(() => answer.close())
        const { bundleFromJson } = await import('../../../../src/verify/documents/evidence-bundle.ts')
        return bundleFromJson(
          await answer.ask('POST', '/.well-known/sealgate/evidence', { nonce: Buffer.from(nonce).toString('base64url') }, 2 ** 24),
        )
      },
    })
    expect(other.known.jobDigest).toBe(moved.known.jobDigest)
    const { end } = await connected(moved, { renewMs: 50 })
    expect(await end).toMatch(/^EVIDENCE_REJECTED binding the enclave that answers is not the one/)
  })

  it('does not try with a key that the contract does not list', async () => {
    const message = await failure(await service(), { key: asClient(strangerKey), keyDigest: strangerKey.digest })
    expect(message).toMatch(/^PERMISSION_DENIED contract\.service/)
  })

  it('listens on loopback alone, and answers to loopback names alone', async () => {
    const of = await service()
    expect(await failure(of, { listen: { host: '0.0.0.0', port: 0 } })).toMatch(/^USAGE listen/)
    const { url } = await connected(of)
    const status = (headers: Record<string, string>): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        httpRequest(`${url}/x`, { headers }, (response) => resolve(response.resume().statusCode))
          .on('error', reject)
          .end()
      })
    expect(await status({ host: 'attacker.example' })).toBe(421)
    expect(await status({ host: `localhost:${new URL(url).port}`, 'sec-fetch-site': 'cross-site' })).toBe(403)
    expect(await status({ host: 'localhost' })).toBe(200)
    expect(of.seen.length).toBe(1)
  })

  it('keeps what is between client and enclave from programs on its machine', async () => {
    const { url } = await connected(await service())
    expect((await fetch(`${url}/.well-known/sealgate/session`)).status).toBe(404)
  })

  it('does not take an answer that the relay has cut short for a whole one', async () => {
    const of = await service({}, 'x'.repeat(500_000))
    const port = await relay(of.port, (chunk, soFar, end) => {
      if (soFar > 200_000) end()
      return chunk
    })
    const { url } = await connected(of, { open: () => opened(port) })
    await expect(fetch(url).then((r) => r.text())).rejects.toThrow()
  })

  it('notices a byte that the relay has changed', async () => {
    const of = await service({}, 'x'.repeat(500_000))
    const port = await relay(of.port, (chunk, soFar) => {
      if (soFar > 200_000) chunk.writeUInt8(chunk.readUInt8(chunk.length >> 1) ^ 1, chunk.length >> 1)
      return chunk
    })
    const { url } = await connected(of, { open: () => opened(port) })
    await expect(fetch(url).then((r) => r.text())).rejects.toThrow()
  })

  it('finds what passed in what the enclave has signed', async () => {
    const stop = new AbortController()
    const { url, end, compared } = await connected(await service(), { signal: stop.signal })
    await (await fetch(`${url}/one`, { method: 'POST', body: 'a body' })).text()
    await (await fetch(`${url}/two`)).text()
    stop.abort()
    expect(await end).toBe('closed')
    expect(compared).toEqual([2])
  })
})

/** Raw TLS with the enclave, as a hostile client has it. */
async function raw(of: TestService, key = clientKey, options: object = {}): Promise<TLSSocket> {
  const socket = await opened(of.port)
  return new Promise((resolve, reject) => {
    const tls = tlsConnect({ socket, ...asClient(key), ALPNProtocols: [SERVICE_ALPN], rejectUnauthorized: false, ...options })
    tls.once('secureConnect', () => resolve(tls))
    tls.once('error', reject)
    tls.once('close', () => reject(new Error('closed')))
  })
}

function everything(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(text))
  })
}

describe('the enclave', () => {
  it('lets nobody in whose key the contract does not list', async () => {
    const of = await service()
    const socket = await raw(of, strangerKey)
    const heard = everything(socket)
    socket.write('GET /x HTTP/1.1\r\nhost: x\r\n\r\n')
    expect(await heard).toBe('')
    expect(of.seen).toEqual([])
  })

  it('lets nobody in without a certificate, with another protocol or an older TLS', async () => {
    const of = await service()
    const bare = await raw(of, clientKey, { cert: undefined, key: undefined }).catch(() => null)
    if (bare !== null) expect(await everything(bare)).toBe('')
    await expect(raw(of, clientKey, { ALPNProtocols: ['http/1.1'] })).rejects.toThrow()
    const none = await raw(of, clientKey, { ALPNProtocols: undefined }).catch(() => null)
    if (none !== null) expect(await everything(none)).toBe('')
    await expect(raw(of, clientKey, { maxVersion: 'TLSv1.2' })).rejects.toThrow()
    expect(of.seen).toEqual([])
  })

  it('resumes no session: each connection proves both keys', async () => {
    const of = await service()
    const first = await raw(of)
    const sessions: Buffer[] = []
    first.on('session', (session: Buffer) => sessions.push(session))
    first.write('GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    await everything(first)
    for (const session of sessions) {
      const again = await raw(of, clientKey, { session })
      expect(again.isSessionReused()).toBe(false)
      again.destroy()
    }
  })

  it.each([
    [
      'both lengths and chunks',
      'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: x\r\n\r\n',
    ],
    ['two lengths', 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcde'],
    [
      'chunks within another coding',
      'POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\nconnection: close\r\n\r\n0\r\n\r\n',
    ],
    ['a length that is no number', 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: +4\r\n\r\nabcd'],
    ['a bare line feed in a header', 'GET /x HTTP/1.1\nhost: x\ntransfer-encoding : chunked\n\n'],
    ['a line that goes on', 'POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\r\n chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n'],
  ])('passes no request on that two readers could read in two ways: %s', async (_, text) => {
    const of = await service()
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write(text)
    expect(await heard).toMatch(/^HTTP\/1\.1 (400|501) /)
    expect(of.seen).toEqual([])
  })

  it('frames the body of a GET anew, so that nothing hides behind it', async () => {
    const of = await service()
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write('GET /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n10\r\nGET /hidden HTTP\r\n0\r\n\r\n')
    expect(await heard).toContain('from inside')
    expect(of.seen.map((r) => r.url)).toEqual(['/x'])
    expect(of.seen[0]?.headers['transfer-encoding']).toBe('chunked')
  })

  it('keeps its own and single hops’ headers from the workload', async () => {
    const of = await service()
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write(
      'GET /x HTTP/1.1\r\nhost: x\r\nsealgate-exchange: 9\r\nte: trailers\r\nx-hop: 1\r\nx-end: 2\r\nupgrade: websocket\r\nconnection: close, x-hop, host\r\n\r\n',
    )
    await heard
    const { headers } = of.seen[0] ?? { headers: {} }
    expect(headers).toMatchObject({ host: 'x', 'x-end': '2' })
    for (const name of ['sealgate-exchange', 'te', 'x-hop', 'upgrade']) expect(headers).not.toHaveProperty(name)
  })

  it('refuses heads without end', async () => {
    const of = await service()
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write(`GET /x HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`)
    expect(await heard).toMatch(/^(HTTP\/1\.1 431 .*)?$/s)
    expect(of.seen).toEqual([])
  })

  it('waits for nobody who sends a head drop by drop', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const of = await service()
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write('GET /x HTTP/1.1\r\nhost: x\r\n')
    await vi.waitFor(() => expect(socket.bytesWritten).toBeGreaterThan(0))
    await new Promise((resolve) => setImmediate(resolve))
    await vi.advanceTimersByTimeAsync(31_000)
    expect(await heard).toBe('')
    expect(of.seen).toEqual([])
  })

  it('ends when nobody has asked for the idle time, and not while a request is under way', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const of = await service({ idleMs: 60_000 })
    await vi.advanceTimersByTimeAsync(59_000)
    const socket = await raw(of)
    const heard = everything(socket)
    socket.write('GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(await heard).toContain('from inside')
    await vi.advanceTimersByTimeAsync(59_000)
    expect(of.idle).toBe(0)
    await vi.advanceTimersByTimeAsync(2000)
    expect(of.idle).toBe(1)
  })
})
