import { beforeAll, describe, expect, it } from 'vitest'
import {
  attestDevices,
  createSimulatedDevices,
  createSimulatedNvidia,
  type DeviceEvidence,
  endorseDevices,
  type SimulatedDevices,
  type SimulatedNvidia,
} from '../../../../../src/sim/index.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { ANSWERED, evidenceList, look, MADE, NONCE, objections } from '../../../../support/nvidia.ts'

let nvidia: SimulatedNvidia
/** Two whole systems of eight GPUs and four switches, and two GPUs that need no switches. */
let [one, two, pair]: SimulatedDevices[] = []
let collateral: readonly Uint8Array[]
beforeAll(async () => {
  nvidia = await createSimulatedNvidia({ at: MADE })
  one = await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'PPCIE' })
  two = await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'PPCIE' })
  pair = await createSimulatedDevices(nvidia, { architecture: 'GB100', mode: 'MPT', gpus: 2 })
  collateral = [one, two, pair].flatMap((devices) => endorseDevices(nvidia, devices, ANSWERED))
}, 60_000)

/** Shared on purpose: nothing that it keeps may let an attack through. */
const cache = createVerifyCache()

function shown(devices: SimulatedDevices | undefined): readonly DeviceEvidence[] {
  if (devices === undefined) throw new Error('no devices')
  return attestDevices(devices, [NONCE])
}

async function rulesOf(list: readonly (DeviceEvidence | undefined)[]): Promise<readonly string[]> {
  const devices = list.filter((d) => d !== undefined)
  expect(devices).toHaveLength(list.length)
  return objections(await look({ nvidia }, evidenceList(devices), collateral, { cache }))
}

const gpus = (list: readonly DeviceEvidence[]): readonly DeviceEvidence[] => list.filter(({ type }) => type === 'gpu')
const switches = (list: readonly DeviceEvidence[]): readonly DeviceEvidence[] => list.filter(({ type }) => type === 'nvswitch')

describe('a simulated system of eight GPUs and four switches', () => {
  it('passes the strict default in any order, every device in its claims', async () => {
    const verdict = await look({ nvidia }, evidenceList(shown(one)), collateral, { cache })
    expect(objections(verdict)).toEqual([])
    expect(verdict.decision === 'accept' && 'devices' in verdict.claims && verdict.claims.devices).toHaveLength(12)
    expect(await rulesOf(shown(one).toReversed())).toEqual([])
  })

  it('does not count a GPU twice', async () => {
    const [first, , ...rest] = shown(one)
    expect(await rulesOf([first, first, ...rest])).toEqual(
      expect.arrayContaining(['binding.distinct-devices=fail', 'binding.switch-links=fail']),
    )
    const [again] = shown(one)
    expect(await rulesOf([first, again, ...rest])).toContain('binding.distinct-devices=fail')
    expect(await rulesOf([...shown(one), first])).toEqual(
      expect.arrayContaining(['binding.distinct-devices=fail', 'binding.device-count=fail']),
    )
  })

  it('does not count one switch four times', async () => {
    const [copy] = switches(shown(one))
    expect(await rulesOf([...gpus(shown(one)), copy, copy, copy, copy])).toEqual(
      expect.arrayContaining(['binding.distinct-devices=fail', 'binding.gpu-links=fail']),
    )
  })

  it('is not seven of eight, nor three of four, nor nine', async () => {
    const all = shown(one)
    for (let i = 0; i < all.length; i++)
      expect(await rulesOf(all.filter((_, k) => k !== i)), `without ${i}`).toEqual(['binding.device-count=fail'])
    expect(await rulesOf([...all, gpus(shown(two))[0]])).toEqual(['binding.device-count=fail'])
  })

  it('is unknown without its switches, and without its GPUs', async () => {
    expect(await rulesOf(gpus(shown(one)))).toEqual(['binding.device-count=unknown'])
    expect(await rulesOf(switches(shown(one)))).toEqual(['binding.device-count=unknown'])
  })

  it('does not take a GPU or a switch of another system', async () => {
    const [, ...rest] = shown(one)
    expect(await rulesOf([shown(two)[0], ...rest])).toEqual(['binding.gpu-links=fail', 'binding.switch-links=fail'])
    const all = shown(one)
    expect(await rulesOf([...all.slice(0, 11), shown(two)[11]])).toEqual(['binding.gpu-links=fail', 'binding.switch-links=fail'])
    expect(await rulesOf([...gpus(all), ...switches(shown(two))])).toEqual(['binding.gpu-links=fail', 'binding.switch-links=fail'])
  })

  it('is refused for one device with another nonce, by the name of that device', async () => {
    const list = attestDevices(
      one ?? { mode: 'PPCIE', gpus: [], switches: [] },
      Array.from({ length: 12 }, (_, i) => (i === 9 ? new Uint8Array(32) : NONCE)),
    )
    expect(await rulesOf(list)).toEqual(['freshness.device-9.nonce=fail'])
  })

  it('is refused for one device with the chain of another', async () => {
    const [a, b, ...rest] = shown(one)
    if (a === undefined || b === undefined) throw new Error('no devices')
    const crossed = [{ ...a, certificateChain: b.certificateChain }, { ...b, certificateChain: a.certificateChain }, ...rest]
    expect(await rulesOf(crossed)).toEqual(['signature.device-0.report=fail', 'signature.device-1.report=fail'])
  })
})

describe('GPUs that need no switches', () => {
  it('pass together where all differ', async () => {
    expect(await rulesOf(shown(pair))).toEqual([])
    const [first] = shown(pair)
    expect(await rulesOf([first, first])).toEqual(['binding.distinct-devices=fail'])
  })

  it('are all in one mode', async () => {
    const single = await createSimulatedDevices(nvidia, { architecture: 'GB100', mode: 'SPT' })
    const more = endorseDevices(nvidia, single, ANSWERED)
    const [other] = shown(single)
    const [first] = shown(pair)
    if (first === undefined || other === undefined) throw new Error('no devices')
    const verdict = await look({ nvidia }, evidenceList([first, other]), [...collateral, ...more])
    expect(objections(verdict)).toEqual(['policy.one-mode=fail'])
  })
})
