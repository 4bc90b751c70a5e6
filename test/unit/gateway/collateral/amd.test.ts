import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { nameOf } from '../../../../src/gateway/collateral/questions.ts'
import type { CollateralService } from '../../../../src/gateway/collateral/service.ts'
import { reissueCrl } from '../../../../src/sim/index.ts'
import { verifyEvidence } from '../../../../src/verify/verify-evidence.ts'
import { testAuthority } from '../../../support/pki.ts'
import { simulatedKds, VendorServer } from '../../../support/vendor-servers.ts'
import { CollateralWorld, CRL, genoa, reportOf, turin, VCEK, vcekOf } from './world.ts'

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

/** What the verifier makes of evidence with what the service has for it. */
async function verdictOf(
  subject: ReturnType<typeof reportOf>,
  from = service,
): Promise<{ decision: string; items: number; failed: readonly string[] }> {
  const { items, failures } = await from.gather(subject)
  const { decision } = await verifyEvidence(subject.report, {
    collateral: [...subject.endorsements, ...items.map((i) => i.bytes)],
    trustAnchors: anchors,
    at: new Date(world.clock.now()),
    allowUnknown: [],
  })
  return { decision, items: items.length, failed: failures.map((f) => f.name) }
}

describe('AMD’s key distribution service', () => {
  it('gives a bare report all that it needs', async () => {
    expect(await verdictOf(reportOf(genoa))).toEqual({ decision: 'accept', items: 3, failed: [] })
    const hwId = Buffer.from(genoa.chipId).toString('hex')
    expect(kds.requests).toEqual([
      `/vcek/v1/Genoa/${hwId}?blSPL=10&teeSPL=00&snpSPL=25&ucodeSPL=84`,
      '/vcek/v1/Genoa/cert_chain',
      '/vcek/v1/Genoa/crl',
    ])
  })

  it('is asked for Turin by FMC level and by 16 digits', async () => {
    expect(await verdictOf(reportOf(turin))).toMatchObject({ decision: 'accept', failed: [] })
    const hwId = Buffer.from(turin.chipId.subarray(0, 8)).toString('hex')
    expect(kds.requests[0]).toBe(`/vcek/v1/Turin/${hwId}?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81`)
  })

  it('is not asked for certificates that the host brought', async () => {
    const subject = reportOf(genoa, [genoa.vek.certificate, genoa.intermediate.certificate])
    expect(await verdictOf(subject)).toMatchObject({ decision: 'accept' })
    expect(kds.requests).toEqual(['/vcek/v1/Genoa/crl'])
  })

  it('is asked for the issuer alone where the host brought the VCEK alone', async () => {
    expect(await verdictOf(reportOf(genoa, [genoa.vek.certificate]))).toMatchObject({ decision: 'accept' })
    expect(kds.requests.filter((path) => path.includes('SPL'))).toEqual([])
  })

  it('may be down when the cache is warm', async () => {
    await verdictOf(reportOf(genoa))
    await kds.stop()
    expect(await verdictOf(reportOf(genoa))).toMatchObject({ decision: 'accept', failed: [] })
    const restarted = await world.open({ amdKds: kds.url }, anchors)
    expect(await verdictOf(reportOf(genoa), restarted)).toMatchObject({ decision: 'accept', failed: [] })
  })

  it('may be down when the host brings everything', async () => {
    await kds.stop()
    const subject = reportOf(genoa, [genoa.vek.certificate, genoa.intermediate.certificate, genoa.crl])
    expect(await verdictOf(subject)).toMatchObject({ decision: 'accept', failed: [nameOf(CRL)] })
  })

  it('leaves the verifier without when it is down and nothing is there', async () => {
    await kds.stop()
    expect(await verdictOf(reportOf(genoa))).toEqual({ decision: 'reject', items: 0, failed: [VCEK, nameOf(CRL)] })
  })

  it('is never asked where fetching is switched off', async () => {
    const offline = await world.open({ amdKds: kds.url, fetch: false }, anchors)
    expect(await verdictOf(reportOf(genoa), offline)).toMatchObject({ decision: 'reject' })
    expect(kds.requests).toEqual([])
  })

  it('is spoken to over TLS under the authorities that are named', async () => {
    const authority = await testAuthority()
    const tls = await VendorServer.start(simulatedKds(genoa), await authority.issue([], 'server'))
    try {
      const trusting = await world.open({ amdKds: tls.url }, anchors, { ca: authority.ca })
      expect((await trusting.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
      const doubting = await world.open({ amdKds: tls.url }, anchors)
      await expect(doubting.ask({ ...CRL, signer: 'vlek' })).rejects.toMatchObject({ code: 'COLLATERAL_MISSING' })
    } finally {
      await tls.stop()
    }
  })
})

describe('what time does', () => {
  const DAY = 24 * 3600

  it('renews a CRL beside its use when it is a day old', async () => {
    await service.ask(CRL)
    const newer = await reissueCrl(genoa, { thisUpdate: new Date('2026-06-16T00:00:00Z'), nextUpdate: new Date('2026-07-16T00:00:00Z') })
    kds.override = ({ pathname }) => (pathname.endsWith('/crl') ? { status: 200, body: newer.crl } : null)
    world.clock.advance(DAY + 1)
    expect((await service.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
    await service.settled()
    expect((await service.ask(CRL)).items[0].bytes).toEqual(newer.crl)
    expect(kds.requests).toHaveLength(2)
  })

  it('keeps what is known when the vendor falls back behind it', async () => {
    await service.ask(CRL)
    const older = await reissueCrl(genoa, { thisUpdate: new Date('2026-05-20T00:00:00Z'), nextUpdate: new Date('2026-06-28T00:00:00Z') })
    kds.override = () => ({ status: 200, body: older.crl })
    world.clock.advance(DAY + 1)
    await service.ask(CRL)
    await service.settled()
    expect((await service.ask(CRL)).items[0].bytes).toEqual(genoa.crl)
  })

  it('lets nothing pass for current that has expired while the vendor is down', async () => {
    await verdictOf(reportOf(genoa))
    await kds.stop()
    world.clock.advance(30 * DAY)
    expect(await verdictOf(reportOf(genoa))).toMatchObject({ decision: 'reject', failed: [nameOf(CRL)] })
    await expect(service.ask(CRL)).rejects.toMatchObject({ code: 'COLLATERAL_MISSING' })
  })

  it('never asks again for a VCEK', async () => {
    await service.ask(vcekOf(genoa))
    world.clock.advance(300 * DAY)
    await service.ask(vcekOf(genoa))
    await service.settled()
    expect(kds.requests.filter((path) => path.includes('SPL'))).toHaveLength(1)
  })
})
