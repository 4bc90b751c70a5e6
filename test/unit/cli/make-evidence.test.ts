import { describe, expect, it } from 'vitest'
import { makeEvidence } from '../../../src/cli/make-evidence.ts'
import { simulatedAttester } from '../../../src/host/attesters/sim.ts'
import { createSimulatedTee, sevSnpTee } from '../../../src/sim/index.ts'
import { toHex } from '../../../src/verify/bytes/bytes.ts'
import { verifyBundle } from '../../../src/verify/verify-bundle.ts'
import { testBytes } from '../../support/keys.ts'
import { platform } from '../../support/receipt-builder.ts'
import { fakeAttester, fakeDevices } from '../host/fakes.ts'

const at = new Date('2026-06-01T00:00:00Z')
const tees = [sevSnpTee(platform), await createSimulatedTee('tdx', new Date('2026-05-31T00:00:00Z'))]
const measurement = testBytes('measurement', 48)
const nonce = testBytes('nonce', 32)

describe('evidence for a look', () => {
  it.each(tees)('of a simulated $format verifies, with the measurement, nonce and role that were told', async (tee) => {
    const attester = simulatedAttester(tee, measurement)
    const made = await makeEvidence({ attester, devices: null, role: 'broker', nonce })
    expect([made.measurement, made.nonce]).toEqual([toHex(measurement), toHex(nonce)])
    const collateral = tee.collateral === null ? [] : [tee.collateral]
    const options = { collateral, trustAnchors: [tee.root], at, role: 'broker', nonce, allowUnknown: [] } as const
    const verdict = await verifyBundle(made.bundle, options)
    expect(verdict).toMatchObject({ decision: 'accept', claims: { tee: tee.format, measurement: made.measurement, simulated: true } })
  })

  it('has a nonce and keys of its own each time', async () => {
    const make = (): ReturnType<typeof makeEvidence> => {
      const attester = simulatedAttester(sevSnpTee(platform), measurement)
      return makeEvidence({ attester, devices: fakeDevices(1), role: 'host', nonce: null })
    }
    const [first, second] = [await make(), await make()]
    expect(first.nonce).toMatch(/^[0-9a-f]{64}$/)
    expect(first.nonce).not.toBe(second.nonce)
    expect(first.bundle.devices[0]?.report).not.toEqual(second.bundle.devices[0]?.report)
  })

  it('tells no measurement of a format that only the verifier reads', async () => {
    const made = await makeEvidence({ attester: { ...fakeAttester, format: 'nitro' }, devices: null, role: 'host', nonce })
    expect(made).toMatchObject({ measurement: null, bundle: { cpu: { format: 'nitro' } } })
  })
})
