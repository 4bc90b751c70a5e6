import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Appraiser } from '../../../../src/gateway/appraiser.ts'
import { gatewayCollateral } from '../../../../src/gateway/collateral/gateway-collateral.ts'
import { GATEWAY_FILES, loadConfig } from '../../../../src/gateway/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { T0 } from '../../../support/job-documents.ts'
import { platform } from '../../../support/receipt-builder.ts'
import { TestClock } from '../../../support/test-clock.ts'
import { simulatedKds, VendorServer } from '../../../support/vendor-servers.ts'
import { evidenceFor } from '../fake-host.ts'

let folder: string
let kds: VendorServer
const logged: string[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-wiring-'))
  kds = await VendorServer.start(simulatedKds(platform))
  logged.length = 0
})
afterEach(async () => {
  await kds.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** What a gateway of this configuration makes of a host that brings these certificates. */
async function appraise(collateral: object, endorsements: readonly Uint8Array[]): Promise<{ accepted: boolean; used: number }> {
  const simulatedRoots = [toBase64Url(platform.root.certificate)]
  writeFileSync(join(folder, GATEWAY_FILES.config), JSON.stringify({ v: 1, name: 'gw', listen: '127.0.0.1:0', simulatedRoots, collateral }))
  const clock = new TestClock(T0)
  const logger = pino({ level: 'warn' }, { write: (line: string) => void logged.push(line) })
  const opened = await gatewayCollateral(folder, loadConfig(folder), clock, logger)
  try {
    const bundle = { ...(await evidenceFor({})), endorsements }
    const appraiser = new Appraiser(clock, (b) => opened.source(b), [platform.root.certificate])
    const { appraisal, collateral: used } = await appraiser.appraise(bundle, { role: 'host', allowUnknown: [], policies: [] })
    return { accepted: appraisal.accepted, used: used.length }
  } finally {
    await opened.close()
  }
}

it('a gateway fetches what a host does not bring, and keeps what it used for the receipt', async () => {
  expect(await appraise({ fetch: true, amdKds: kds.url }, [])).toEqual({ accepted: true, used: 3 })
  await kds.stop()
  expect(await appraise({ fetch: true, amdKds: kds.url }, [])).toEqual({ accepted: true, used: 3 })
  expect(logged).toEqual([])
})

it('a gateway asks nobody unless it is told to', async () => {
  expect(await appraise({ amdKds: kds.url }, [])).toEqual({ accepted: false, used: 0 })
  expect(await appraise({ amdKds: kds.url }, [platform.vek.certificate, platform.intermediate.certificate, platform.crl])).toEqual({
    accepted: true,
    used: 0,
  })
  expect(kds.requests).toEqual([])
})

it('a gateway uses the files that its operator laid down, and says what a vendor would not give', async () => {
  mkdirSync(join(folder, GATEWAY_FILES.collateral))
  for (const [name, bytes] of Object.entries({ vek: platform.vek.certificate, ask: platform.intermediate.certificate, crl: platform.crl }))
    writeFileSync(join(folder, GATEWAY_FILES.collateral, name), bytes)
  await kds.stop()
  expect(await appraise({ fetch: true, amdKds: kds.url }, [])).toEqual({ accepted: true, used: 3 })
  expect(logged.join()).toContain('amd/crl/vcek/Genoa')
})
