import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import pino from 'pino'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Agent } from '../../../../src/host/agent/agent.ts'
import type { Attester, DeviceAttester } from '../../../../src/host/attesters/attester.ts'
import { openDurableFiles } from '../../../../src/host/job/durable-files.ts'
import { Outbox } from '../../../../src/host/job/outbox.ts'
import type { Attested } from '../../../../src/host/job/release-rules.ts'
import { generateKemKey, type KemKey } from '../../../../src/seal/index.ts'
import { utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { type Binding, parseBinding } from '../../../../src/verify/documents/binding.ts'
import type { Contract } from '../../../../src/verify/documents/contract.ts'
import { deviceNonce } from '../../../../src/verify/documents/device-nonce.ts'
import { type EvidenceBundle, evidenceDigest } from '../../../../src/verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../../../src/verify/documents/job-nonce.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../../src/verify/documents/keys.ts'
import { parseStatement, RECEIPT_TYP, type Statement } from '../../../../src/verify/documents/statement.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { verifyGeneralJws } from '../../../../src/verify/formats/jws.ts'
import { digestOf, submitterThumbprint } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { FakeGateway, type FakeSession, keyReleaseOf, until } from '../fake-gateway.ts'
import { FakeClock, FakeRunner, FakeTransfers, fakeAttester, fakeDevices } from '../fakes.ts'
import { makeRelease, makeScene, type ReleaseChanges, random, type Scene } from '../support.ts'

const CANARY = 'CANARY-9d2b11f4'
const config = utf8('{"v":1}')
const ownerNonces = [testBytes('owner nonce', 32)]

let recipient: KemKey
let scene: Scene
let second: Scene
beforeAll(async () => {
  recipient = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  scene = await sceneFor('job id')
  second = await sceneFor('second job')
})

async function sceneFor(label: string, contract: Partial<Contract> = {}): Promise<Scene> {
  return makeScene({
    plaintext: utf8(`${CANARY}\n`.repeat(50)),
    contract: { recipients: [recipient.publicKey], jobId: Buffer.from(testBytes(label, 16)).toString('base64url'), ...contract },
    grant: { recipients: [await hpkeKeyDigest(recipient.publicKey)] },
  })
}

let folder: string
let logged: string
const stages: Stage[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'agent-'))
  logged = ''
})
afterEach(async () => {
  for (const { agent, clock } of stages.splice(0)) {
    void agent.close()
    void agent.close()
    await until(
      () => agent.state === 'stopped',
      () => clock.wakeNext(),
    )
    let over = false
    const isOver = (): void => {
      over = true
    }
    agent.ended.then(isOver, isOver)
    await until(
      () => over,
      () => clock.wakeNext(5000),
    )
  }
  for (const name of await readdir(folder)) expect((await readFile(join(folder, name))).includes(CANARY)).toBe(false)
  expect(logged).not.toContain(CANARY)
  await rm(folder, { recursive: true, force: true })
})

interface Stage {
  readonly agent: Agent
  readonly gateway: FakeGateway
  readonly runner: FakeRunner
  readonly transfers: FakeTransfers
  readonly clock: FakeClock
  readonly outbox: Outbox
}

async function start(changes: { attester?: Attester; devices?: DeviceAttester; failures?: AttestError[] } = {}): Promise<Stage> {
  const gateway = new FakeGateway()
  gateway.failures = changes.failures ?? []
  const runner = new FakeRunner((inputs) => ({
    outputs: { [`${CANARY}.csv`]: inputs.get('data.csv') ?? new Uint8Array() },
    stdout: utf8(CANARY),
  }))
  const transfers = new FakeTransfers()
  for (const { contract, header, file } of [scene, second]) {
    const id = contract.inputs[0]?.header ?? ''
    transfers.headers.set(id, header)
    transfers.files.set(id, file)
  }
  const clock = new FakeClock()
  const outbox = await Outbox.open(await openDurableFiles(folder))
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logged += chunk.toString()
      done()
    },
  })
  const agent = new Agent({
    connect: gateway.connect,
    attester: changes.attester ?? fakeAttester,
    devices: changes.devices ?? null,
    runner,
    transfers,
    outbox,
    clock,
    random: () => 0.5,
    logger: pino({ level: 'trace' }, sink),
    config,
    agent: 'sealgate/test',
    tls: 'A'.repeat(43),
    region: 'DE',
    memoryBytes: 2 ** 40,
    jobs: 2,
    releaseWaitMs: 300_000,
    drainMs: 20_000,
    dialService: () => Promise.reject(new Error('no service here')),
  })
  const stage = { agent, gateway, runner, transfers, clock, outbox }
  stages.push(stage)
  return stage
}

const tick = (stage: Stage) => (): void => stage.clock.wakeNext()

function offer(session: FakeSession, of: Scene, nonces = ownerNonces): void {
  session.say({
    jobOffer: {
      jobId: of.contract.jobId,
      contractJws: of.contractJws,
      ownerNonces: nonces,
      checkpoint: 'note',
      kemSuite: DEFAULT_HPKE_SUITE,
    },
  })
}

async function attestedBy(of: Scene, bundle: EvidenceBundle): Promise<Attested & { readonly binding: Binding }> {
  const binding = parseBinding(bundle.binding)
  return {
    binding,
    job: of.job,
    contract: of.contract,
    submitter: submitterThumbprint,
    bindingDigest: await digestOf(bundle.binding),
    evidenceDigest: await evidenceDigest(bundle),
    kem: binding.kem,
    kemDigest: await hpkeKeyDigest(binding.kem),
    simulated: true,
  }
}

async function release(session: FakeSession, of: Scene, bundle: EvidenceBundle, changes: ReleaseChanges = {}): Promise<void> {
  session.say(keyReleaseOf(of.contract.jobId, await makeRelease(of, await attestedBy(of, bundle), changes)))
}

async function outcomeFrom(session: FakeSession): Promise<Statement & { readonly blobId: string }> {
  const { receiptJws, resultBlobId } = await session.take('jobOutcome')
  const { payload } = await verifyGeneralJws(new Uint8Array(receiptJws ?? []), RECEIPT_TYP, 'receipt')
  return { ...parseStatement(payload), blobId: resultBlobId ?? '' }
}

/** An agent that runs the first job: its workload waits until `proceed` is called. */
async function running(): Promise<Stage & { session: FakeSession; proceed: () => void }> {
  const stage = await start()
  const session = await stage.gateway.session(0)
  await session.welcome()
  let proceed = (): void => {}
  stage.runner.proceed = new Promise((resolve) => {
    proceed = resolve
  })
  offer(session, scene)
  await release(session, scene, await session.takeEvidence())
  await until(() => stage.runner.runs === 1)
  return { ...stage, session, proceed }
}

describe('onboarding', () => {
  it('proves itself with evidence that binds nonce, configuration and TLS key', async () => {
    const { agent, gateway } = await start()
    const session = await gateway.session(0)
    const hello = await session.take('hello')
    expect(hello).toMatchObject({ version: 'sealgate/test', runners: ['wasm'], unacknowledgedJobs: [] })
    expect(agent.state).toBe('connecting')
    session.say({ challenge: { nonce: new Uint8Array(32).fill(9) } })
    const { nonce, evidence } = await session.take('evidence')
    expect(agent.state).toBe('attesting')
    expect(nonce).toEqual(Buffer.alloc(32, 9))
    const binding = parseBinding(new Uint8Array(evidence?.binding ?? []))
    expect(binding).toMatchObject({ role: 'host', job: null, tls: 'A'.repeat(43), config: await digestOf(config) })
    expect(Buffer.from(binding.nonce, 'base64url')).toEqual(Buffer.alloc(32, 9))
    session.say({ appraisal: { verdict: { accepted: true } } })
    expect(agent.state).toBe('idle')
  })

  it('shows a report of each device, over a nonce that its binding gives', async () => {
    const { gateway } = await start({ devices: fakeDevices(2) })
    const session = await gateway.session(0)
    session.say({ challenge: { nonce: new Uint8Array(32).fill(9) } })
    const { evidence } = await session.take('evidence')
    const binding = parseBinding(new Uint8Array(evidence?.binding ?? []))
    expect(binding.devices).toHaveLength(2)
    for (const [i, { type, report }] of binding.devices.entries()) {
      const shown = new Uint8Array(evidence?.devices?.[i]?.report ?? [])
      expect([type, report]).toEqual([evidence?.devices?.[i]?.type, await digestOf(shown)])
      expect(shown.subarray(0, 32)).toEqual(await deviceNonce(binding, i))
    }
  })

  it('takes no job while its evidence is refused, and comes back when it is accepted', async () => {
    const { agent, gateway } = await start()
    const session = await gateway.session(0)
    await session.welcome(false)
    expect(agent.state).toBe('quarantined')
    offer(session, scene)
    expect(await session.takeDecline()).toBe('NO_HOST')
    session.say({ challenge: { nonce: new Uint8Array(32) } })
    await session.take('evidence')
    session.say({ appraisal: { verdict: { accepted: true } } })
    expect(agent.state).toBe('idle')
  })

  it('tries again when its TEE gives no evidence', async () => {
    let failures = 1
    const attester: Attester = {
      ...fakeAttester,
      attest: (data) => (failures-- > 0 ? Promise.reject(new AttestError('ATTESTER_UNAVAILABLE', 'busy')) : fakeAttester.attest(data)),
    }
    const stage = await start({ attester })
    const first = await stage.gateway.session(0)
    first.say({ challenge: { nonce: new Uint8Array(32) } })
    const next = await stage.gateway.session(1, tick(stage))
    await next.welcome()
    expect(stage.agent.state).toBe('idle')
  })

  it('keeps dialling a gateway that is away', async () => {
    const away = new AttestError('GATEWAY_UNREACHABLE', 'no gateway answers')
    const stage = await start({ failures: [away, away, away] })
    await (await stage.gateway.session(3, tick(stage))).welcome()
    expect(stage.agent.state).toBe('idle')
  })

  it('gives up when the first connection shows that its identity is no good', async () => {
    const { agent } = await start({ failures: [new AttestError('TLS_REJECTED', 'wrong certificate')] })
    await expect(agent.ended).rejects.toMatchObject({ code: 'TLS_REJECTED' })
  })

  it('does not give up for the same reason later', async () => {
    const stage = await start()
    const first = await stage.gateway.session(0)
    await first.welcome()
    first.drop(new AttestError('TLS_REJECTED', 'a gateway that is just starting'))
    await (await stage.gateway.session(1, tick(stage))).welcome()
    expect(stage.agent.state).toBe('idle')
  })
})

describe('a job', () => {
  it('goes from offer to acknowledged outcome, and leaves nothing', async () => {
    const { agent, gateway, transfers } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    offer(session, scene)
    const bundle = await session.takeEvidence()
    expect(agent.state).toBe('running')
    const { binding } = await attestedBy(scene, bundle)
    expect(binding).toMatchObject({ role: 'job', job: scene.job, config: await digestOf(config) })
    expect(Buffer.from(binding.nonce, 'base64url')).toEqual(Buffer.from(await jobNonce(scene.job, ownerNonces, 'note')))
    await release(session, scene, bundle)
    expect((await session.take('jobProgress')).phase).toBe('running')
    expect((await session.take('jobProgress')).phase).toBe('sealing')
    const { predicate, blobId } = await outcomeFrom(session)
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'succeeded' } })
    expect(blobId).toBe(`blob-of-${scene.contract.jobId}`)
    expect(transfers.uploads.get(scene.contract.jobId)?.length).toBeGreaterThan(1000)
    expect(agent.state).toBe('idle')
    session.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    await until(() => logged.includes('job ended'))
    await until(() => readdirSync(folder).length === 0)
  })

  it('is refused in the open when the release is bad', async () => {
    const { gateway } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    offer(session, scene)
    const bundle = await session.takeEvidence()
    session.say({ keyRelease: { jobId: scene.contract.jobId, parts: [{ intentJws: Buffer.from('{}') }] } })
    const { predicate, blobId } = await outcomeFrom(session)
    expect(predicate).toMatchObject({ type: 'refusal', outcome: { kind: 'refused', code: 'DOCUMENT_INVALID' } })
    expect(blobId).toBe('')
    await release(session, scene, bundle)
    expect(session.has('jobProgress')).toBe(false)
  })

  it('is declined when it does not fit this host', async () => {
    const { agent, gateway } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    const docker = await makeScene({ contract: { image: { runner: 'docker', digest: `sha256:${'00'.repeat(32)}` } } })
    offer(session, docker)
    expect(await session.takeDecline()).toBe('NO_HOST')
    const gpus = await makeScene({ contract: { resources: { gpus: 1 } } })
    offer(session, gpus)
    expect(await session.takeDecline()).toBe('NO_HOST')
    const tdx = await makeScene({
      contract: { constraints: { tees: ['tdx'], gpuModel: null, region: null, maxLatencyMs: null, maxPricePerHour: null } },
    })
    offer(session, tdx)
    expect(await session.takeDecline()).toBe('NO_HOST')
    const elsewhere = await makeScene({
      contract: { constraints: { tees: [], gpuModel: null, region: 'US', maxLatencyMs: null, maxPricePerHour: null } },
    })
    offer(session, elsewhere)
    expect(await session.takeDecline()).toBe('NO_HOST')
    const huge = await makeScene({ contract: { limits: { timeMs: 1, memoryBytes: 2 ** 40 - 1, outputBytes: 1, pids: 1, cpuMillis: 1 } } })
    offer(session, { ...huge, contractJws: huge.contractJws.map((b, i) => (i === 40 ? b ^ 1 : b)) })
    expect(['SIGNATURE_INVALID', 'JSON_MALFORMED', 'JSON_NOT_CANONICAL', 'DOCUMENT_INVALID', 'ENCODING_INVALID']).toContain(
      await session.takeDecline(),
    )
    offer(session, scene, [new Uint8Array(31)])
    expect(await session.takeDecline()).toBe('DOCUMENT_INVALID')
    offer(session, { ...scene, contract: second.contract })
    expect(await session.takeDecline()).toBe('DOCUMENT_INVALID')
    expect(agent.state).toBe('idle')
    expect(await readdir(folder)).toEqual([])
  })

  it('that wants the host to itself is the only one: another is declined while it runs, and may come later', async () => {
    const { session, proceed } = await running()
    offer(session, second)
    expect(await session.takeDecline()).toBe('HOST_BUSY')
    proceed()
    expect((await outcomeFrom(session)).predicate.outcome.kind).toBe('succeeded')
    offer(session, second)
    await release(session, second, await session.takeEvidence())
    expect((await outcomeFrom(session)).predicate).toMatchObject({ job: second.job, outcome: { kind: 'succeeded' } })
  })

  it('gives way to another one when the gateway has taken it back', async () => {
    const { gateway } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    offer(session, scene)
    await session.takeEvidence()
    session.say({ jobCancel: { jobId: scene.contract.jobId } })
    offer(session, second)
    const bundle = await session.takeEvidence()
    expect((await outcomeFrom(session)).predicate).toMatchObject({ job: scene.job, outcome: { kind: 'cancelled' } })
    await release(session, second, bundle)
    expect((await outcomeFrom(session)).predicate).toMatchObject({ job: second.job, outcome: { kind: 'succeeded' } })
  })

  it('that shares the host runs beside others, up to their number, and each is told of on a new connection', async () => {
    const { agent, gateway, runner } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    let proceed = (): void => {}
    runner.proceed = new Promise((resolve) => {
      proceed = resolve
    })
    const scenes = await Promise.all(['shared 1', 'shared 2', 'shared 3'].map((label) => sceneFor(label, { exclusive: 'none' })))
    const [first, other, third] = scenes as [Scene, Scene, Scene]
    for (const one of [first, other]) {
      const header = one.contract.inputs[0]?.header ?? ''
      stages[0]?.transfers.headers.set(header, one.header)
      stages[0]?.transfers.files.set(header, one.file)
      offer(session, one)
      await release(session, one, await session.takeEvidence())
    }
    await until(() => runner.runs === 2)
    offer(session, third)
    expect(await session.takeDecline()).toBe('HOST_BUSY')
    offer(session, scene)
    expect(await session.takeDecline()).toBe('HOST_BUSY')
    proceed()
    const ended = [await outcomeFrom(session), await outcomeFrom(session)].map(({ predicate }) => predicate)
    expect(ended.map(({ outcome }) => outcome.kind)).toEqual(['succeeded', 'succeeded'])
    expect(new Set(ended.map(({ job }) => job))).toEqual(new Set([first.job, other.job]))
    await until(() => agent.state === 'idle')
  })

  it('can be cancelled by the gateway while it runs', async () => {
    const { session, runner } = await running()
    session.say({ jobCancel: { jobId: second.contract.jobId } })
    session.say({ jobCancel: { jobId: scene.contract.jobId } })
    expect((await outcomeFrom(session)).predicate).toMatchObject({ type: 'execution', outcome: { kind: 'cancelled' } })
    expect(runner.held).toBe(0)
  })

  it('survives messages that make no sense', async () => {
    const { agent, gateway } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    session.say({})
    session.say({ jobOffer: { jobId: '../../etc/passwd' } })
    session.say({ keyRelease: { jobId: scene.contract.jobId } })
    session.say({ jobCancel: {} })
    session.say({ outcomeAccepted: { jobId: 'x' } })
    offer(session, scene)
    await session.takeEvidence()
    expect(agent.state).toBe('running')
  })
})

describe('a lost connection', () => {
  it('does not end a running job: its outcome comes on the next one', async () => {
    const { agent, clock, gateway, session, proceed } = await running()
    session.drop(new AttestError('GATEWAY_UNREACHABLE', 'gone'))
    proceed()
    const next = await gateway.session(1, () => clock.wakeNext())
    const hello = await next.welcome()
    expect(hello.unacknowledgedJobs).toEqual([scene.contract.jobId])
    // It has its keys: nothing is to be sent again.
    expect(hello.waitingJobs).toEqual([])
    expect((await outcomeFrom(next)).predicate.outcome.kind).toBe('succeeded')
    expect(agent.state).toBe('idle')
  })

  it('does not lose an outcome that was not acknowledged', async () => {
    const { clock, gateway, outbox, session, proceed } = await running()
    proceed()
    const sent = await outcomeFrom(session)
    session.drop(null)
    const next = await gateway.session(1, () => clock.wakeNext())
    await next.welcome()
    expect((await outcomeFrom(next)).predicate).toEqual(sent.predicate)
    next.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    await until(() => outbox.pending.length === 0)
  })

  it('brings the same evidence for the same offer, and no second job', async () => {
    const stage = await start()
    const first = await stage.gateway.session(0)
    await first.welcome()
    offer(first, scene)
    const bundle = await first.takeEvidence()
    first.drop(null)
    const next = await stage.gateway.session(1, tick(stage))
    await next.welcome()
    offer(next, scene)
    expect(await next.takeEvidence()).toEqual(bundle)
    offer(next, scene, [testBytes('another nonce', 32)])
    expect(await next.takeDecline()).toBe('JOB_CONFLICT')
    await release(next, scene, bundle)
    await release(next, scene, bundle)
    expect((await outcomeFrom(next)).predicate.outcome.kind).toBe('succeeded')
    expect(stage.runner.runs).toBe(1)
  })

  it('lets go of a job that the gateway has ended meanwhile', async () => {
    const stage = await start()
    const first = await stage.gateway.session(0)
    await first.welcome()
    offer(first, scene)
    await first.takeEvidence()
    first.drop(null)
    const next = await stage.gateway.session(1, tick(stage))
    const held = [scene.contract.jobId]
    expect(await next.welcome()).toMatchObject({ unacknowledgedJobs: held, waitingJobs: held })
    next.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    expect((await outcomeFrom(next)).predicate.outcome.kind).toBe('cancelled')
    expect(stage.agent.state).toBe('idle')
  })
})

describe('a crash', () => {
  it('is told as a lost job, which is never taken up again', async () => {
    await (await Outbox.open(await openDurableFiles(folder))).begin(scene.contract.jobId)
    const { gateway, outbox } = await start()
    const session = await gateway.session(0)
    expect((await session.welcome()).unacknowledgedJobs).toEqual([scene.contract.jobId])
    expect(await session.takeDecline()).toBe('JOB_LOST')
    offer(session, scene)
    expect(await session.takeDecline()).toBe('JOB_CONFLICT')
    session.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    await until(() => outbox.lost.length === 0)
    expect(await readdir(folder)).toEqual([])
  })

  it('after the signature costs nothing: results and outcome are delivered by the next agent', async () => {
    const first = await running()
    first.transfers.uploadFailures = Array.from({ length: 8 }, () => new AttestError('GATEWAY_UNREACHABLE', 'gone'))
    first.session.drop(null)
    first.proceed()
    await until(() => first.outbox.pending.length === 1 && !readdirSync(folder).some((name) => name.startsWith('running-')))
    const { gateway, transfers } = await start()
    const session = await gateway.session(0)
    await session.welcome()
    const { predicate, blobId } = await outcomeFrom(session)
    expect(predicate.outcome.kind).toBe('succeeded')
    expect(blobId).not.toBe('')
    expect(transfers.uploads.size).toBe(1)
  })
})

describe('delivery', () => {
  it('tries an upload again that failed in passing', async () => {
    const { session, proceed, transfers, clock } = await running()
    transfers.uploadFailures = [new AttestError('GATEWAY_UNREACHABLE', 'gone'), new AttestError('DISK_FULL', 'full')]
    proceed()
    await until(
      () => session.has('jobOutcome'),
      () => clock.wakeNext(),
    )
    expect((await outcomeFrom(session)).blobId).not.toBe('')
  })

  it('sends the receipt alone when the gateway will not have the results', async () => {
    const { session, proceed, transfers } = await running()
    transfers.uploadFailures = [new AttestError('JOB_CONFLICT', 'the job is lost')]
    proceed()
    expect(await outcomeFrom(session)).toMatchObject({ blobId: '', predicate: { outcome: { kind: 'succeeded' } } })
  })

  it('does not send an outcome again for which the gateway ended the session, and keeps it', async () => {
    const { session, proceed, gateway, clock, outbox } = await running()
    proceed()
    await outcomeFrom(session)
    session.drop(new AttestError('RECEIPT_INCONSISTENT', 'no'))
    const next = await gateway.session(1, () => clock.wakeNext())
    await next.welcome()
    offer(next, second)
    await next.takeEvidence()
    expect(next.has('jobOutcome')).toBe(false)
    expect(outbox.pending).toHaveLength(1)
  })
})

describe('shutdown', () => {
  it('lets the running job finish, delivers its outcome, takes no new one', async () => {
    const { agent, session, proceed } = await running()
    const closed = agent.close()
    expect(agent.state).toBe('draining')
    offer(session, second)
    expect(await session.takeDecline()).toBe('NO_HOST')
    proceed()
    expect((await outcomeFrom(session)).predicate.outcome.kind).toBe('succeeded')
    session.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    await closed
    expect(agent.state).toBe('stopped')
  })

  it('cancels a job that does not finish in time, and says so', async () => {
    const { agent, session, clock, outbox } = await running()
    const closed = agent.close()
    clock.advance(20_000)
    expect((await outcomeFrom(session)).predicate.outcome).toMatchObject({ kind: 'cancelled', reason: 'the workload cancelled' })
    clock.advance(5000)
    await until(() => agent.state === 'stopped')
    await Promise.all([
      closed,
      until(
        () => session.sent.length >= 0,
        () => clock.advance(5000),
      ),
    ])
    expect(outbox.pending).toHaveLength(1)
  })

  it('cancels at once when asked twice, or when no key was released', async () => {
    const { agent, session } = await running()
    void agent.close()
    const closed = agent.close()
    await outcomeFrom(session)
    session.say({ outcomeAccepted: { jobId: scene.contract.jobId } })
    await closed

    const waiting = await start()
    const other = await waiting.gateway.session(0)
    await other.welcome()
    offer(other, second)
    await other.takeEvidence()
    const closing = waiting.agent.close()
    expect((await outcomeFrom(other)).predicate.outcome).toMatchObject({ kind: 'cancelled', reason: 'the host is shutting down' })
    other.say({ outcomeAccepted: { jobId: second.contract.jobId } })
    await closing
  })

  it('ends at once when there is nothing to do, connected or not', async () => {
    const idle = await start()
    await (await idle.gateway.session(0)).welcome()
    await idle.agent.close()
    const away = new AttestError('GATEWAY_UNREACHABLE', 'away')
    const alone = await start({ failures: [away] })
    await alone.agent.close()
    expect([idle.agent.state, alone.agent.state]).toEqual(['stopped', 'stopped'])
  })
})
