import { check, memberChecks } from '../evidence/check.ts'
import { checkRequirements } from '../evidence/nvidia/appraise.ts'
import type { DeviceClaims } from '../evidence/nvidia/claims.ts'
import { checkComparison } from '../evidence/nvidia/compare.ts'
import { ofDevice } from '../evidence/nvidia/devices.ts'
import type { DeviceRequirements } from '../evidence/nvidia/requirements.ts'
import type { Check } from '../verdict.ts'

/** GPUs that have proven what they are. */
export function countGpus(devices: readonly Pick<DeviceClaims, 'tee'>[]): number {
  return devices.filter(({ tee }) => tee === 'nvidia-gpu').length
}

/** The chip of each GPU as its BROM certificate names it, such as `GH100`. */
export function gpuModels(devices: readonly Pick<DeviceClaims, 'tee' | 'identity'>[]): readonly (string | null)[] {
  return devices.filter(({ tee }) => tee === 'nvidia-gpu').map(({ identity }) => identity?.hwmodel?.split(' ')[0] ?? null)
}

/**
 * What a policy asks of the devices of verified evidence, each by its number. What the strict default refuses is asked again,
 * since evidence may have been verified for somebody who lets more pass.
 */
export function appraiseDevices(devices: readonly DeviceClaims[], requirements: DeviceRequirements, at: Date): readonly Check[] {
  const { minimumGpus } = requirements
  const gpus = countGpus(devices)
  return [
    ...(minimumGpus === undefined ? [] : [check('policy.gpus', gpus >= minimumGpus, `at least ${minimumGpus}`, String(gpus))]),
    ...devices.flatMap((device, i) => ofDevice(i, appraiseDevice(device, requirements, at))),
  ]
}

function appraiseDevice(device: DeviceClaims, requirements: DeviceRequirements, at: Date): readonly Check[] {
  const { architectures, firmwareId, allowedMismatches = [] } = requirements
  return [
    ...checkRequirements(device, requirements),
    ...memberChecks('policy.architecture', architectures, device.identity?.arch ?? null),
    ...(firmwareId === undefined || device.kind !== 'gpu' ? [] : [namedFirmware(device)]),
    ...checkComparison(device.comparison, allowedMismatches),
    ...answerChecks(device, requirements, at),
  ]
}

function namedFirmware({ fwidInReport }: DeviceClaims): Check {
  return check('chain.firmware-id', fwidInReport !== null, 'a firmware id', fwidInReport ?? 'the report names none')
}

function answerChecks({ ocsp }: DeviceClaims, requirements: DeviceRequirements, at: Date): readonly Check[] {
  const { allowCertificateHold, maximumOcspAgeSeconds: limit } = requirements
  const held = ocsp.filter(({ status }) => status === 'revoked').map(({ certificate }) => certificate)
  const oldest = Math.min(...ocsp.map(({ thisUpdate }) => Date.parse(thisUpdate)))
  const age = Math.floor((at.getTime() - oldest) / 1000)
  return [
    ...(allowCertificateHold === true ? [] : [check('revocation.hold', held.length === 0, 'none on hold', held.join(', ') || 'none')]),
    ...(limit === undefined
      ? []
      : [check('freshness.ocsp', ocsp.length > 0 && age <= limit, `at most ${limit} s old`, ocsp.length === 0 ? 'none' : `${age} s old`)]),
  ]
}
