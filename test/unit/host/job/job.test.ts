import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import pino from 'pino'
import { extract } from 'tar-stream'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DeviceAttester } from '../../../../src/host/attesters/attester.ts'
import { openDurableFiles } from '../../../../src/host/job/durable-files.ts'
import { Job, type JobMeans } from '../../../../src/host/job/job.ts'
import { checkOffer } from '../../../../src/host/job/offer.ts'
import { Outbox, type PendingOutcome } from '../../../../src/host/job/outbox.ts'
import type { Attested } from '../../../../src/host/job/release-rules.ts'
import { generateKemKey, type KemKey, openResultKey, openStream, readSealedFile, rootOf } from '../../../../src/seal/index.ts'
import { concat, fromBase64Url, toBase64Url, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { parseBinding } from '../../../../src/verify/documents/binding.ts'
import { evidenceDigest } from '../../../../src/verify/documents/evidence-bundle.ts'
import { parseHeader } from '../../../../src/verify/documents/header.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../../src/verify/documents/keys.ts'
import { parseStatement, RECEIPT_TYP, type Statement } from '../../../../src/verify/documents/statement.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { verifyGeneralJws } from '../../../../src/verify/formats/jws.ts'
import { archiveOf } from '../../../support/archive.ts'
import { digestOf, submitterThumbprint } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { FakeClock, FakeRunner, FakeTransfers, fakeAttester, fakeDevices, GPU_IDS, type Workload, wholeRoom } from '../fakes.ts'
import { makeRelease, makeScene, type ReleaseChanges, random, type Scene, type SceneChanges } from '../support.ts'

const noService = (): Promise<never> => Promise.reject(new Error('no service here'))
const CANARY = 'CANARY-5f1e7c0a'
const rows = utf8(`${CANARY}\n`.repeat(100))

let recipient: KemKey
let scene: Scene
beforeAll(async () => {
  recipient = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  scene = await sceneFor()
})

async function sceneFor(changes: SceneChanges = {}): Promise<Scene> {
  return makeScene({
    plaintext: rows,
    ...changes,
    contract: { recipients: [recipient.publicKey], ...changes.contract },
    grant: { recipients: [await hpkeKeyDigest(recipient.publicKey)], ...changes.grant },
  })
}

let folder: string
let logged: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'job-'))
  logged = ''
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The workload writes its input out again, under a name that must not show either. */
const echo: Workload = (inputs) => ({
  outputs: { [`${CANARY}.csv`]: inputs.get('data.csv') ?? new Uint8Array() },
  stdout: utf8(`read ${CANARY}`),
})

interface Stage {
  readonly job: Job
  readonly scene: Scene
  readonly outbox: Outbox
  readonly runner: FakeRunner
  readonly transfers: FakeTransfers
  readonly clock: FakeClock
  readonly phases: string[]
  /** Items of an array job that have ended, as told. */
  readonly counts: number[]
  readonly attested: Attested
  readonly sigKey: string
}

async function begin(of: Scene, workload: Workload = echo, devices: DeviceAttester | null = null): Promise<Stage> {
  const runner = new FakeRunner(workload)
  const transfers = new FakeTransfers()
  const clock = new FakeClock()
  const outbox = await Outbox.open(await openDurableFiles(folder))
  const header = of.contract.inputs[0]?.header ?? ''
  transfers.headers.set(header, of.header)
  transfers.files.set(header, of.file)
  const phases: string[] = []
  const counts: number[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logged += chunk.toString()
      done()
    },
  })
  const means: JobMeans = {
    attester: fakeAttester,
    devices,
    runner,
    transfers,
    outbox,
    clock,
    logger: pino({ level: 'trace' }, sink),
    config: utf8('{"v":1}'),
    agent: 'sealgate/test',
    releaseWaitMs: 60_000,
    room: wholeRoom,
    onProgress: (phase, items) => (items === undefined ? phases.push(phase) : counts.push(items.done)),
    dialService: noService,
  }
  const offer = {
    jobId: of.contract.jobId,
    contract: of.contractJws,
    ownerNonces: [testBytes('nonce', 32)],
    checkpoint: 'a checkpoint',
    kemSuite: DEFAULT_HPKE_SUITE,
  }
  const job = await Job.begin(
    await checkOffer(offer, {
      runner: 'wasm',
      isolations: ['sealgate-wasm-v1'],
      tee: 'sev-snp',
      region: null,
      gpus: 8,
      memoryBytes: 2 ** 40,
    }),
    means,
  )
  const binding = parseBinding(job.evidence.binding)
  const attested: Attested = {
    job: of.job,
    contract: of.contract,
    submitter: submitterThumbprint,
    bindingDigest: await digestOf(job.evidence.binding),
    evidenceDigest: await evidenceDigest(job.evidence),
    kem: binding.kem,
    kemDigest: await hpkeKeyDigest(binding.kem),
    simulated: true,
  }
  return { job, scene: of, outbox, runner, transfers, clock, phases, counts, attested, sigKey: binding.sig.publicKey }
}

async function release(stage: Stage, changes: ReleaseChanges = {}): Promise<void> {
  const made = await makeRelease(stage.scene, stage.attested, changes)
  stage.job.release(() => made)
}

/** The outcome as it lies in the outbox, verified, and that nothing else is left. */
async function outcomeOf(stage: Stage): Promise<Statement> {
  await stage.job.ended
  const { outbox, sigKey, runner } = stage
  expect(outbox.pending).toHaveLength(1)
  const { receipt, results } = outbox.pending.at(0) as PendingOutcome
  const { payload, signers } = await verifyGeneralJws(receipt, RECEIPT_TYP, 'receipt')
  expect(signers.map((s) => s.key.x)).toEqual([sigKey])
  const statement = parseStatement(payload)
  expect(runner.held).toBe(0)
  const files = await readdir(folder)
  expect(files.filter((f) => f.startsWith('running-'))).toEqual([])
  expect(files.filter((f) => f.startsWith('results-'))).toHaveLength(results === null ? 0 : 1)
  const secrets = [CANARY, toBase64Url(stage.scene.dek), toHex(stage.scene.dek)]
  for (const name of files) {
    const bytes = await readFile(join(folder, name))
    for (const secret of secrets) expect(bytes.includes(secret)).toBe(false)
    expect(bytes.includes(Buffer.from(stage.scene.dek))).toBe(false)
  }
  for (const secret of [...secrets, 'threshold']) expect(logged).not.toContain(secret)
  return statement
}

async function openResults(path: string): Promise<Map<string, Buffer>> {
  const sealed = await readSealedFile([await readFile(path)])
  const header = sealed.header
  if (header.kind !== 'result') throw new Error('not results')
  const dek = await openResultKey(header, recipient)
  const tar = extract()
  const parts: Uint8Array[] = []
  for await (const part of openStream(sealed.stream, { header: sealed.headerBytes, dek })) parts.push(part)
  tar.end(Buffer.concat(parts))
  const files = new Map<string, Buffer>()
  for await (const entry of tar) {
    const content: Buffer[] = []
    for await (const part of entry as AsyncIterable<Buffer>) content.push(part)
    files.set(entry.header.name, Buffer.concat(content))
  }
  return files
}

describe('a job that succeeds', () => {
  it('seals its results to the recipient and signs what it did', async () => {
    const stage = await begin(scene)
    stage.clock.advance(1500)
    await release(stage)
    const { subject, predicate } = await outcomeOf(stage)
    expect(stage.phases).toEqual(['running', 'sealing'])
    expect(predicate).toMatchObject({
      type: 'execution',
      job: scene.job,
      grants: [scene.grantDigest],
      policies: scene.contract.policies,
      binding: stage.attested.bindingDigest,
      evidence: stage.attested.evidenceDigest,
      releases: [{ index: 1, treeSize: 3, time: 1_780_000_000 }],
      outcome: { kind: 'succeeded', exitCode: 0, code: null },
      isolation: { runner: 'wasm', grade: 'wasm-process' },
      timing: { notBefore: 1_780_000_000, notAfter: 1_780_000_003 },
      keysDestroyed: ['kem', 'data'],
      simulated: true,
    })
    expect(predicate.legal).toHaveLength(1)
    const path = stage.outbox.resultsPath(stage.job.jobId)
    const sealed = await readFile(path)
    expect(subject).toEqual([{ name: 'results.sealed', digest: { sha256: createHash('sha256').update(sealed).digest('hex') } }])
    const files = await openResults(path)
    expect([...files.keys()]).toEqual(['manifest.json', `out/${CANARY}.csv`, 'stdout', 'stderr'])
    expect(files.get(`out/${CANARY}.csv`)).toEqual(Buffer.from(rows))
    const manifest = JSON.parse(files.get('manifest.json')?.toString() ?? '') as {
      outputs: { path: string; salt: string; sha256: string }[]
    }
    const commitments = manifest.outputs.map(({ path: name, salt, sha256 }) => {
      const digest = createHash('sha256')
        .update(files.get(name) ?? '')
        .digest()
      expect(digest.toString('base64url')).toBe(sha256)
      return createHash('sha256')
        .update(concat(utf8('sealgate/output/v1'), fromBase64Url(salt), digest))
        .digest('base64url')
    })
    expect(predicate.outputs.map((o) => o.commitment)).toEqual(commitments)
  })

  it('announces root and size of what it will upload', async () => {
    const stage = await begin(scene)
    await release(stage)
    await outcomeOf(stage)
    const results = stage.outbox.pending[0]?.results
    const sealed = await readFile(stage.outbox.resultsPath(stage.job.jobId))
    expect(results?.sizeBytes).toBe(sealed.length)
    const stream = sealed.subarray(4 + (results?.header.length ?? 0))
    expect(toBase64Url((await rootOf([stream])).root)).toBe(results?.root)
    expect(parseHeader(results?.header ?? new Uint8Array())).toMatchObject({ kind: 'result', job: scene.job })
  })

  it('seals what a failed workload said, too', async () => {
    const stage = await begin(scene, () => ({ kind: 'failed', stdout: utf8('what went wrong') }))
    await release(stage)
    const { predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'failed', code: 'JOB_FAILED' } })
    expect((await openResults(stage.outbox.resultsPath(stage.job.jobId))).get('stdout')?.toString()).toBe('what went wrong')
  })

  it('says so when it wrote more files than a receipt commits to', async () => {
    const outputs = Object.fromEntries(Array.from({ length: 1023 }, (_, i) => [`file-${i}`, new Uint8Array(1)]))
    const stage = await begin(scene, () => ({ outputs }))
    await release(stage)
    const { subject, predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'output-too-large', code: 'LIMIT_EXCEEDED' }, outputs: [] })
    expect(subject[0]?.name).toBe('contract')
  })

  it('ignores every release but the first', async () => {
    const stage = await begin(scene)
    await release(stage)
    await release(stage, { intent: { job: scene.grantDigest } })
    expect((await outcomeOf(stage)).predicate.outcome.kind).toBe('succeeded')
    expect(stage.runner.runs).toBe(1)
  })
})

describe('an array job', () => {
  const array = { items: [['a'], ['b'], ['c']], itemLimits: { timeMs: 1000, outputBytes: 1000 }, onItemFailure: 'continue' as const }
  const each: Workload = (_, argv) => ({
    kind: argv.at(-1) === 'b' ? 'failed' : 'succeeded',
    outputs: { [`${CANARY}.txt`]: utf8(`item ${argv.join(' ')}`) },
  })

  it('reads its inputs once, runs each item, and names what each left', async () => {
    const stage = await begin(await sceneFor({ contract: { array }, grant: { items: null } }), each)
    await release(stage)
    const { subject, predicate } = await outcomeOf(stage)
    expect(predicate.outcome).toMatchObject({ kind: 'failed', code: 'JOB_FAILED', reason: '2 of 3 items succeeded' })
    expect(predicate.items?.map((i) => i.kind)).toEqual(['succeeded', 'failed', 'succeeded'])
    expect(predicate.outputs).toEqual([])
    const files = await openResults(stage.outbox.resultsPath(stage.job.jobId))
    expect(files.get(`items/2/out/${CANARY}.txt`)?.toString()).toBe(`item ${[...stage.scene.contract.argv, 'c'].join(' ')}`)
    expect(subject.map((s) => s.name)).toEqual(['results.sealed', ...[0, 1, 2].map((i) => `items/${i}/manifest.json`)])
    for (const { name, digest } of subject.slice(1)) {
      expect(digest.sha256).toBe(
        createHash('sha256')
          .update(files.get(name) ?? '')
          .digest('hex'),
      )
    }
    expect(stage.transfers.downloads).toBe(1)
    expect(stage.runner.loaded).toBe(0)
    expect(stage.counts).toEqual([1, 2, 3])
  })

  it('is refused, before anything of its data is fetched, under a grant that allows another list', async () => {
    for (const grant of [{}, { items: [['a'], ['b']] }]) {
      const stage = await begin(await sceneFor({ contract: { array }, grant }), each)
      await release(stage)
      expect((await outcomeOf(stage)).predicate).toMatchObject({ type: 'refusal', outcome: { code: 'GRANT_DENIED' } })
      expect(stage.transfers.downloads).toBe(0)
      await rm(folder, { recursive: true })
      folder = await mkdtemp(join(tmpdir(), 'job-'))
    }
  })

  it('whose inputs cannot be erased leaves nothing of its items', async () => {
    const stage = await begin(await sceneFor({ contract: { array }, grant: { items: null } }), each)
    stage.runner.unloadFailure = new AttestError('INTERNAL', 'stuck')
    await release(stage)
    expect((await outcomeOf(stage)).predicate).toMatchObject({ type: 'refusal', outcome: { code: 'INTERNAL' } })
    expect([stage.runner.runs, stage.runner.held]).toEqual([3, 0])
  })

  it('that is cancelled in the middle signs and seals the items that are done', async () => {
    const stage = await begin(await sceneFor({ contract: { array }, grant: { items: array.items } }), each)
    stage.runner.onRunning = () => {
      if (stage.runner.runs === 2) stage.job.cancel('enough')
    }
    await release(stage)
    const { subject, predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'cancelled', code: 'CANCELLED' } })
    expect(predicate.items?.map((i) => i.kind)).toEqual(['succeeded', 'cancelled', 'not-run'])
    expect(subject.map((s) => s.name)).toEqual(['results.sealed', 'items/0/manifest.json', 'items/1/manifest.json'])
  })
})

describe('a job on an archive', () => {
  const onArchive = async (plaintext: Uint8Array, changes: SceneChanges = {}): Promise<Stage> =>
    begin(await sceneFor({ ...changes, plaintext, content: 'archive' }))
  const tree = { patients: null, [`patients/${CANARY}.csv`]: 'rows', 'run.sh': '#!' }

  it('tells the runner what is in it before it hands it over', async () => {
    const stage = await onArchive(await archiveOf(tree))
    await release(stage)
    expect((await outcomeOf(stage)).predicate.outcome.kind).toBe('succeeded')
    expect(stage.runner.archives).toEqual([Object.keys(tree)])
    expect(stage.transfers.downloads).toBe(2)
  })

  it('is refused when many small files would take more memory than it has', async () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`f${String(i).padStart(4, '0')}`, '']))
    const limits = { timeMs: 60_000, memoryBytes: 1_000_000, outputBytes: 1000, pids: 1, cpuMillis: 1000 }
    const stage = await onArchive(await archiveOf(many), { contract: { limits } })
    await release(stage)
    const { predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ type: 'refusal', outcome: { code: 'LIMIT_EXCEEDED' }, keysDestroyed: ['kem', 'data'] })
    expect(stage.runner.runs).toBe(0)
  })

  it('is refused, without a name in receipt or log, when the archive is none or climbs out of its folder', async () => {
    const climbing = await archiveOf({ [`aa${CANARY}`]: '' })
    climbing.set(utf8('..'), 31)
    climbing.set(utf8('/'), 33)
    for (const plaintext of [climbing, utf8(`not an archive ${CANARY}`)]) {
      const stage = await onArchive(plaintext)
      await release(stage)
      const { predicate } = await outcomeOf(stage)
      expect(predicate).toMatchObject({ type: 'refusal', outcome: { kind: 'refused', code: 'ARCHIVE_INVALID' } })
      expect(predicate.outcome.reason).not.toContain(CANARY)
      expect(stage.runner.runs).toBe(0)
      await rm(folder, { recursive: true })
      folder = await mkdtemp(join(tmpdir(), 'job-'))
    }
  })
})

describe('a job that is refused', () => {
  const spoilt =
    (spoil: (stage: Stage) => void) =>
    (stage: Stage): Promise<void> => {
      spoil(stage)
      return release(stage)
    }
  const flip =
    (at: (bytes: Uint8Array) => number) =>
    (bytes: Uint8Array): Uint8Array => {
      const changed = bytes.slice()
      changed[at(bytes)] = (bytes[at(bytes)] ?? 0) ^ 1
      return changed
    }
  const withFile = (change: (file: Uint8Array) => Uint8Array) =>
    spoilt(({ transfers: { files } }) => {
      for (const [id, file] of files) files.set(id, change(file))
    })
  const withHeader = (change: (header: Uint8Array) => Uint8Array) =>
    spoilt(({ transfers: { headers } }) => {
      for (const [id, header] of headers) headers.set(id, change(header))
    })
  const broken = spoilt(({ runner }) => {
    runner.failure = new AttestError('ENGINE_UNAVAILABLE', 'gone')
  })
  const streamHeader = (): number => 4 + scene.header.length + 5

  /** Something wrong after the evidence was sent: its code, how often data was asked for, and how it goes wrong. */
  const failures: [string, string, number, (stage: Stage) => Promise<void> | void, SceneChanges?][] = [
    ['a release that does not fit', 'UNWRAP_FAILED', 0, (s) => release(s, { intent: { binding: scene.grantDigest } })],
    ['a wrap that does not open', 'UNWRAP_FAILED', 0, (s) => release(s, { wrapLeafHash: scene.grantDigest })],
    ['a dataset that is gone', 'NOT_FOUND', 0, spoilt((s) => s.transfers.headers.clear())],
    ['a header that is not the contract’s', 'HEADER_INVALID', 0, withHeader(flip(() => 9))],
    ['a stored file of another size', 'STREAM_TRUNCATED', 0, withFile((f) => f.subarray(1))],
    [
      'inputs that do not fit into memory',
      'LIMIT_EXCEEDED',
      0,
      release,
      { contract: { limits: { timeMs: 60_000, memoryBytes: 100, outputBytes: 1000, pids: 1, cpuMillis: 1000 } } },
    ],
    ['one bit of ciphertext changed', 'SEGMENT_INVALID', 1, withFile(flip((f) => f.length - 1))],
    ['one bit of the stream header changed', 'SEGMENT_INVALID', 1, withFile(flip(streamHeader))],
    ['another root than the contract’s', 'ROOT_MISMATCH', 1, release, { root: toBase64Url(testBytes('root', 32)) }],
    ['a runner that cannot start', 'ENGINE_UNAVAILABLE', 0, broken],
    [
      'a release that cannot be read',
      'SUITE_UNSUPPORTED',
      0,
      (s) =>
        s.job.release(() => {
          throw new AttestError('SUITE_UNSUPPORTED', 'a key is sealed with an unknown suite')
        }),
    ],
    ['no release in time', 'DEADLINE', 0, (s) => s.clock.advance(60_000)],
    [
      'a release that comes too late for its policy',
      'LOG_STALE',
      0,
      spoilt((s) => s.clock.advance(59_000)),
      { policy: { maximumAge: { checkpointSeconds: 30, collateralSeconds: 1 } } },
    ],
  ]

  for (const [name, code, downloads, goWrong, changes] of failures) {
    it(`says so under its job key and leaves nothing: ${name}`, async () => {
      const stage = await begin(changes === undefined ? scene : await sceneFor(changes))
      await goWrong(stage)
      const { subject, predicate } = await outcomeOf(stage)
      expect(predicate.outcome).toMatchObject({ kind: 'refused', code })
      expect(predicate).toMatchObject({ type: 'refusal', isolation: null, usage: null, outputs: [] })
      expect(predicate.timing === null).toBe(predicate.releases.length === 0)
      expect(subject[0]?.name).toBe('contract')
      expect(stage.transfers.downloads).toBe(downloads)
      expect(stage.runner.runs).toBe(0)
    })
  }

  it('tells of the release only what it has verified', async () => {
    const unverified = await begin(scene)
    await release(unverified, { leaf: { tags: [] } })
    expect((await outcomeOf(unverified)).predicate).toMatchObject({ releases: [], grants: [], legal: [], keysDestroyed: ['kem'] })
  })

  it('tells of the release that it verified when the data was bad', async () => {
    const stage = await begin(scene)
    await withFile(flip((f) => f.length - 1))(stage)
    const { predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ releases: [{ index: 1 }], grants: [scene.grantDigest], keysDestroyed: ['kem', 'data'] })
  })

  it('can be cancelled while it waits for a release', async () => {
    const stage = await begin(scene)
    stage.job.cancel('the gateway cancelled the job')
    const { predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({
      type: 'refusal',
      outcome: { kind: 'cancelled', code: 'CANCELLED', reason: 'the gateway cancelled the job' },
    })
  })

  it('can be cancelled while it runs', async () => {
    const stage = await begin(scene)
    stage.runner.proceed = new Promise(() => {})
    const running = new Promise<void>((resolve) => (stage.runner.onRunning = resolve))
    await release(stage)
    await running
    stage.job.cancel('the gateway cancelled the job')
    const { predicate } = await outcomeOf(stage)
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'cancelled', code: 'CANCELLED' } })
  })

  it('says that results could not be kept', async () => {
    const stage = await begin(scene)
    await rm(folder, { recursive: true })
    await release(stage)
    await stage.job.ended
    // Not even the outcome can be written: it is sent from memory, for as long as the agent lives.
    const { receipt, results } = stage.outbox.pending.at(0) as PendingOutcome
    const { predicate } = parseStatement((await verifyGeneralJws(receipt, RECEIPT_TYP, 'receipt')).payload)
    expect(results).toBeNull()
    expect(predicate).toMatchObject({ type: 'execution', outcome: { kind: 'failed', code: 'INTERNAL' }, isolation: { runner: 'wasm' } })
    expect(logged).not.toContain(CANARY)
  })
})

describe('a job that asks for GPUs', () => {
  const run = async (wanted: number, devices: DeviceAttester | null) => {
    const stage = await begin(await makeScene({ contract: { resources: { gpus: wanted } } }), echo, devices)
    await release(stage)
    return { ...(await outcomeOf(stage)), given: stage.runner.given }
  }

  it('is given as many of those that gave evidence', async () => {
    expect((await run(1, fakeDevices(3))).given).toEqual([[GPU_IDS[0]]])
    expect((await run(2, fakeDevices(3))).given).toEqual([[GPU_IDS[0], GPU_IDS[2]]])
  })

  it('is given none that it did not ask for', async () => {
    expect((await run(0, fakeDevices(3))).given).toEqual([[]])
  })

  it('is given none where they are simulated: there is nothing to hand over', async () => {
    expect((await run(1, { ...fakeDevices(1), simulated: true })).given).toEqual([[]])
  })

  it.each<[string, Partial<DeviceAttester>]>([
    ['one has gone since the evidence', { engineIds: () => Promise.resolve([GPU_IDS[0] ?? '']) }],
    ['one has come since the evidence', { engineIds: () => Promise.resolve(GPU_IDS) }],
  ])('does not run when %s', async (_, changes) => {
    const { predicate, given } = await run(1, { ...fakeDevices(3), ...changes })
    expect(predicate.outcome).toMatchObject({ kind: 'refused', code: 'NO_HOST' })
    expect(given).toEqual([])
  })
})

describe('a job that is declined', () => {
  it('leaves no trace when its keys cannot be attested', async () => {
    const runner = new FakeRunner(echo)
    const outbox = await Outbox.open(await openDurableFiles(folder))
    const attester = { ...fakeAttester, attest: () => Promise.reject(new AttestError('ATTESTER_UNAVAILABLE', 'gone')) }
    const offer = {
      jobId: scene.contract.jobId,
      contract: scene.contractJws,
      ownerNonces: [testBytes('n', 32)],
      checkpoint: 'c',
      kemSuite: DEFAULT_HPKE_SUITE,
    }
    const checked = await checkOffer(offer, {
      runner: 'wasm',
      isolations: ['sealgate-wasm-v1'],
      tee: 'sev-snp',
      region: null,
      gpus: 0,
      memoryBytes: 2 ** 40,
    })
    const means = { attester, runner, outbox, clock: new FakeClock(), transfers: new FakeTransfers() }
    const rest = {
      logger: pino({ enabled: false }),
      config: utf8('{}'),
      agent: 'a',
      releaseWaitMs: 1,
      room: wholeRoom,
      onProgress: () => {},
      dialService: noService,
    }
    await expect(Job.begin(checked, { ...means, ...rest })).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(await readdir(folder)).toEqual([])
    expect(outbox.knows(scene.contract.jobId)).toBe(false)
  })
})
