import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BackOff, parseRetryAfter } from '../../../../src/gateway/collateral/back-off.ts'
import { endpointField } from '../../../../src/gateway/collateral/config.ts'
import { createHttpGet } from '../../../../src/gateway/collateral/http.ts'
import { nameOf, questionOf } from '../../../../src/gateway/collateral/questions.ts'
import type { CollateralService } from '../../../../src/gateway/collateral/service.ts'
import { reissueCrl } from '../../../../src/sim/index.ts'
import type { AttestError } from '../../../../src/verify/errors.ts'
import { TestClock } from '../../../support/test-clock.ts'
import { simulatedKds, type VendorAnswer, VendorServer } from '../../../support/vendor-servers.ts'
import { CollateralWorld, CRL, genoa, turin, vcekOf } from './world.ts'

let world: CollateralWorld
let kds: VendorServer
let service: CollateralService
const anchors = [genoa.root.certificate, turin.root.certificate]

beforeEach(async () => {
  world = new CollateralWorld()
  kds = await VendorServer.start(simulatedKds(genoa, turin))
  service = await world.open({ amdKds: kds.url }, anchors)
})
afterEach(async () => {
  await world.end()
  await kds.stop()
})

const refused = (cause: string): object => ({ code: 'COLLATERAL_MISSING', cause: { code: cause } })
const always = (answer: VendorAnswer): void => {
  kds.override = () => answer
}

describe('a fetch', () => {
  it('is made once for two who ask at once, and for ten', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => service.ask(CRL)))
    expect(new Set(answers).size).toBe(1)
    expect(kds.requests).toHaveLength(1)
  })

  it('that fails fails for all who waited, and is made once', async () => {
    always({ status: 503 })
    const outcomes = await Promise.allSettled([service.ask(CRL), service.ask(CRL)])
    expect(outcomes.map((o) => o.status)).toEqual(['rejected', 'rejected'])
    expect(kds.requests).toHaveLength(1)
  })

  it('is one of sixteen at the most, since hosts choose what is asked for', async () => {
    let go = (): void => {}
    kds.hold = new Promise((resolve) => {
      go = resolve
    })
    const questions = Array.from({ length: 17 }, (_, i) => ({ ...vcekOf(genoa), tcb: `${i}`.padStart(16, '0') }))
    const asked = Promise.allSettled(questions.map((question) => service.ask(question)))
    while (kds.requests.length < 16) await new Promise((resolve) => setImmediate(resolve))
    go()
    const reasons = (await asked).map((o) => (o.status === 'rejected' ? (o.reason as AttestError).message.replace(/^.*: /, '') : ''))
    expect(kds.requests).toHaveLength(16)
    expect(reasons.filter((text) => text === 'too many fetches are under way')).toHaveLength(1)
  })

  it('ends after the time that is set for it', async () => {
    let go = (): void => {}
    kds.hold = new Promise((resolve) => {
      go = resolve
    })
    const asked = expect(service.ask(CRL)).rejects.toMatchObject(refused('DEADLINE'))
    while (kds.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    world.clock.advance(10)
    await asked
    go()
  })
})

describe('refuses, and stores nothing of', () => {
  const other = reissueCrl(
    { ...genoa, root: { ...genoa.root, key: genoa.intermediate.key } },
    { thisUpdate: new Date('2026-06-01T00:00:00Z'), nextUpdate: new Date('2026-07-01T00:00:00Z') },
  )
  const expired = reissueCrl(genoa, { thisUpdate: new Date('2026-01-01T00:00:00Z'), nextUpdate: new Date('2026-06-01T00:00:00Z') })
  const toCome = reissueCrl(genoa, { thisUpdate: new Date('2026-06-20T00:00:00Z'), nextUpdate: new Date('2026-07-20T00:00:00Z') })

  it.each<[string, () => Promise<VendorAnswer>, string]>([
    ['nothing', async () => ({ status: 200 }), 'CHAIN_INVALID'],
    ['a page of text', async () => ({ status: 200, body: '<html>maintenance</html>' }), 'CHAIN_INVALID'],
    ['half a CRL', async () => ({ status: 200, body: genoa.crl.subarray(0, 300) }), 'DER_MALFORMED'],
    ['a CRL with a changed byte', async () => ({ status: 200, body: genoa.crl.map((b, i) => (i === 400 ? b ^ 1 : b)) }), 'CHAIN_INVALID'],
    ['a CRL of another signer', async () => ({ status: 200, body: (await other).crl }), 'CHAIN_INVALID'],
    ['a CRL of another product', async () => ({ status: 200, body: turin.crl }), 'CHAIN_INVALID'],
    ['a CRL that is over', async () => ({ status: 200, body: (await expired).crl }), 'CHAIN_INVALID'],
    ['a CRL that is to come', async () => ({ status: 200, body: (await toCome).crl }), 'CHAIN_INVALID'],
    ['a certificate in its place', async () => ({ status: 200, body: genoa.vek.certificate }), 'CHAIN_INVALID'],
    ['more than is wanted', async () => ({ status: 200, body: new Uint8Array(3 * 1024 * 1024) }), 'LIMIT_EXCEEDED'],
    ['a promise of more', async () => ({ status: 200, headers: { 'content-length': '99999999' }, body: 'x' }), 'LIMIT_EXCEEDED'],
    ['something compressed', async () => ({ status: 200, headers: { 'content-encoding': 'gzip' }, body: 'x' }), 'ENCODING_INVALID'],
    ['a redirect', async () => ({ status: 302, headers: { location: '/elsewhere' } }), 'NOT_FOUND'],
    ['a bad request', async () => ({ status: 400 }), 'NOT_FOUND'],
    ['a missing one', async () => ({ status: 404 }), 'NOT_FOUND'],
  ])('%s', async (_what, answer, cause) => {
    always(await answer())
    await expect(service.ask(CRL)).rejects.toMatchObject(refused(cause))
    expect(await service.list()).toEqual([])
    expect(kds.requests).toHaveLength(1)
  })

  it('the VCEK of another chip', async () => {
    kds.override = ({ pathname }) => (/[0-9a-f]{128}$/.test(pathname) ? { status: 200, body: turin.vek.certificate } : null)
    await expect(service.ask(vcekOf(genoa))).rejects.toMatchObject(refused('CHAIN_INVALID'))
  })

  it('what another root signed, unless that root is named', async () => {
    const strict = await world.open({ amdKds: kds.url }, [])
    await expect(strict.ask(CRL)).rejects.toMatchObject(refused('CHAIN_INVALID'))
  })
})

describe('a server that says no', () => {
  it('is not asked the same again for ten minutes, but is asked for other things', async () => {
    kds.override = ({ pathname }) => (pathname.includes('vcek') ? { status: 404 } : null)
    for (let i = 0; i < 3; i++) await expect(service.ask(CRL)).rejects.toMatchObject(refused('NOT_FOUND'))
    expect(kds.requests).toHaveLength(1)
    await expect(service.ask({ ...CRL, product: 'Turin' })).rejects.toMatchObject(refused('NOT_FOUND'))
    expect(kds.requests).toHaveLength(2)
    kds.override = () => null
    world.clock.advance(601)
    expect((await service.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
  })

  it.each([
    ['429 and a number of seconds', 429, '120'],
    ['503 and a date', 503, new Date(Date.parse('2026-06-15T12:02:00Z')).toUTCString()],
  ])('with %s is left alone for that long, whatever is asked', async (_what, status, retryAfter) => {
    always({ status, headers: { 'retry-after': retryAfter } })
    await expect(service.ask(CRL)).rejects.toMatchObject({ code: 'COLLATERAL_MISSING' })
    kds.override = () => null
    world.clock.advance(119)
    await expect(service.ask(vcekOf(turin))).rejects.toMatchObject({ message: expect.stringContaining('2026-06-15T12:02:00Z') })
    expect(kds.requests).toHaveLength(1)
    world.clock.advance(2)
    expect((await service.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
  })
})

describe('back-off', () => {
  it('doubles, with half of it by chance, up to a quarter of an hour, and starts again after a success', () => {
    const clock = new TestClock(0)
    const backOff = new BackOff(clock, () => 0.5)
    const waits = Array.from({ length: 14 }, () => {
      backOff.failed('a', null)
      const wait = (backOff.blockedUntil('a') ?? 0) - clock.now()
      clock.advance(wait / 1000)
      return wait
    })
    expect(waits.slice(0, 4)).toEqual([750, 1500, 3000, 6000])
    expect(waits.at(-1)).toBe(675_000)
    expect(backOff.blockedUntil('b')).toBeNull()
    backOff.succeeded('a')
    backOff.failed('a', null)
    expect((backOff.blockedUntil('a') ?? 0) - clock.now()).toBe(750)
  })

  it('counts what failed together as one failure', () => {
    const clock = new TestClock(0)
    const backOff = new BackOff(clock, () => 0)
    for (let i = 0; i < 10; i++) backOff.failed('a', null)
    expect(backOff.blockedUntil('a')).toBe(500)
  })

  it('does not let a server ask for more than a day', () => {
    const backOff = new BackOff(new TestClock(0), () => 0)
    backOff.failed('a', 1e15)
    expect(backOff.blockedUntil('a')).toBe(24 * 3600 * 1000)
  })

  it.each([
    ['17', 17_000],
    ['Mon, 15 Jun 2026 12:00:30 GMT', 30_000],
    ['Mon, 15 Jun 2026 11:00:00 GMT', 0],
    ['-1', null],
    ['1e9', null],
    ['tomorrow', null],
    ['', null],
    [undefined, null],
  ])('reads Retry-After %s', (text, want) => {
    expect(parseRetryAfter(text, Date.parse('2026-06-15T12:00:00Z'))).toBe(want)
  })
})

describe('the client', () => {
  it('follows no redirect and asks no proxy of the environment', async () => {
    const before = { ...process.env }
    Object.assign(process.env, { HTTP_PROXY: 'http://127.0.0.1:9', http_proxy: 'http://127.0.0.1:9', NODE_USE_ENV_PROXY: '1' })
    try {
      always({ status: 301, headers: { location: 'http://127.0.0.1:9/' } })
      await expect(service.ask(CRL)).rejects.toMatchObject(refused('NOT_FOUND'))
      expect(kds.requests).toEqual(['/vcek/v1/Genoa/crl'])
    } finally {
      process.env = before
    }
  })

  it('stops reading at the limit where no length is announced', async () => {
    let sent = 0
    const endless = createServer((_request, response) => {
      response.on('close', () => response.destroy())
      const write = (): void => {
        while (!response.destroyed && sent < 1e9 && response.write(Buffer.alloc(64 * 1024))) sent += 64 * 1024
        if (!response.destroyed) response.once('drain', write)
      }
      write()
    })
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve))
    try {
      const get = createHttpGet({ clock: world.clock, timeoutMs: 10_000, signal: new AbortController().signal })
      const url = new URL(`http://127.0.0.1:${(endless.address() as AddressInfo).port}/`)
      await expect(get(url, {}, 100_000)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
      expect(sent).toBeLessThan(64 * 1024 * 1024)
    } finally {
      endless.closeAllConnections()
      endless.close()
    }
  })

  it.each([
    'http://vendor.example',
    'https://a.example/',
    'https://u:p@a.example',
    'https://a.example?x',
    'ftp://a.example',
    'a.example',
    '',
  ])('takes no endpoint %s', (text) => expect(endpointField.safeParse(text).success).toBe(false))
})

describe('names', () => {
  it('lead back to their questions', () => {
    const hex = (bytes: number): fc.Arbitrary<string> =>
      fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b).toString('hex'))
    const product = fc.constantFrom('Milan' as const, 'Genoa' as const, 'Turin' as const)
    const tee = fc.constantFrom('sgx' as const, 'tdx' as const)
    const update = fc.constantFrom('early' as const, 'standard' as const)
    const questions = fc.oneof(
      fc.record({ kind: fc.constant('vcek' as const), product, hwId: hex(64), tcb: hex(8) }),
      fc.record({ kind: fc.constant('amd-chain' as const), signer: fc.constantFrom('vcek' as const, 'vlek' as const), product }),
      fc.record({ kind: fc.constant('tcb-info' as const), tee, fmspc: hex(6), update }),
      fc.record({ kind: fc.constant('qe-identity' as const), tee, update }),
      fc.record({
        kind: fc.constant('pck' as const),
        encryptedPpid: fc.constant(''),
        qeId: hex(16),
        cpuSvn: hex(16),
        pceSvn: hex(2),
        pceId: hex(2),
        ppidDigest: hex(32),
      }),
    )
    fc.assert(
      fc.property(questions, (question) => {
        expect(questionOf(nameOf(question))).toEqual(question)
      }),
    )
  })

  it('of another form lead nowhere', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(questionOf(text)).toBeNull()
      }),
    )
    for (const name of ['amd/vcek/Genoa/../x', 'intel/root-crl/', 'amd/crl/vcek/Rome']) expect(questionOf(name)).toBeNull()
  })
})
