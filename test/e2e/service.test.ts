import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { sealgate, sealgateJson } from '../support/processes.ts'
import { type Connection, ServiceWorld } from '../support/service-world.ts'

const engine: TestEngine | null = await testEngine()
const MiB = 1024 ** 2

describe.skipIf(engine === null)('a service on a real engine', () => {
  let service: ServiceWorld
  let jobId: string
  let connection: Connection

  beforeAll(async () => {
    service = await ServiceWorld.start((engine as TestEngine).socketPath)
    jobId = await service.run()
    connection = await service.connect(jobId, '--record', service.world.path('session.json'), '--renew', '2s')
  })

  afterAll(async () => {
    await connection?.close()
    await service?.close()
  })

  const post = (path: string, body: NonNullable<RequestInit['body']>, init: RequestInit = {}): Promise<Response> =>
    fetch(`${connection.url}${path}`, { method: 'POST', body, ...init })

  it('answers a client that knows nothing of enclaves', async () => {
    const response = await post('/v1/chat/completions', JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] }), {
      headers: { 'content-type': 'application/json', authorization: 'Bearer none' },
    })
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: 'you said hello' } }] })
  })

  it('has the decrypted data inside', async () => {
    expect(await (await fetch(`${connection.url}/data`)).json()).toEqual({ lines: 571 })
  })

  it('streams events as they come: the next one is only sent when the last one has arrived', async () => {
    const response = await post('/v1/chat/completions', JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'a b c' }] }))
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const words: string[] = []
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const text = Buffer.from(chunk).toString()
      if (text.includes('[DONE]')) break
      words.push((JSON.parse(text.slice('data: '.length)) as { choices: [{ delta: { content: string } }] }).choices[0].delta.content)
      await post('/next', '')
    }
    expect(words).toEqual(['you', 'said', 'a', 'b', 'c'])
  })

  it('takes and gives large bodies whole', async () => {
    const block = Buffer.alloc(MiB, 3)
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let i = 0; i < 64; i++) controller.enqueue(block)
        controller.close()
      },
    })
    const uploaded = await post('/upload', body, { duplex: 'half' } as RequestInit)
    const sha256 = createHash('sha256')
    for (let i = 0; i < 64; i++) sha256.update(block)
    expect(await uploaded.json()).toEqual({ bytes: 64 * MiB, sha256: sha256.digest('hex') })
    const download = await fetch(`${connection.url}/download?bytes=${64 * MiB}`)
    let bytes = 0
    for await (const chunk of download.body as unknown as AsyncIterable<Uint8Array>) bytes += chunk.length
    expect(bytes).toBe(64 * MiB)
  })

  it('answers 32 requests at a time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 32 }, async (_, i) => {
        const response = await post('/v1/chat/completions', JSON.stringify({ messages: [{ role: 'user', content: String(i) }] }))
        return ((await response.json()) as { choices: [{ message: { content: string } }] }).choices[0].message.content
      }),
    )
    expect(answers).toEqual(Array.from({ length: 32 }, (_, i) => `you said ${i}`))
  })

  it('lets the workload reach nothing', async () => {
    const { interfaces, reached } = (await (await fetch(`${connection.url}/network`)).json()) as { interfaces: string[]; reached: string }
    expect(interfaces).toEqual(['lo'])
    expect(reached).toBe('ENETUNREACH')
  })

  it('does not let the workload speak in the name of the enclave', async () => {
    const response = await fetch(`${connection.url}/spoof`)
    expect(await response.text()).toBe('spoofed')
    expect(response.headers.get('sealgate-exchange')).toBeNull()
  })

  it('renews the evidence while it runs', async () => {
    await expect.poll(() => connection.stderr, { timeout: 20_000 }).toContain('proven itself anew')
  })

  it('ends by cancelling, and its receipt and session record verify offline', async () => {
    expect(await connection.close()).toBe(0)
    const owner = service.world.path('owner')
    await sealgateJson(['job', 'cancel', jobId, '--folder', owner])
    const receipt = await service.receipt(jobId)
    const trust = ['--trust', `${owner}/trust.json`]
    const shown = await sealgateJson<{ claims: { outcome: { kind: string } } }>(['receipt', 'verify', receipt, ...trust])
    expect(shown.claims.outcome.kind).toBe('cancelled')
    const session = service.world.path('session.json')
    const { claims } = await sealgateJson<{ claims: { exchanges: number; incomplete: number } }>([
      'receipt',
      'verify',
      receipt,
      '--session',
      session,
      ...trust,
    ])
    expect(claims.exchanges).toBeGreaterThan(40)
    expect(claims.incomplete).toBe(0)
    const refused = await sealgate(['connect', jobId, '--folder', owner, '--listen', '127.0.0.1:0'])
    expect(refused.exitCode).toBe(5)
  })
})

describe.skipIf(engine === null)('a service that ends', () => {
  let service: ServiceWorld
  const open: Connection[] = []

  beforeAll(async () => {
    service = await ServiceWorld.start((engine as TestEngine).socketPath)
  })
  afterEach(async () => {
    for (const connection of open.splice(0)) await connection.close()
  })
  afterAll(async () => {
    await service?.close()
    await engine?.stop()
  })

  async function started(...more: readonly string[]): Promise<{ jobId: string; connection: Connection }> {
    const jobId = await service.run(...more)
    const connection = await service.connect(jobId)
    open.push(connection)
    return { jobId, connection }
  }

  async function outcomeOfReceipt(jobId: string): Promise<{ kind: string; code: string | null; exitCode: number | null }> {
    const receipt = await service.receipt(jobId)
    const shown = await sealgateJson<{ claims: { outcome: { kind: string; code: string | null; exitCode: number | null } } }>([
      ...['receipt', 'verify', receipt],
      ...['--trust', service.world.path('owner', 'trust.json')],
    ])
    return shown.claims.outcome
  }

  it('by itself: its exit code is in the receipt, and the endpoint is closed', async () => {
    const { jobId, connection } = await started()
    await (await fetch(`${connection.url}/exit`)).text()
    expect(await connection.ended).toBe(0)
    expect(connection.stderr).toContain('the job has ended (succeeded)')
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ kind: 'succeeded', exitCode: 0 })
  })

  it('because nobody uses it any more', async () => {
    const { jobId, connection } = await started('--idle', '2s', '--time', '5m')
    expect(await connection.ended).toBe(0)
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ kind: 'idle', code: null, exitCode: null })
  })

  it('at its time limit', async () => {
    const { jobId, connection } = await started('--time', '6s')
    expect(await connection.ended).toBe(0)
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ kind: 'timeout', code: 'DEADLINE' })
  })

  it('cancelled in the middle of an answer: the answer is cut, and does not look whole', async () => {
    const { jobId, connection } = await started()
    const answer = await fetch(`${connection.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'a' }] }),
    })
    const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
    await reader.read()
    await sealgateJson(['job', 'cancel', jobId, '--folder', service.world.path('owner')])
    await expect(reader.read()).rejects.toThrow()
    expect(await connection.ended).toBe(0)
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ kind: 'cancelled' })
  })

  it('with its agent, killed: the endpoint says so, and the job is lost', async () => {
    const { jobId, connection } = await started()
    await service.host.stop('SIGKILL')
    const response = await fetch(`${connection.url}/data`).catch(() => null)
    expect(response?.status ?? 502).toBe(502)
    await service.host.start()
    expect(await connection.ended).toBe(0)
    expect(connection.stderr).toContain('the job has ended (lost)')
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ kind: 'lost', code: 'JOB_LOST' })
  })

  it.skipIf(engine?.kill === null)('with the container engine, killed', async () => {
    const { jobId, connection } = await started()
    await engine?.kill?.()
    expect(await connection.ended).toBe(0)
    expect(await outcomeOfReceipt(jobId)).toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
  })
})
