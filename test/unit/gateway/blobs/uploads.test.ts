import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { type RequestOptions, request } from 'node:https'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  DatasetService,
  downloadBlob,
  type GatewayChannel,
  httpsOptions,
  JobService,
  sealgate,
  toNumber,
} from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { digestOf, sampleHeader } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { resultHeader, Scenario, sealedFile, toReleased, upload } from '../scenario.ts'

const faults = new CommitFaults()
const { BLOB_KIND_DATASET, BLOB_KIND_RESULT } = sealgate.v1.BlobKind

let gateway: TestGateway
let alice: GatewayChannel
beforeAll(async () => {
  gateway = await TestGateway.start({ blobBytes: 4 * 1024 * 1024, openUploads: 32 }, { wrap: faults.wrap })
  alice = await gateway.dial('client', 'alice')
})
afterAll(() => gateway.end())

let count = 0
/** A dataset that no other test has. */
async function dataset(size = 1000) {
  const header = encodeHeader(sampleHeader({ plaintextSize: size, datasetId: toBase64Url(testBytes(`dataset ${count++}`, 16)) }))
  return { header, ...(await sealedFile(header, `stream ${count}`)) }
}

type File = Awaited<ReturnType<typeof dataset>>

async function begin({ header, bytes, root }: File, channel = alice): Promise<string> {
  const wanted = { kind: BLOB_KIND_DATASET, header, sizeBytes: bytes.length, root }
  return (await channel.unary(DatasetService.beginUpload, wanted)).upload?.uploadId ?? ''
}

interface Answer {
  readonly status: number
  readonly offset: number | null
  readonly code: string
  readonly body: Buffer
}

/** One HTTP request, as bare as it gets. */
function http(channel: GatewayChannel, options: RequestOptions, body?: Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ ...httpsOptions(channel.address, channel.identity), ...options })
    req.on('error', reject)
    req.on('response', (response) => void answerOf(response).then(resolve, reject))
    req.end(body)
  })
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = []
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  const body = Buffer.concat(parts)
  const offset = response.headers['upload-offset']
  const isError = response.headers['content-type'] === 'application/json' && body.length > 0
  const code = isError ? (JSON.parse(body.toString()) as { code: string }).code : ''
  return { status: response.statusCode ?? 0, offset: offset === undefined ? null : Number(offset), code, body }
}

function put(id: string, bytes: Uint8Array, range: string, channel = alice): Promise<Answer> {
  return http(channel, { method: 'PUT', path: `/v1/uploads/${id}`, headers: { 'content-range': range } }, bytes)
}

const head = (id: string, channel = alice): Promise<Answer> => http(channel, { method: 'HEAD', path: `/v1/uploads/${id}` })
const parts = (): string[] => readdirSync(join(gateway.folder, 'data/uploads'))
const blobs = (): string[] => readdirSync(join(gateway.folder, 'data/blobs'))

describe('an upload', () => {
  it('goes on where it stood, in parts, and is a blob after the commit alone', async () => {
    const file = await dataset(3000)
    const id = await begin(file)
    const size = file.bytes.length
    expect(await put(id, file.bytes.subarray(0, 1000), `bytes 0-999/${size}`)).toMatchObject({ status: 200, offset: 1000 })
    expect(await head(id)).toMatchObject({ status: 200, offset: 1000 })
    await expect(alice.unary(DatasetService.commitUpload, { uploadId: id })).rejects.toMatchObject({ code: 'STREAM_TRUNCATED' })
    expect(await put(id, file.bytes.subarray(1000), `bytes 1000-${size - 1}/${size}`)).toMatchObject({ status: 200, offset: size })
    const blobId = await digestOf(file.header)
    await expect(alice.unary(DatasetService.getBlob, { blobId: blobId ?? '' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const first = await alice.unary(DatasetService.commitUpload, { uploadId: id })
    expect(first.blob).toMatchObject({ blobId })
    expect(await alice.unary(DatasetService.commitUpload, { uploadId: id })).toEqual(first)
    expect((await alice.unary(DatasetService.listDatasets, {})).datasets.map((d) => d.blobId)).toContain(blobId)
  })

  it('is found again by its owner, and by nobody else', async () => {
    const file = await dataset()
    const id = await begin(file)
    expect(await begin(file)).toBe(id)
    const bob = await gateway.dial('client', 'bob')
    expect(await begin(file, bob)).not.toBe(id)
    expect(await put(id, file.bytes, `bytes 0-${file.bytes.length - 1}/${file.bytes.length}`, bob)).toMatchObject({
      status: 404,
      code: 'NOT_FOUND',
    })
    expect((await head(id, bob)).status).toBe(404)
    await expect(bob.unary(DatasetService.getUpload, { uploadId: id })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(bob.unary(DatasetService.commitUpload, { uploadId: id })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it.each([
    ['a gap', 'bytes 10-19/SIZE', 10],
    ['another size', 'bytes 0-9/10', 10],
    ['an end beyond the file', 'bytes 0-SIZE/SIZE', 10],
    ['an end before the start', 'bytes 9-0/SIZE', 10],
    ['no range', '', 10],
    ['a range of another unit', 'segments 0-9/SIZE', 10],
    ['more bytes than the range', 'bytes 0-4/SIZE', 10],
  ])('refuses %s', async (_what, range, length) => {
    const file = await dataset()
    const id = await begin(file)
    const wanted = range.replaceAll('SIZE', String(file.bytes.length))
    expect(await put(id, file.bytes.subarray(0, length), wanted)).toMatchObject({ status: 400, code: 'DOCUMENT_INVALID' })
    await alice.unary(DatasetService.getUpload, { uploadId: id })
    await drop(file, id)
  })

  it('refuses an overlap with what is durable', async () => {
    const file = await dataset()
    const id = await begin(file)
    const size = file.bytes.length
    await put(id, file.bytes.subarray(0, 100), `bytes 0-99/${size}`)
    expect(await put(id, file.bytes.subarray(50, 150), `bytes 50-149/${size}`)).toMatchObject({ status: 400, code: 'DOCUMENT_INVALID' })
    expect(await head(id)).toMatchObject({ offset: 100 })
    await drop(file, id)
  })

  it('keeps what came before a cut, and takes over from a transfer that hangs', async () => {
    const file = await dataset(500_000)
    const id = await begin(file)
    const size = file.bytes.length
    const hanging = request({
      ...httpsOptions(alice.address, alice.identity),
      method: 'PUT',
      path: `/v1/uploads/${id}`,
      headers: { 'content-range': `bytes 0-${size - 1}/${size}`, 'content-length': size },
    })
    hanging.on('error', () => {})
    hanging.write(file.bytes.subarray(0, 200_000))
    await until(() => parts().some((name) => name.startsWith(id)), 'the part appears')
    const { offset } = await head(id)
    expect(offset).toBeLessThanOrEqual(200_000)
    expect(await put(id, file.bytes.subarray(offset ?? 0), `bytes ${offset}-${size - 1}/${size}`)).toMatchObject({
      status: 200,
      offset: size,
    })
    expect((await alice.unary(DatasetService.commitUpload, { uploadId: id })).blob?.root).toEqual(Buffer.from(file.root))
  })

  it('goes on after a restart of the gateway from what was acknowledged', async () => {
    const file = await dataset()
    const id = await begin(file)
    const size = file.bytes.length
    await put(id, file.bytes.subarray(0, 300), `bytes 0-299/${size}`)
    // Bytes that were written but never acknowledged, as a crash may leave them.
    writeFileSync(join(gateway.folder, 'data/uploads', `${id}.part`), Buffer.from('garbage'), { flag: 'a' })
    await gateway.restart()
    alice = await gateway.dial('client', 'alice')
    expect(await head(id)).toMatchObject({ offset: 300 })
    expect(await put(id, file.bytes.subarray(300), `bytes 300-${size - 1}/${size}`)).toMatchObject({ status: 200 })
    await alice.unary(DatasetService.commitUpload, { uploadId: id })
  })

  it.each([
    ['another root', 'ROOT_MISMATCH', (f: File) => ({ ...f, root: testBytes('other root', 32) })],
    ['another header', 'HEADER_INVALID', (f: File) => ({ ...f, bytes: f.bytes.map((b, i) => (i === 20 ? b ^ 1 : b)) })],
    [
      'one changed bit of ciphertext',
      'ROOT_MISMATCH',
      (f: File) => ({ ...f, bytes: f.bytes.map((b, i) => (i === f.bytes.length - 1 ? b ^ 1 : b)) }),
    ],
  ])('with %s is dropped at the commit', async (_what, code, change) => {
    const file = change(await dataset())
    const id = await begin(file)
    await put(id, file.bytes, `bytes 0-${file.bytes.length - 1}/${file.bytes.length}`)
    await expect(alice.unary(DatasetService.commitUpload, { uploadId: id })).rejects.toMatchObject({ code })
    expect((await head(id)).status).toBe(404)
    expect(parts().some((name) => name.startsWith(id))).toBe(false)
    expect(blobs()).not.toContain(await digestOf(file.header))
  })

  it.each([
    ['that is too large', 'LIMIT_EXCEEDED', { sizeBytes: 5 * 1024 * 1024 }],
    ['of another size than its header says', 'HEADER_INVALID', { sizeBytes: 2000 }],
    ['without a header', 'JSON_MALFORMED', { header: new Uint8Array() }],
    ['without a root', 'DOCUMENT_INVALID', { root: new Uint8Array() }],
    ['of no kind', 'DOCUMENT_INVALID', { kind: 0 }],
    ['of another kind than its header', 'HEADER_INVALID', { kind: BLOB_KIND_RESULT }],
    ['of a job', 'DOCUMENT_INVALID', { jobId: 'AAAA' }],
  ])('%s is not begun', async (_what, code, changes) => {
    const { header, bytes, root } = await dataset()
    const wanted = { kind: BLOB_KIND_DATASET, header, sizeBytes: bytes.length, root, ...changes }
    await expect(alice.unary(DatasetService.beginUpload, wanted)).rejects.toMatchObject({ code })
  })

  it('is not begun beside too many others', async () => {
    const carol = await gateway.dial('client', 'carol')
    for (let i = 0; i < 32; i++) await begin(await dataset(), carol)
    await expect(begin(await dataset(), carol)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
  })

  it('does not take the place of a file with the same header', async () => {
    const file = await dataset()
    await upload(alice, file, file.header)
    const bob = await gateway.dial('client', 'bob')
    await expect(begin(file, bob)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
    await expect(begin({ ...file, root: testBytes('other', 32) })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  })

  it.each(['before', 'after'] as const)('commits again when the disk failed %s the first commit', async (fault) => {
    const file = await dataset()
    const id = await begin(file)
    await put(id, file.bytes, `bytes 0-${file.bytes.length - 1}/${file.bytes.length}`)
    faults.arm(fault)
    await expect(alice.unary(DatasetService.commitUpload, { uploadId: id })).rejects.toMatchObject({ code: 'INTERNAL' })
    await gateway.restart()
    alice = await gateway.dial('client', 'alice')
    const { blob } = await alice.unary(DatasetService.commitUpload, { uploadId: id })
    expect(blob?.blobId).toBe(await digestOf(file.header))
    expect(existsSync(join(gateway.folder, 'data/blobs', blob?.blobId ?? ''))).toBe(true)
  })

  it('that nobody comes back for is swept away at a start', async () => {
    const file = await dataset()
    const id = await begin(file)
    await put(id, file.bytes.subarray(0, 10), `bytes 0-9/${file.bytes.length}`)
    writeFileSync(join(gateway.folder, 'data/uploads', 'without-a-row.part'), 'x')
    gateway.clock.advance(8 * 24 * 3600)
    await gateway.restart()
    alice = await gateway.dial('client', 'alice')
    expect((await head(id)).status).toBe(404)
    expect(parts()).toEqual([])
  })
})

/** Finishes an upload, so that open ones do not pile up. */
async function drop(file: File, id: string): Promise<void> {
  const { offset } = await head(id)
  const size = file.bytes.length
  await put(id, file.bytes.subarray(offset ?? 0), `bytes ${offset}-${size - 1}/${size}`)
  await alice.unary(DatasetService.commitUpload, { uploadId: id })
}

describe('a blob', () => {
  it('is read whole, from an offset and by range, by its owner alone', async () => {
    const file = await dataset(2000)
    const { blobId = '', sizeBytes } = await upload(alice, file, file.header)
    const get = (headers: Record<string, string>, channel = alice): Promise<Answer> =>
      http(channel, { path: `/v1/blobs/${blobId}`, headers })
    expect((await get({})).body.equals(Buffer.from(file.bytes))).toBe(true)
    expect(await get({ range: 'bytes=10-19' })).toMatchObject({ status: 206, body: Buffer.from(file.bytes.subarray(10, 20)) })
    expect((await get({ range: 'bytes=2000-99999' })).body.equals(Buffer.from(file.bytes.subarray(2000)))).toBe(true)
    for (const range of ['bytes=99999-', 'bytes=5-1', 'bytes=-5', 'lines=1-2', 'bytes=0-1,5-6']) {
      expect(await get({ range })).toMatchObject({ status: 400, code: 'DOCUMENT_INVALID' })
    }
    const read: Uint8Array[] = []
    for await (const chunk of downloadBlob(alice, blobId ?? '', toNumber(sizeBytes), { offset: 7 })) read.push(chunk)
    expect(Buffer.concat(read).equals(Buffer.from(file.bytes.subarray(7)))).toBe(true)
    expect(await get({}, await gateway.dial('client', 'bob'))).toMatchObject({ status: 404, code: 'NOT_FOUND' })
    expect(await get({}, await gateway.dial('host', 'h1'))).toMatchObject({ status: 404, code: 'NOT_FOUND' })
  })

  it.each([
    ['GET', '/'],
    ['GET', '/v1/uploads/x'],
    ['POST', '/v1/blobs/x'],
    ['GET', '/v1/blobs/../gateway.db'],
    ['GET', '/v1/blobs/%2e%2e%2fgateway.db'],
    ['GET', '/v1/blobs/none'],
    ['DELETE', '/v1/uploads/x'],
  ])('is not found by %s %s', async (method, path) => {
    expect(await http(alice, { method, path })).toMatchObject({ status: 404, code: 'NOT_FOUND' })
  })

  it('is nothing for a certificate that names nobody', async () => {
    const nobody = gateway.channel(await gateway.authority.issue([]))
    expect(await http(nobody, { path: '/v1/blobs/x' })).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' })
  })

  it('lies on the disk as it came, for its owner alone', async () => {
    const file = await dataset()
    const { blobId = '' } = await upload(alice, file, file.header)
    expect(statSync(join(gateway.folder, 'data/blobs', blobId ?? '')).mode & 0o777).toBe(0o600)
  })
})

describe('results', () => {
  it('come from the host of the job, sealed to its recipients, and are read by who may see the job', async () => {
    const own = await TestGateway.start()
    const host = new FakeHost(await own.dial('host', 'h1'))
    host.hello()
    await host.attest()
    const scenario = await Scenario.prepare(own)
    await toReleased(scenario, host)
    const h1 = await own.dial('host', 'h1')
    const h2 = await own.dial('host', 'h2')
    const mallory = await own.dial('client', 'mallory')
    const good = encodeHeader(resultHeader(scenario.job))
    const file = await sealedFile(good, 'result')
    const attempt = async (channel: GatewayChannel, header: Uint8Array, jobId: string): Promise<unknown> => {
      const { bytes, root } = await sealedFile(header, 'result')
      return channel.unary(DatasetService.beginUpload, { kind: BLOB_KIND_RESULT, header, sizeBytes: bytes.length, root, jobId })
    }
    await expect(attempt(h2, good, scenario.jobId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(attempt(mallory, good, scenario.jobId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(attempt(h1, good, '')).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
    await expect(attempt(h1, scenario.header, scenario.jobId)).rejects.toMatchObject({ code: 'HEADER_INVALID' })
    const otherJob = encodeHeader(resultHeader(toBase64Url(testBytes('other job', 32))))
    await expect(attempt(h1, otherJob, scenario.jobId)).rejects.toMatchObject({ code: 'HEADER_INVALID' })
    const [wrapped] = resultHeader(scenario.job).recipients
    const stranger = wrapped === undefined ? [] : [{ ...wrapped, recipient: toBase64Url(testBytes('stranger', 32)) }]
    const leaked = encodeHeader(resultHeader(scenario.job, { recipients: stranger }))
    await expect(attempt(h1, leaked, scenario.jobId)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' })

    const { blobId = '' } = await upload(h1, file, good, scenario.jobId)
    const owner = await own.dial('client', 'alice')
    expect((await owner.unary(DatasetService.getBlob, { blobId: blobId ?? '' })).blob).toMatchObject({ blobId, kind: BLOB_KIND_RESULT })
    await expect(mallory.unary(DatasetService.getBlob, { blobId: blobId ?? '' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(h2.unary(DatasetService.getBlob, { blobId: await digestOf(scenario.header) })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await owner.unary(JobService.getJob, { jobId: scenario.jobId })
    await own.end()
  })
})
