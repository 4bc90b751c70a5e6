import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { webLog } from '../../../../src/client/index.ts'
import { checkpointSigner, type PublicListener, servePublicLog, TransparencyLog } from '../../../../src/gateway/log/index.ts'
import { openStore, type Store } from '../../../../src/gateway/store/open-store.ts'
import { commitmentOf } from '../../../../src/verify/documents/leaf.ts'
import { leafHash, parseEntryBundle, verifyCheckpoint, verifyConsistency, verifyInclusion } from '../../../../src/verify/tlog/index.ts'
import { defined } from '../../../support/defined.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { testAuthority } from '../../../support/pki.ts'
import { TestClock } from '../../../support/test-clock.ts'

const T0 = 1_780_000_000
const ORIGIN = 'log.example/sealgate'
/** One full tile, and a partial one. */
const SIZE = 300
const signer = await checkpointSigner({ ...testKey('log').jwk, origin: ORIGIN })
const trust = { origin: ORIGIN, key: signer.verifierKey, witnessing: { mode: 'none' } } as const
const logged: string[] = []
const logger = pino({}, { write: (line: string) => void logged.push(line) })

let folder: string
let store: Store
let log: TransparencyLog
let listener: PublicListener
const clock = new TestClock(T0)
const roots = new Map<number, Uint8Array>()

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-public-log-'))
  store = await openStore(folder)
  log = await TransparencyLog.open(store.db, signer, clock, join(folder, 'log.head'))
  for (const size of [100, SIZE]) {
    await Promise.all(Array.from({ length: size - log.size }, (_, i) => append(`${size} ${i}`)))
    roots.set(size, (await verifyCheckpoint(await log.checkpoint(), trust)).root)
  }
  listener = await servePublicLog(log, { address: { host: '127.0.0.1', port: 0 }, tls: null, connections: 8, logger })
})
afterAll(async () => {
  await listener.close()
  await log.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

async function append(label: string): Promise<void> {
  const [salt, opening] = [testBytes(`salt ${label}`, 32), testBytes(`opening ${label}`, 64)]
  const leaf = { v: 1, type: 'onboard', commitment: await commitmentOf(salt, opening), tags: [], ends: [], deadline: null } as const
  await log.append({ leaf, salt, opening })
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

function ask(
  path: string,
  options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', body } = options
    const headers = { ...options.headers, ...(body === undefined ? {} : { 'content-length': String(body.length) }) }
    const sent = request({ host: '127.0.0.1', port: listener.address.port, path, method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

const url = (): string => `http://127.0.0.1:${listener.address.port}`

describe('what anybody may read', () => {
  it('is the newest checkpoint, as text that is soon asked for again', async () => {
    const { status, headers, body } = await ask('/checkpoint')
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, 'text/plain; charset=utf-8', 'public, max-age=2'])
    expect((await verifyCheckpoint(body.toString(), trust)).size).toBe(SIZE)
  })

  it.each([
    ['/tile/0/000', 8192],
    ['/tile/0/001.p/44', 44 * 32],
    ['/tile/0/001.p/1', 32],
    ['/tile/0/000.p/100', 3200],
    ['/tile/1/000.p/1', 32],
  ])('is tile %s: %i bytes, for ever', async (path, size) => {
    const { status, headers, body } = await ask(path)
    expect([status, headers['content-type'], body.length]).toEqual([200, 'application/octet-stream', size])
    expect(headers['cache-control']).toBe(`public, max-age=${path.includes('.p/') ? 3600 : 31_536_000}, immutable`)
  })

  it('is every entry, hashed as the tiles say', async () => {
    const [full, partial] = [await ask('/tile/entries/000'), await ask('/tile/entries/001.p/44')]
    const entries = [...parseEntryBundle(full.body, 256), ...parseEntryBundle(partial.body, 44)]
    const hashes = Buffer.concat([(await ask('/tile/0/000')).body, (await ask('/tile/0/001.p/44')).body])
    expect(Buffer.concat(await Promise.all(entries.map(leafHash))).equals(hashes)).toBe(true)
    expect(full.headers['content-encoding']).toBeUndefined()
  })

  it('is nothing but leaves: no salt, no opening', async () => {
    const [first] = parseEntryBundle((await ask('/tile/entries/000')).body, 256)
    expect(Object.keys(JSON.parse(Buffer.from(defined(first)).toString()) as object).sort()).toEqual([
      'commitment',
      'deadline',
      'ends',
      'tags',
      'type',
      'v',
    ])
  })

  it('comes compressed where that is asked for, and only then', async () => {
    const plain = (await ask('/tile/entries/000')).body
    for (const accept of ['gzip', 'br, gzip;q=0.5', 'GZIP , identity']) {
      const { headers, body } = await ask('/tile/entries/000', { headers: { 'accept-encoding': accept } })
      expect([headers['content-encoding'], headers.vary]).toEqual(['gzip', 'accept-encoding'])
      expect(gunzipSync(body).equals(plain)).toBe(true)
    }
    for (const accept of ['br', 'gzip;q=0', 'xgzip', '']) {
      const { headers, body } = await ask('/tile/entries/000', { headers: { 'accept-encoding': accept } })
      expect(headers['content-encoding']).toBeUndefined()
      expect(body.equals(plain)).toBe(true)
    }
  })

  it('has an answer without its body for HEAD', async () => {
    const { status, headers, body } = await ask('/tile/0/000', { method: 'HEAD' })
    expect([status, headers['content-length'], body.length]).toEqual([200, '8192', 0])
  })

  it('is enough to prove every entry and every step of the log', async () => {
    const source = webLog(url())
    const [root, old] = [defined(roots.get(SIZE)), defined(roots.get(100))]
    for (const index of [0, 99, 255, 256, 299]) {
      const entries = await source.leaves(index, SIZE)
      const hash = await leafHash(defined(entries[0]))
      await verifyInclusion({ leafHash: hash, index, size: SIZE, root, proof: await source.inclusionProof(index, SIZE) })
    }
    const proof = await source.consistencyProof(100, SIZE)
    await verifyConsistency({ oldSize: 100, oldRoot: old, newSize: SIZE, newRoot: root, proof })
  })
})

describe('what nobody gets', () => {
  it.each(['/', '/checkpoint/', '/checkpoint?x=1', '/tiles/0/000', '/v1/blobs/x', '/tile', '//checkpoint', '/.well-known/x', '*'])(
    '%s is not there',
    async (path) => {
      const { status, headers } = await ask(path)
      expect([status, headers['cache-control']]).toEqual([404, 'no-store'])
    },
  )

  it.each([
    '/tile/',
    '/tile/0',
    '/tile/0/0',
    '/tile/0/000.p/0',
    '/tile/0/000.p/256',
    '/tile/0/x000/001',
    '/tile/64/000',
    '/tile/0/000?x=1',
    '/tile/../checkpoint',
    '/tile/0/%30%30%30',
    `/tile/entries/${'x001/'.repeat(12)}000`,
  ])('%s is refused', async (path) => {
    const { status, headers } = await ask(path)
    expect([status, headers['cache-control']]).toEqual([400, 'no-store'])
  })

  it.each([
    '/tile/0/001',
    '/tile/0/001.p/45',
    '/tile/0/002.p/1',
    '/tile/1/000',
    '/tile/1/000.p/2',
    '/tile/2/000.p/1',
    '/tile/63/000',
    '/tile/entries/001',
    '/tile/entries/x035/x184/x372/x088/830',
  ])('%s lies beyond the log', async (path) => {
    expect((await ask(path)).status).toBe(404)
  })

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is not allowed, whatever it brings', async (method) => {
    const { status, headers } = await ask('/checkpoint', { method, body: 'x'.repeat(1000) })
    expect([status, headers.allow, headers.connection]).toEqual([405, 'GET, HEAD', 'close'])
  })

  it('a body with a GET ends the connection', async () => {
    const { status, headers } = await ask('/checkpoint', { body: 'x' })
    expect([status, headers.connection]).toEqual([200, 'close'])
  })

  it('headers beyond bounds are refused', async () => {
    expect((await ask('/checkpoint', { headers: { x: 'y'.repeat(10_000) } })).status).toBe(431)
    expect((await ask(`/tile/${'0'.repeat(10_000)}`)).status).toBe(431)
  })

  it('no cause of a failure gets out', async () => {
    const broken = await servePublicLog(
      { checkpoint: () => Promise.reject(new Error('/secret/path')), tile: () => Promise.reject(new Error('/secret/path')) },
      { address: { host: '127.0.0.1', port: 0 }, tls: null, connections: 8, logger },
    )
    try {
      for (const path of ['checkpoint', 'tile/0/000']) {
        const response = await fetch(`http://127.0.0.1:${broken.address.port}/${path}`)
        expect([response.status, response.headers.get('retry-after'), await response.text()]).toEqual([
          503,
          '1',
          'the log cannot be read now\n',
        ])
      }
      expect(logged.some((line) => line.includes('/secret/path'))).toBe(true)
    } finally {
      await broken.close()
    }
  })

  it('not more than so many requests are worked on at once', async () => {
    let release = (): void => {}
    const held = new Promise<string>((resolve) => {
      release = () => resolve('note')
    })
    const slow = await servePublicLog(
      { checkpoint: () => held, tile: () => Promise.resolve(null) },
      { address: { host: '127.0.0.1', port: 0 }, tls: null, connections: 8, logger },
    )
    try {
      const socket = connect(slow.address.port, '127.0.0.1')
      socket.write('GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(70))
      let text = ''
      const busy = new Promise<void>((resolve) => {
        socket.on('data', (chunk) => {
          text += chunk.toString()
          if (text.match(/HTTP\/1\.1 /g)?.length === 70) resolve()
        })
      })
      // Another caller meets the bound too, and is told so at once.
      await expect.poll(async () => (await fetch(`http://127.0.0.1:${slow.address.port}/checkpoint`)).status).toBe(503)
      release()
      await busy
      expect(text.match(/ 200 OK/g)).toHaveLength(64)
      expect(text.match(/ 503 /g)).toHaveLength(6)
      socket.destroy()
    } finally {
      await slow.close()
    }
  })
})

describe('over HTTPS', () => {
  it('asks callers for no certificate', async () => {
    const authority = await testAuthority()
    const tls = await authority.issue(['urn:sealgate:gateway:gw'], 'server')
    const secure = await servePublicLog(log, { address: { host: '127.0.0.1', port: 0 }, tls, connections: 8, logger })
    try {
      const status = await new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port: secure.address.port, path: '/checkpoint', ca: tls.ca, agent: false }
        tlsRequest(options, (response) => resolve(response.resume().statusCode))
          .on('error', reject)
          .end()
      })
      expect(status).toBe(200)
      const source = `https://127.0.0.1:${secure.address.port}`
      expect(await webLog(source, { ca: tls.ca }).checkpoint()).toBe(await log.checkpoint())
      await expect(webLog(source).checkpoint()).rejects.toMatchObject({ code: 'TLS_REJECTED' })
    } finally {
      await secure.close()
    }
  })

  it('refuses a port that is taken', async () => {
    const taken = servePublicLog(log, { address: listener.address, tls: null, connections: 8, logger })
    await expect(taken).rejects.toMatchObject({ code: 'PORT_IN_USE' })
  })
})
