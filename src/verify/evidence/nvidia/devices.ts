import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { type KnownCertificate, loadCollateral } from '../collateral.ts'
import { type Forecast, joinForecasts } from '../forecast.ts'
import type { CommonClaims } from '../types.ts'
import type { DeviceClaims, DeviceParsed } from './claims.ts'
import { readDevices } from './evidence-list.ts'
import type { DeviceKind } from './layout.ts'
import { verifyDeviceSet } from './topology.ts'
import { type DeviceInput, type DeviceResult, verifyDevice } from './verify.ts'

/** What was read of several devices. */
export interface DevicesParsed {
  readonly devices: readonly DeviceParsed[]
}

/** What is proven of several devices. `reportData`: their nonces, one where all have the same. */
export interface DevicesClaims extends CommonClaims {
  readonly tee: DeviceClaims['tee']
  readonly devices: readonly DeviceClaims[]
}

export interface DevicesResult {
  readonly parsed: DeviceParsed | DevicesParsed
  readonly claims: DeviceClaims | DevicesClaims
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  forecast(): Promise<Forecast>
}

/** Of devices that are shown as a list, whatever their number. */
export interface DevicesFound extends DevicesResult {
  readonly parsed: DevicesParsed
  readonly claims: DevicesClaims
}

export interface DevicesInput extends Omit<DeviceInput, 'report' | 'certificates'> {
  /** A report, or the JSON that NVIDIA's tools make of one or many. */
  readonly evidence: Uint8Array
}

/**
 * Checks every device of the evidence, and for a list also that the devices belong together. A list is shown as
 * `devices`, its rules as `group.device-i.name`; one device alone as it is.
 */
export async function verifyDevices(input: DevicesInput): Promise<DevicesResult> {
  const { evidence, ...common } = input
  const devices = readDevices(evidence)
  const results: DeviceResult[] = []
  for (const [i, { kind, report, chain }] of devices.entries()) {
    const certificates = chain === null ? null : await loadChain(chain, `evidence_list[${i}].certificate`, input.cache)
    // In a list of both kinds each device is judged as what it is.
    const wanted: DeviceKind = devices.length === 1 ? input.kind : kind
    results.push(await verifyDevice({ ...common, kind: wanted, report, certificates }))
  }
  const [only] = results
  // Who shows one raw report asks about one device; a list, and a bundle, are asked whether their devices are all.
  if (only !== undefined && devices[0]?.chain === null) return new Single(only, [], [...only.notChecked, 'topology'])
  return only !== undefined && results.length === 1 ? new Single(only, verifyDeviceSet(results), only.notChecked) : joinDevices(results)
}

/** The certificates of a device as they are handed out: PEM, leaf first. */
export async function loadChain(bytes: Uint8Array, name: string, cache: VerifyCache): Promise<readonly KnownCertificate[]> {
  return (await loadCollateral([{ name, bytes }], cache)).certificates
}

/** Devices that were shown one by one, as the devices of one machine: numbered in this order, and what they are together. */
export function joinDevices(results: readonly DeviceResult[]): DevicesFound {
  return new Several(results, results.length === 0 ? [] : verifyDeviceSet(results))
}

class Single implements DevicesResult {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly #result: DeviceResult

  constructor(result: DeviceResult, together: readonly Check[], notChecked: readonly string[]) {
    this.#result = result
    this.checks = [...result.checks, ...together]
    this.notChecked = notChecked
  }

  get parsed(): DeviceParsed {
    return this.#result.parsed
  }

  get claims(): DeviceClaims {
    return this.#result.claims
  }

  forecast(): Promise<Forecast> {
    return this.#result.forecast()
  }
}

class Several implements DevicesFound {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[]
  readonly #results: readonly DeviceResult[]

  constructor(results: readonly DeviceResult[], together: readonly Check[]) {
    this.#results = results
    this.checks = [...results.flatMap((r, i) => ofDevice(i, r.checks)), ...together]
    this.notChecked = [...new Set(results.flatMap((r) => r.notChecked))]
  }

  get parsed(): DevicesParsed {
    return { devices: this.#results.map((r) => r.parsed) }
  }

  get claims(): DevicesClaims {
    const devices = this.#results.map((r) => r.claims)
    return {
      tee: devices.some((d) => d.tee === 'nvidia-gpu') ? 'nvidia-gpu' : 'nvidia-switch',
      measurement: null,
      reportData: [...new Set(devices.map((d) => d.reportData))].join(),
      debug: false,
      tcbStatus: 'not-applicable',
      simulated: devices.some((d) => d.simulated),
      devices,
    }
  }

  async forecast(): Promise<Forecast> {
    return joinForecasts(await Promise.all(this.#results.map((r) => r.forecast())))
  }
}

/** The same rules, named after the device that they are about. */
export function ofDevice(device: number, checks: readonly Check[]): readonly Check[] {
  return checks.map((c) => {
    const dot = c.rule.indexOf('.')
    return { ...c, rule: `${c.rule.slice(0, dot)}.device-${device}${c.rule.slice(dot)}` as Check['rule'] }
  })
}
