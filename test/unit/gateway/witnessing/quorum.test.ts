import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GATEWAY_FILES } from '../../../../src/gateway/index.ts'
import { bytesOf, JobService, LogService } from '../../../../src/rpc/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { ReleaseIntent } from '../../../../src/verify/documents/intent.ts'
import { parsePolicy } from '../../../../src/verify/documents/policy.ts'
import { parseReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { StatedRelease } from '../../../../src/verify/documents/statement.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { useSlotTag } from '../../../../src/verify/documents/use-slot.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { type LoggedEntry, leafHash, parseCheckpoint, verifyCheckpoint, verifyEntry } from '../../../../src/verify/tlog/index.ts'
import { ORIGIN, T0, useKey } from '../../../support/job-documents.ts'
import { noteSigner } from '../../../support/keys.ts'
import { type Lie, LyingWitness } from '../../../support/lying-witness.ts'
import { TestWitness } from '../../../support/witness.ts'
import { FakeHost } from '../fake-host.ts'
import { CommitFaults } from '../faults.ts'
import { TestGateway, until } from '../fixture.ts'
import { Scenario, toAttested } from '../scenario.ts'

const faults = new CommitFaults()
let gateway: TestGateway
let host: FakeHost
let witnesses: readonly [TestWitness, TestWitness, TestWitness]
let scenario: Scenario

const keysOf = (...list: readonly { readonly key: string }[]): readonly string[] => list.map((w) => w.key).sort()

async function connect(): Promise<FakeHost> {
  const connected = new FakeHost(await gateway.dial('host', 'h1'))
  connected.hello()
  return connected
}

/** The gateway asks these from its next start on. */
async function ask(...list: readonly { readonly url: string; readonly key: string }[]): Promise<void> {
  gateway.configure({ witnesses: list.map(({ url, key }) => ({ url, vkey: key })) })
  await gateway.restart()
  host = await connect()
  await host.attest()
}

async function prepare(k: number, keys: readonly string[]): Promise<Scenario> {
  return Scenario.prepare(gateway, { policy: { witnessing: { mode: 'quorum', k, keys } } })
}

beforeEach(async () => {
  gateway = await TestGateway.start({ attestationSeconds: 86_400 }, { wrap: faults.wrap })
  const log = { origin: ORIGIN, key: gateway.running.logKey }
  const now = (): number => gateway.clock.now()
  const start = (name: string): Promise<TestWitness> => TestWitness.start(name, [log], now)
  witnesses = [await start('w1.example'), await start('w2.example'), await start('w3.example')]
  await ask(...witnesses)
  scenario = await prepare(2, keysOf(...witnesses))
})
afterEach(async () => {
  await gateway.end()
  await Promise.all(witnesses.map((w) => w.end()))
})

function trust(keys: readonly string[] = keysOf(...witnesses)): TrustFile {
  return { ...gateway.trust, witnesses: keys }
}

/** From an attested job to its ending, with the word of the host. */
async function toEnding(entry: LoggedEntry, evidence: Parameters<Scenario['statement']>[0], of = scenario): Promise<void> {
  await of.release(entry)
  const { ear } = await host.next('keyRelease')
  const release = await placeOf(entry, of)
  const { time } = release
  const statement = await of.statement(evidence, entry, bytesOf(ear), null, {
    releases: [release],
    timing: { notBefore: time, notAfter: time + 20 },
  })
  await host.outcome(of.jobId, statement)
  await host.next('outcomeAccepted')
}

function quorumOf(note: string, of = scenario): ReturnType<typeof verifyCheckpoint> {
  const { log, witnessing } = parsePolicy(of.policy)
  return verifyCheckpoint(note, { ...log, witnessing })
}

async function expectSound(receipt: Uint8Array, trusted = trust()): Promise<void> {
  const verdict = await verifyReceiptFile(receipt, { trust: trusted })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
  expect(verdict.decision).toBe('accept')
}

async function leaves(): Promise<number> {
  const alice = await gateway.dial('client', 'alice')
  return ((await alice.unary(LogService.listLeaves, { start: 0, count: 100 })).leaves ?? []).length
}

describe('a job under a policy with a quorum', () => {
  it('goes the whole way: nonce, release and ending are cosigned, and the receipt verifies', async () => {
    const evidence = await toAttested(scenario, host)
    const intent = await scenario.intent(evidence)
    const entry = await scenario.log(intent)
    await verifyEntry({ ...entry, opening: intent }, parsePolicy(scenario.policy))
    await toEnding(entry, evidence)
    const receipt = await scenario.receipt()
    await expectSound(receipt)
    const { log, nonceCheckpoint } = parseReceiptFile(receipt)
    for (const note of [nonceCheckpoint ?? '', log.releases[0]?.checkpoint ?? '', log.ending.checkpoint]) await quorumOf(note)
    expect(await scenario.receipt()).toEqual(receipt)
    await gateway.restart()
    expect(await scenario.receipt()).toEqual(receipt)
  })

  it('is refused when the trust file of who checks the receipt does not know the witnesses', async () => {
    const evidence = await toAttested(scenario, host)
    await toEnding(await scenario.log(await scenario.intent(evidence)), evidence)
    const verdict = await verifyReceiptFile(await scenario.receipt(), { trust: trust([]) })
    expect(verdict.decision).toBe('reject')
    expect(verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)).toContain('policy.trusted-witnesses')
  })

  it('shares the log with jobs under other quorums and under none', async () => {
    const [w1, w2, w3] = witnesses
    const others = [await prepare(1, keysOf(w3)), await Scenario.prepare(gateway), await prepare(3, keysOf(w1, w2, w3))]
    for (const [i, other] of others.entries()) {
      const job = await other.another(`job ${i}`)
      const evidence = await toAttested(job, host)
      const intent = await job.intent(evidence, await slotOf(job, i))
      const entry = await job.log(intent)
      await verifyEntry({ ...entry, opening: intent }, parsePolicy(job.policy))
      await toEnding(entry, evidence, job)
      await expectSound(await job.receipt())
    }
  })

  it('is not admitted when the gateway does not ask enough of its witnesses', async () => {
    const strangers = await Promise.all(['x1.example', 'x2.example'].map((name) => LyingWitness.start(name)))
    const other = await prepare(2, keysOf(witnesses[0], ...strangers))
    await expect(other.create()).rejects.toMatchObject({ code: 'POLICY_DENIED' })
    await Promise.all(strangers.map((s) => s.end()))
  })

  it('needs no more than its quorum: one dead witness is done without', async () => {
    await witnesses[1].stop()
    const evidence = await toAttested(scenario, host)
    await toEnding(await scenario.log(await scenario.intent(evidence)), evidence)
    await expectSound(await scenario.receipt())
  })
})

/** Slot k of the grant: each job of a grant needs one of its own. */
async function slotOf(job: Scenario, k: number): Promise<Partial<ReleaseIntent>> {
  return { slots: [{ grant: job.grantId, k, tag: await useSlotTag(useKey, k) }] }
}

describe('two of three witnesses that do not answer', () => {
  async function silence(): Promise<void> {
    await witnesses[1].stop()
    await witnesses[2].stop()
  }
  async function revive(): Promise<void> {
    await witnesses[1].restart()
  }

  it('keep a new job waiting, with their names, until one is back', async () => {
    await silence()
    gateway.clock.advance(6)
    await scenario.create()
    const alice = await gateway.dial('client', 'alice')
    const reasons = async (): Promise<string> => {
      const { hosts } = await alice.unary(JobService.explainJob, { jobId: scenario.jobId })
      return (hosts ?? []).flatMap((h) => h.reasons ?? []).join(' ')
    }
    await until(async () => (await reasons()).includes('witnesses'), 'the job says what it waits for')
    expect(await reasons()).toMatch(/want 2 of 3 witnesses, 1 cosigned; missing: w2\.example \(.*\), w3\.example \(.*\)/)
    expect(await scenario.state()).toBe('created')
    await revive()
    gateway.clock.advance(2)
    const evidence = await host.accept(await host.next('jobOffer'))
    await until(async () => (await scenario.state()) === 'attested', 'the job is attested')
    await toEnding(await scenario.log(await scenario.intent(evidence)), evidence)
    await expectSound(await scenario.receipt())
  })

  it('keep a logged release back; the same question gets it later, from the same leaf and the same slot', async () => {
    const evidence = await toAttested(scenario, host)
    await silence()
    gateway.clock.advance(6)
    const intent = await scenario.intent(evidence)
    const before = await leaves()
    for (let i = 0; i < 2; i++) {
      await expect(scenario.log(intent)).rejects.toMatchObject({ code: 'WITNESS_QUORUM', message: expect.stringContaining('w3.example') })
    }
    expect(await scenario.state()).toBe('logged')
    await gateway.restart()
    host = await connect()
    await host.next('challenge')
    await expect(scenario.log(intent)).rejects.toMatchObject({ code: 'WITNESS_QUORUM' })
    await revive()
    const entry = await scenario.log(intent)
    await verifyEntry({ ...entry, opening: intent }, parsePolicy(scenario.policy))
    expect(await leaves()).toBe(before + 1)
    await toEnding(entry, evidence)
    await expectSound(await scenario.receipt())
  })

  it('keep no revocation back: nothing is released, and the job ends when they are there', async () => {
    const evidence = await toAttested(scenario, host)
    await silence()
    gateway.clock.advance(6)
    const intent = await scenario.intent(evidence)
    await scenario.log(intent).catch(() => undefined)
    await scenario.revoke()
    expect(await scenario.state()).toBe('logged')
    await expect(scenario.log(intent)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await revive()
    await expect(scenario.log(intent)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await scenario.state()).toBe('refused')
    await expectSound(await scenario.receipt())
  })

  it('let no keys through to the host, also for a client that does not ask for the entry', async () => {
    const evidence = await toAttested(scenario, host)
    await silence()
    gateway.clock.advance(6)
    await scenario.log(await scenario.intent(evidence)).catch(() => undefined)
    const alice = await gateway.dial('client', 'alice')
    const leaf = ((await alice.unary(LogService.listLeaves, { start: (await leaves()) - 1, count: 1 })).leaves ?? [])[0]
    const guessed = { leaf: bytesOf(leaf), salt: new Uint8Array(32), index: 0, proof: [], checkpoint: '' }
    await expect(scenario.release(guessed)).rejects.toMatchObject({ code: 'WITNESS_QUORUM' })
    expect(await scenario.state()).toBe('logged')
  })

  it.each(['goes on', 'is restarted'])(
    'keep a receipt back; a gateway that %s brings the ending to them when they answer, unasked',
    async (how) => {
      const evidence = await toAttested(scenario, host)
      const entry = await scenario.log(await scenario.intent(evidence))
      await scenario.release(entry)
      const { ear } = await host.next('keyRelease')
      await silence()
      gateway.clock.advance(6)
      const statement = await scenario.statement(evidence, entry, bytesOf(ear), null, {
        releases: [await placeOf(entry)],
        timing: { notBefore: T0, notAfter: T0 + 20 },
      })
      await host.outcome(scenario.jobId, statement)
      await host.next('outcomeAccepted')
      await expect(scenario.receipt()).rejects.toMatchObject({ code: 'WITNESS_QUORUM' })
      await revive()
      if (how === 'is restarted') await gateway.restart()
      // Long after the deadline the receipt still says when the job ended.
      await until(async () => {
        gateway.clock.advance(10)
        return scenario.receipt().then(
          () => true,
          () => false,
        )
      }, 'the ending is cosigned')
      gateway.clock.advance(86_400)
      await expectSound(await scenario.receipt())
    },
  )
})

async function placeOf(entry: LoggedEntry, of = scenario): Promise<StatedRelease> {
  const { size, time } = await quorumOf(entry.checkpoint, of)
  return { leafHash: toBase64Url(await leafHash(entry.leaf)), index: entry.index, treeSize: size, time }
}

describe.each(['before', 'after'] as const)('when the disk fails %s the commit of a cosigned checkpoint', (fault) => {
  it('the entry is asked for again, and has one checkpoint for ever', async () => {
    const evidence = await toAttested(scenario, host)
    const intent = await scenario.intent(evidence)
    faults.arm(fault, 1)
    const first = await scenario.log(intent).catch((error: unknown) => error)
    const entry = await scenario.log(intent)
    if (!(first instanceof Error)) expect(first).toEqual(entry)
    await gateway.restart()
    expect(await scenario.log(intent)).toEqual(entry)
  })
})

describe('one lying witness of three', () => {
  let liar: LyingWitness
  beforeEach(async () => {
    liar = await LyingWitness.start('w3.example')
  })
  afterEach(() => liar.end())

  const own = noteSigner('w3.example')
  it.each<[string, Lie]>([
    ['signs under another key', { cosign: { by: noteSigner('w3.example', 'another key'), time: T0 } }],
    ['signs under the name of another witness', { cosign: { by: noteSigner('w1.example', 'w3.example'), time: T0 } }],
    ['dates its signature long ago', { cosign: { by: own, time: T0 - 86_400 } }],
    ['dates its signature a little before the others', { cosign: { by: own, time: T0 - 50 } }],
    ['dates its signature into the future', { cosign: { by: own, time: T0 + 86_400 } }],
    ['dates its signature a little ahead', { cosign: { by: own, time: T0 + 50 } }],
    ['answers nothing', { body: '' }],
    ['answers noise', { body: new Uint8Array(1000).fill(0xff) }],
    ['answers more than it may', { body: 'x'.repeat(20_000) }],
    ['fails', { status: 500 }],
    ['sends elsewhere', { status: 302 }],
    ['answers 409 with a size that makes no sense', { status: 409, type: 'text/x.tlog.size', body: '-1\n' }],
    ['answers 409 without its type', { status: 409, body: '0\n' }],
    ['answers 409 with the size zero, again and again', { status: 409, type: 'text/x.tlog.size', body: '0\n' }],
  ])('does no harm when it %s', async (_what, lie) => {
    liar.lie = lie
    await ask(witnesses[0], witnesses[1], liar)
    const evidence = await toAttested(scenario, host)
    await toEnding(await scenario.log(await scenario.intent(evidence)), evidence)
    await expectSound(await scenario.receipt())
    expect(liar.asked).toBeGreaterThan(0)
  })

  it('does no harm when it says, in the middle of a job, that it has seen more', async () => {
    await ask(witnesses[0], witnesses[1], { key: liar.key, url: liar.url })
    liar.lie = { status: 409, type: 'text/x.tlog.size', body: '999\n' }
    gateway.clock.advance(60)
    const evidence = await toAttested(scenario, host)
    await toEnding(await scenario.log(await scenario.intent(evidence)), evidence)
    await expectSound(await scenario.receipt())
    expect(gateway.logged.join('')).toContain('has cosigned 999 entries')
  })

  it('does no harm when it never answers', async () => {
    await ask(witnesses[0], witnesses[1], liar)
    liar.lie = { silent: true }
    const evidence = await toAttested(scenario, host)
    const intent = await scenario.intent(evidence)
    // The others are enough; the next round begins when the silent one was waited for a moment.
    const turning = setInterval(() => gateway.clock.advance(1), 100)
    try {
      await toEnding(await scenario.log(intent), evidence)
    } finally {
      clearInterval(turning)
    }
    await expectSound(await scenario.receipt())
  })
})

describe('a database that was rolled back', () => {
  const data = (): string => join(gateway.folder, GATEWAY_FILES.data)
  const copy = (): string => join(gateway.folder, 'copy')
  /** Put back together with the database: else the gateway finds it out by itself. */
  const head = (): string => join(gateway.folder, GATEWAY_FILES.logHead)

  async function rollBack(): Promise<void> {
    await gateway.stop()
    cpSync(data(), copy(), { recursive: true })
    cpSync(head(), `${head()}.copy`)
    await gateway.restart()
    host = await connect()
    await host.attest()
    const evidence = await toAttested(scenario, host)
    await scenario.log(await scenario.intent(evidence))
    await gateway.stop()
    rmSync(data(), { recursive: true })
    cpSync(copy(), data(), { recursive: true })
    cpSync(`${head()}.copy`, head())
  }

  it('is not served: a witness has seen more', async () => {
    await rollBack()
    await expect(gateway.restart()).rejects.toMatchObject({
      code: 'LOG_ROLLED_BACK',
      message: expect.stringMatching(/rolled back.*w[123]\.example has cosigned \d+ entries of this log, which holds \d+/),
    })
  })

  it('is not served when one witness alone remembers', async () => {
    await rollBack()
    await witnesses[0].stop()
    await witnesses[1].stop()
    await expect(gateway.restart()).rejects.toMatchObject({ code: 'LOG_ROLLED_BACK' })
  })

  it('that has grown another way since is not served either', async () => {
    await rollBack()
    gateway.configure({})
    await gateway.restart()
    host = await connect()
    gateway.clock.advance(60)
    for (let i = 0; i < 4; i++) {
      await host.attest()
      host.vanish()
      host = await connect()
    }
    await gateway.stop()
    gateway.configure({ witnesses: witnesses.map(({ url, key }) => ({ url, vkey: key })) })
    await expect(gateway.restart()).rejects.toMatchObject({ code: 'LOG_ROLLED_BACK' })
  })

  it('is not found out by witnesses that do not answer: it starts, and gets no cosignature afterwards', async () => {
    await rollBack()
    for (const witness of witnesses) await witness.stop()
    await gateway.restart()
    for (const witness of witnesses) await witness.restart()
    host = await connect()
    await host.attest()
    const job = await scenario.another('after the rollback')
    await job.create()
    await until(() => gateway.logged.some((line) => line.includes('holds against this log')), 'the witnesses object')
    expect(await job.state()).toBe('created')
  })
})

describe('the newest checkpoint for everybody', () => {
  it('carries the cosignatures that are at hand', async () => {
    await toAttested(scenario, host)
    const alice = await gateway.dial('client', 'alice')
    const { checkpoint } = await alice.unary(LogService.getCheckpoint, {})
    const names = parseCheckpoint(checkpoint ?? '').note.signatures.map((s) => s.name)
    expect(names.filter((name) => name.endsWith('.example')).length).toBeGreaterThanOrEqual(2)
  })
})
