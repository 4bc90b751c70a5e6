import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import { PPCIE } from './layout.ts'
import type { GpuFields, SwitchFields } from './parse.ts'
import type { DeviceResult } from './verify.ts'

const WHOLE_SYSTEM = `${PPCIE.gpus} GPUs and ${PPCIE.switches} switches`

/**
 * Checks that the devices of one VM belong together: all different, in one mode, and in protected PCIe mode a whole system
 * of GPUs and switches whose reports name one another. Identities come from certificates, never from what a report says of
 * itself. Each device must have been verified by itself.
 */
export function verifyDeviceSet(results: readonly DeviceResult[]): readonly Check[] {
  const gpus = results.filter((r) => r.report.device.kind === 'gpu')
  const switches = results.filter((r) => r.report.device.kind === 'switch')
  const modes = [...new Set(gpus.map((r) => (r.report.device as GpuFields).mode))]
  const checks = [checkDistinct(results)]
  if (gpus.length > 0) checks.push(check('policy.one-mode', modes.length === 1, 'every GPU in the same mode', modes.join(', ')))
  const wired = switches.length > 0 || modes.includes('PPCIE')
  return wired ? [...checks, ...checkWiring(gpus, switches)] : checks
}

/** One device shown several times would pose as many. */
function checkDistinct(results: readonly DeviceResult[]): Check {
  const names = results.map((r) => (r.pdi === null ? null : `${r.report.device.kind} ${r.pdi}`))
  const leaves = results.map((r) => r.findings.chain?.certificates[0]?.spkiSha256)
  const distinct = new Set(names).size === results.length && new Set(leaves).size === results.length && !names.includes(null)
  return check(
    'binding.distinct-devices',
    distinct && results.length > 0,
    'devices that all differ',
    names.map((n) => n ?? 'no device id').join(', '),
  )
}

function checkWiring(gpus: readonly DeviceResult[], switches: readonly DeviceResult[]): readonly Check[] {
  const got = `${gpus.length} GPUs and ${switches.length} switches`
  const count = 'binding.device-count'
  const shown = [gpus.length === 0 || gpus.length === PPCIE.gpus, switches.length === 0 || switches.length === PPCIE.switches]
  if (shown.includes(false)) return [check(count, false, WHOLE_SYSTEM, got)]
  if (gpus.length === 0 || switches.length === 0) return [unknown(count, WHOLE_SYSTEM, got)]
  const [gpuPdis, switchPdis] = [pdisOf(gpus), pdisOf(switches)]
  const named = (results: readonly DeviceResult[], pick: (r: DeviceResult) => readonly string[], pdis: ReadonlySet<string>): boolean =>
    results.every((r) => sameMembers(pick(r), pdis))
  const gpusAgree = named(gpus, (r) => (r.report.device as GpuFields).switchPdis, switchPdis)
  const switchesAgree = named(switches, (r) => (r.report.device as SwitchFields).gpuPdis ?? [], gpuPdis)
  return [
    check(count, true, WHOLE_SYSTEM, got),
    check('binding.gpu-links', gpusAgree, 'every GPU is linked to exactly the switches shown', gpusAgree ? 'it is' : 'other switches'),
    check('binding.switch-links', switchesAgree, 'every switch serves exactly the GPUs shown', switchesAgree ? 'it does' : 'other GPUs'),
  ]
}

function pdisOf(results: readonly DeviceResult[]): ReadonlySet<string> {
  return new Set(results.map((r) => r.pdi ?? ''))
}

function sameMembers(list: readonly string[], set: ReadonlySet<string>): boolean {
  return new Set(list).size === set.size && list.every((item) => set.has(item))
}
