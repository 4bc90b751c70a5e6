import { equal, toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check, memberChecks } from '../check.ts'
import type { DeviceChain } from './chain.ts'
import type { DeviceKind, Mode } from './layout.ts'
import type { OcspPolicy } from './ocsp.ts'
import type { DeviceReport } from './parse.ts'

/** Rules that a caller may add to the default, or take from it by name. */
export interface NvidiaRequirements {
  /** Lowest driver version, such as `550.90.07`. */
  readonly minimumDriver?: string
  /** Lowest vBIOS version of a GPU, or BIOS version of a switch, such as `96.00.9F.00.01`. */
  readonly minimumVbios?: string
  /** Driver, vBIOS and BIOS versions that are refused. */
  readonly deniedVersions?: readonly string[]
  /** Modes of which a GPU must be in one. */
  readonly modes?: readonly Mode[]
  /** True: the report must name the firmware id. False: it need not, whatever the driver. Default: from driver 550 on. */
  readonly firmwareId?: boolean
  /** Indices whose measurement may differ from the manifests. */
  readonly allowedMismatches?: readonly number[]
  /** A signer of manifests whose certificate is on hold counts. Certificates of devices never do. */
  readonly allowCertificateHold?: true
  readonly ocsp?: OcspPolicy
}

/** Reports of drivers from this one on name the firmware id. */
const FWID_SINCE = 550

/**
 * Firmware id of the leaf against that of the report: the key that signed was made for the firmware that runs. Older drivers
 * do not report it, and switches never do.
 */
export function checkFirmwareId({ device }: DeviceReport, { fwid }: DeviceChain, required: boolean | undefined): readonly Check[] {
  const rule = 'chain.firmware-id'
  if (device.fwid === null) {
    const due = device.kind === 'gpu' && (required ?? !(Number.parseInt(device.driverVersion, 10) < FWID_SINCE))
    return due ? [check(rule, false, 'a firmware id', 'the report names none')] : []
  }
  const want = `firmware id of the report: ${toHex(device.fwid)}`
  if (fwid === null || fwid instanceof AttestError) return [check(rule, false, want, fwid?.message ?? 'the leaf names none')]
  return [check(rule, equal(fwid.digest, device.fwid), want, toHex(fwid.digest))]
}

export function checkNonce({ requestNonce }: DeviceReport, nonce: Uint8Array): Check {
  return check('freshness.nonce', equal(nonce, requestNonce), toHex(nonce), toHex(requestNonce))
}

/** What a device says of itself, of which only its kind has the rest. */
export interface DeviceVersions {
  readonly kind: DeviceKind
  readonly driverVersion?: string
  readonly vbiosVersion?: string
  readonly biosVersion?: string
  readonly mode?: Mode
}

/** What was asked for beyond the report's being genuine and as published. */
export function checkRequirements(device: DeviceVersions, requirements: NvidiaRequirements): readonly Check[] {
  const { minimumDriver, minimumVbios, deniedVersions } = requirements
  const checks: Check[] = []
  const { kind, driverVersion = '', vbiosVersion = '', biosVersion = '' } = device
  const firmware = kind === 'gpu' ? vbiosVersion : biosVersion
  const versions = kind === 'gpu' ? [driverVersion, firmware] : [firmware]
  if (minimumDriver !== undefined && kind === 'gpu') checks.push(checkFloor('tcb.driver', driverVersion, minimumDriver, 10))
  if (minimumVbios !== undefined) checks.push(checkFloor('tcb.vbios', firmware, minimumVbios, 16))
  if (deniedVersions !== undefined) {
    const denied = versions.filter((version) => deniedVersions.includes(version))
    const want = `none of ${deniedVersions.join(', ')}`
    checks.push(check('tcb.denied-versions', denied.length === 0, want, denied.length === 0 ? versions.join(', ') : denied.join(', ')))
  }
  if (kind === 'gpu') checks.push(...memberChecks('policy.mode', requirements.modes, device.mode ?? null))
  return checks
}

function checkFloor(rule: Check['rule'], version: string, floor: string, radix: 10 | 16): Check {
  return check(rule, isAtLeast(version, floor, radix), `${floor} or later`, version)
}

/** Dotted numbers, part by part; false for anything that is none. */
export function isAtLeast(version: string, floor: string, radix: 10 | 16): boolean {
  const digits = radix === 10 ? /^\d{1,6}$/ : /^[0-9A-Fa-f]{1,6}$/
  const [have, need] = [version, floor].map((text) =>
    text.split('.').map((part) => (digits.test(part) ? Number.parseInt(part, radix) : Number.NaN)),
  )
  if (have === undefined || need === undefined || [...have, ...need].some(Number.isNaN)) return false
  for (const [i, part] of need.entries()) {
    if ((have[i] ?? 0) !== part) return (have[i] ?? 0) > part
  }
  return true
}
