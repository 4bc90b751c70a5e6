import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type CollateralConfig, collateralSchema } from '../../../../src/gateway/collateral/config.ts'
import type { CollateralDisk } from '../../../../src/gateway/collateral/disk.ts'
import type { Subject } from '../../../../src/gateway/collateral/needs.ts'
import { type OpenCollateral, openCollateral } from '../../../../src/gateway/collateral/open-collateral.ts'
import { nameOf, type Question } from '../../../../src/gateway/collateral/questions.ts'
import type { StoreLimits } from '../../../../src/gateway/collateral/store.ts'
import { attest, issueSimulatedPlatform, reissueCrl, type SimulatedPlatform } from '../../../../src/sim/index.ts'
import { toHex } from '../../../../src/verify/bytes/bytes.ts'
import { AT, SimulatedIntel } from '../../../support/intel.ts'
import { simulatedPlatform } from '../../../support/simulated-platform.ts'
import { TestClock } from '../../../support/test-clock.ts'

export const intel: SimulatedIntel = new SimulatedIntel()
const YEAR_MS = 365 * 24 * 3600 * 1000

/** A SIMULATED Genoa whose CRL holds for 30 days around the time of the tests. */
export const genoa: SimulatedPlatform = await withCrl(simulatedPlatform())
const { root, intermediate, vek } = genoa
export const turin: SimulatedPlatform = await issueSimulatedPlatform(
  { root: root.key, intermediate: intermediate.key, vek: vek.key },
  { at: new Date(AT.getTime() - YEAR_MS), days: 3650, product: 'Turin' },
)

async function withCrl(platform: SimulatedPlatform): Promise<SimulatedPlatform> {
  return reissueCrl(platform, { thisUpdate: new Date('2026-06-01T00:00:00Z'), nextUpdate: new Date('2026-07-01T00:00:00Z') })
}

export function reportOf(platform: SimulatedPlatform, endorsements: readonly Uint8Array[] = []): Subject {
  const { report } = attest(platform, { reportData: new Uint8Array(64), measurement: new Uint8Array(48) })
  return { format: 'sev-snp', report, endorsements }
}

export const vcekOf = (platform: SimulatedPlatform): Question => ({
  kind: 'vcek',
  product: platform.product,
  hwId: toHex(platform.product === 'Turin' ? platform.chipId.subarray(0, 8) : platform.chipId),
  tcb: toHex(platform.tcb),
})
export const VCEK: string = nameOf(vcekOf(genoa))
export const CRL: Extract<Question, { kind: 'amd-crl' }> = { kind: 'amd-crl', signer: 'vcek', product: 'Genoa' }

/** A folder of collateral with its clock in the hands of the test; several services may be opened on it. */
export class CollateralWorld {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'sealgate-collateral-'))
  readonly clock: TestClock = new TestClock(AT.getTime() / 1000)
  readonly warnings: string[] = []
  readonly #opened: OpenCollateral[] = []

  async open(
    config: Partial<CollateralConfig>,
    trustAnchors: readonly Uint8Array[],
    more: { readonly disk?: CollateralDisk; readonly limits?: StoreLimits; readonly intelKey?: string; readonly ca?: string } = {},
  ): Promise<OpenCollateral['service']> {
    const { intelKey = null, ca = null, ...rest } = more
    const opened = await openCollateral({
      folder: this.folder,
      config: collateralSchema.parse({ fetch: true, ...config }),
      intelKey,
      ca,
      trustAnchors,
      clock: this.clock,
      random: () => 0.5,
      warn: ({ name, error }) => void this.warnings.push(`${name} ${error}`),
      ...rest,
    })
    this.#opened.push(opened)
    return opened.service
  }

  async end(): Promise<void> {
    for (const opened of this.#opened) await opened.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
