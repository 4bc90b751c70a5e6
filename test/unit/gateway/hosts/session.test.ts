import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tlsKeyDigest } from '../../../../src/gateway/server/caller.ts'
import { bundleToWire, bytesOf, HostService, LogService } from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { parseLeaf } from '../../../../src/verify/documents/leaf.ts'
import { testBytes } from '../../../support/keys.ts'
import { evidenceFor, FakeHost } from '../fake-host.ts'
import { TestGateway, until } from '../fixture.ts'

let gateway: TestGateway
beforeEach(async () => {
  gateway = await TestGateway.start()
})
afterEach(() => gateway.end())

async function connect(name = 'h1', runners?: string[]): Promise<FakeHost> {
  const host = new FakeHost(await gateway.dial('host', name))
  host.hello([], runners)
  return host
}

async function hosts() {
  const alice = await gateway.dial('client', 'alice')
  return (await alice.unary(HostService.listHosts, {})).hosts
}

async function leafTypes(): Promise<readonly string[]> {
  const alice = await gateway.dial('client', 'alice')
  const { leaves } = await alice.unary(LogService.listLeaves, { start: 0, count: 100 })
  return leaves.map((leaf) => parseLeaf(bytesOf(leaf)).type)
}

describe('onboarding', () => {
  it('accepts simulated evidence where its root is configured, marks it, and logs the result', async () => {
    const host = await connect()
    const { verdict, expires } = await host.attest()
    expect(verdict).toMatchObject({ accepted: true, authentic: true })
    expect(expires).toBe('2026-05-28T21:26:40Z')
    expect(await hosts()).toMatchObject([
      {
        name: 'h1',
        online: true,
        attested: true,
        busy: false,
        runners: ['wasm'],
        tee: 'sev-snp',
        simulated: true,
        measurement: 'ab'.repeat(48),
      },
    ])
    expect(await leafTypes()).toEqual(['onboard'])
  })

  it('accepts evidence that binds the very TLS key of the connection', async () => {
    const { cert } = await gateway.identity('host', 'h1')
    const certificate = new Uint8Array(new X509Certificate(cert).raw)
    const tls = tlsKeyDigest({ role: 'host', name: 'h1', id: 'host:h1', certificate })
    expect((await (await connect()).attest({ tls })).verdict).toMatchObject({ accepted: true })
  })

  it.each([
    ['an old nonce', { nonce: toBase64Url(testBytes('old', 32)) }, 'freshness.binding-nonce'],
    ['the role of a job', { role: 'job' as const, job: toBase64Url(testBytes('job', 32)) }, 'binding.role'],
    ['the TLS key of another machine', { tls: toBase64Url(testBytes('tls', 32)) }, 'binding.tls'],
    ['another configuration', { config: toBase64Url(testBytes('config', 32)) }, 'binding.config'],
  ])('rejects evidence with %s, logs nothing, and asks again', async (_what, changes, rule) => {
    const host = await connect()
    const { verdict, expires } = await host.attest(changes)
    expect(verdict).toMatchObject({ accepted: false })
    expect(verdict?.checks?.filter((c) => c.outcome === 2).map((c) => c.rule)).toContain(rule)
    expect(expires).toBe('')
    expect(await hosts()).toMatchObject([{ online: true, attested: false }])
    expect(await leafTypes()).toEqual([])
    gateway.clock.advance(60)
    expect((await host.attest()).verdict).toMatchObject({ accepted: true })
  })

  it('rejects evidence that is not what its report signed', async () => {
    const host = await connect()
    const nonce = bytesOf((await host.next('challenge')).nonce)
    const evidence = await evidenceFor({ nonce: toBase64Url(nonce) })
    const report = evidence.cpu.report.map((byte, i) => (i === 0x90 ? byte ^ 1 : byte))
    host.send({ evidence: { nonce, evidence: bundleToWire({ ...evidence, cpu: { ...evidence.cpu, report } }) } })
    expect((await host.next('appraisal')).verdict).toMatchObject({ accepted: false, authentic: false })
  })

  it('takes each nonce once', async () => {
    const host = await connect()
    const nonce = bytesOf((await host.next('challenge')).nonce)
    const evidence = bundleToWire(await evidenceFor({ nonce: toBase64Url(nonce) }))
    for (let i = 0; i < 2; i++) host.send({ evidence: { nonce, evidence } })
    await host.next('appraisal')
    host.send({ evidence: { nonce: testBytes('mine', 32), evidence } })
    host.send({ jobProgress: { jobId: 'none', phase: 'running' } })
    await host.next('jobCancel')
    expect(await leafTypes()).toEqual(['onboard'])
  })

  describe('when it grows old', () => {
    beforeEach(async () => {
      await gateway.end()
      gateway = await TestGateway.start({ answerSeconds: 3600 })
    })

    it('is asked for again well before it expires', async () => {
      const host = await connect()
      await host.attest()
      gateway.clock.advance(3600 * 0.8)
      expect((await host.attest()).expires).toBe('2026-05-28T22:14:40Z')
      gateway.clock.advance(3600 * 0.2)
      expect(await hosts()).toMatchObject([{ attested: true }])
    })

    it('counts no longer, and ends the connection when no new evidence comes', async () => {
      const host = await connect()
      await host.attest()
      gateway.clock.advance(3600 * 0.8)
      await host.next('challenge')
      gateway.clock.advance(3600 * 0.2)
      expect(await hosts()).toMatchObject([{ online: true, attested: false }])
      gateway.clock.advance(3600)
      expect(await host.ended()).toMatchObject({ code: 'DEADLINE' })
      await until(async () => (await hosts())[0]?.online === false, 'the host is gone')
    })
  })
})

describe('a connection', () => {
  it('must begin with a hello', async () => {
    const host = new FakeHost(await gateway.dial('host', 'h1'))
    host.send({ jobProgress: { jobId: 'x', phase: 'running' } })
    expect(await host.ended()).toMatchObject({ code: 'DOCUMENT_INVALID' })
  })

  it('must begin soon', async () => {
    const host = new FakeHost(await gateway.dial('host', 'h1'))
    await until(async () => {
      gateway.clock.advance(61)
      return host.closed
    }, 'the gateway ends the stream')
    expect(host.error).toMatchObject({ code: 'DEADLINE' })
  })

  it('takes the place of an older one of the same host', async () => {
    const first = await connect()
    await first.next('challenge')
    const second = await connect()
    expect(await first.ended()).toMatchObject({ code: 'ALREADY_EXISTS' })
    expect((await second.attest()).verdict).toMatchObject({ accepted: true })
    expect(await hosts()).toMatchObject([{ online: true, attested: true }])
  })

  it('ends with an empty message, and with evidence that cannot be read', async () => {
    const empty = await connect()
    empty.send({})
    expect(await empty.ended()).toMatchObject({ code: 'DOCUMENT_INVALID' })
    const broken = await connect()
    const { nonce } = await broken.next('challenge')
    broken.send({ evidence: { nonce: bytesOf(nonce), evidence: { binding: new Uint8Array(), cpu: {} } } })
    expect(await broken.ended()).toMatchObject({ code: expect.stringMatching(/DOCUMENT_INVALID/) })
  })

  it('lets a host forget jobs that the gateway does not know', async () => {
    const host = await connect()
    const jobId = toBase64Url(testBytes('unknown job', 16))
    host.send({ jobEvidence: { jobId, decline: { code: 'JOB_LOST', message: 'restarted' } } })
    expect(await host.next('outcomeAccepted')).toMatchObject({ jobId })
  })

  it('keeps only runners that there are', async () => {
    await (await connect('h1', ['wasm', 'qemu', 'wasm'])).next('challenge')
    expect(await hosts()).toMatchObject([{ runners: ['wasm'] }])
  })
})
