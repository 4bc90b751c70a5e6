import { describe, expect, it } from 'vitest'
import { verifyDeviceSet } from '../../../../../src/verify/evidence/nvidia/topology.ts'
import type { DeviceResult } from '../../../../../src/verify/evidence/nvidia/verify.ts'

const id = (kind: string, i: number): string => `${kind === 'gpu' ? 'aa' : 'bb'}${i.toString(16).padStart(14, '0')}`
const all = (kind: string, n: number): string[] => Array.from({ length: n }, (_, i) => id(kind, i))

function device(fields: object, pdi: string | null, leaf = `key of ${pdi}`): DeviceResult {
  return { pdi, report: { device: fields }, findings: { chain: { certificates: [{ spkiSha256: leaf }] } } } as unknown as DeviceResult
}
const gpu = (i: number, mode = 'PPCIE', switchPdis = all('switch', 4)): DeviceResult =>
  device({ kind: 'gpu', mode, switchPdis }, id('gpu', i))
const nvswitch = (i: number, gpuPdis: readonly string[] | null = all('gpu', 8)): DeviceResult =>
  device({ kind: 'switch', gpuPdis }, id('switch', i))
const gpus = Array.from({ length: 8 }, (_, i) => gpu(i))
const switches = Array.from({ length: 4 }, (_, i) => nvswitch(i))

const troubles = (devices: readonly DeviceResult[]): readonly string[] =>
  verifyDeviceSet(devices)
    .filter((c) => c.outcome !== 'pass')
    .map((c) => `${c.rule}=${c.outcome}`)

describe('a set of devices', () => {
  it('that is a whole system passes, in any order', () => {
    expect(troubles([...gpus, ...switches])).toEqual([])
    expect(troubles([...switches, ...gpus.toReversed()])).toEqual([])
  })

  it('of Blackwell GPUs in one mode needs no switches', () => expect(troubles([gpu(0, 'MPT', []), gpu(1, 'MPT', [])])).toEqual([]))
  it('of none proves nothing', () => expect(troubles([])).toEqual(['binding.distinct-devices=fail']))

  it.each([
    ['without switches', gpus, ['binding.device-count=unknown']],
    ['of switches alone', switches, ['binding.device-count=unknown']],
    ['with seven GPUs', [...gpus.slice(1), ...switches], ['binding.device-count=fail']],
    ['with nine GPUs', [...gpus, gpu(8), ...switches], ['binding.device-count=fail']],
    ['with three switches', [...gpus, ...switches.slice(1)], ['binding.device-count=fail']],
    ['with one GPU twice', [...gpus.slice(1), gpu(1), ...switches], ['binding.distinct-devices=fail', 'binding.switch-links=fail']],
    [
      'with one switch four times',
      [...gpus, nvswitch(0), nvswitch(0), nvswitch(0), nvswitch(0)],
      ['binding.distinct-devices=fail', 'binding.gpu-links=fail'],
    ],
    ['with a GPU of another system', [...gpus.slice(1), gpu(9), ...switches], ['binding.switch-links=fail']],
    ['with a switch of another system', [...gpus, ...switches.slice(1), nvswitch(9)], ['binding.gpu-links=fail']],
    ['with a GPU that is linked elsewhere', [gpu(0, 'PPCIE', all('switch', 3)), ...gpus.slice(1), ...switches], ['binding.gpu-links=fail']],
    [
      'with a switch that serves a GPU twice',
      [...gpus, nvswitch(0, [...all('gpu', 7), id('gpu', 0)]), ...switches.slice(1)],
      ['binding.switch-links=fail'],
    ],
    ['with a switch that names no GPU', [...gpus, nvswitch(0, null), ...switches.slice(1)], ['binding.switch-links=fail']],
    ['of two modes', [gpu(0, 'MPT'), gpu(1, 'SPT')], ['policy.one-mode=fail']],
    ['with a GPU of another mode', [gpu(0, 'SPT'), ...gpus.slice(1), ...switches], ['policy.one-mode=fail']],
    [
      'with a device whose certificate names no id',
      [gpu(0, 'MPT', []), device({ kind: 'gpu', mode: 'MPT', switchPdis: [] }, null)],
      ['binding.distinct-devices=fail'],
    ],
    [
      'with two names for one key',
      [gpu(0, 'MPT'), device({ kind: 'gpu', mode: 'MPT', switchPdis: [] }, id('gpu', 5), `key of ${id('gpu', 0)}`)],
      ['binding.distinct-devices=fail'],
    ],
  ])('%s is not whole', (_, devices, rules) => {
    expect(troubles(devices)).toEqual(rules)
  })
})
