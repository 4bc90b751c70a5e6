import type { Policy } from '../documents/policy.ts'
import { type DcapRequirements, STRICT_TCB_STATUSES } from '../evidence/dcap/appraise.ts'
import type { NvidiaRequirements } from '../evidence/nvidia/appraise.ts'
import type { DeviceRequirements } from '../evidence/nvidia/requirements.ts'
import type { VerifyOptions } from '../evidence/types.ts'

/** What a verifier may let pass that its strict default refuses. */
export type Leniency = Pick<VerifyOptions, 'allowUnknown'> & Required<Pick<VerifyOptions, 'sevSnp' | 'tdx' | 'sgx' | 'nvidia'>>

/**
 * What policies agree to let pass. Every policy must hold, so it is what each of them accepts; without a policy nothing beyond
 * the strict default. What they ask *more* than that is for {@link appraisePolicy}, once evidence has verified.
 */
export function leniencyOf(policies: readonly Policy[]): Leniency {
  const appraisals = policies.map((policy) => policy.appraisal)
  const masked = appraisals.length > 0 && appraisals.every(({ sevSnp }) => sevSnp?.acceptMaskedChipId === true)
  return {
    allowUnknown: shared(appraisals.map((a) => a.allowUnknown)),
    sevSnp: masked ? { acceptMaskedChipId: true } : {},
    tdx: sharedTcb(appraisals.map((a) => a.tdx)),
    sgx: sharedTcb(appraisals.map((a) => a.sgx)),
    nvidia: sharedOfDevices(appraisals.map((a) => a.nvidia ?? {})),
  }
}

function sharedTcb(requirements: readonly (DcapRequirements | undefined)[]): DcapRequirements {
  if (requirements.length === 0) return {}
  return {
    acceptedTcbStatuses: shared(requirements.map((r) => r?.acceptedTcbStatuses ?? STRICT_TCB_STATUSES)),
    acceptedAdvisories: shared(requirements.map((r) => r?.acceptedAdvisories ?? [])),
  }
}

function sharedOfDevices(requirements: readonly DeviceRequirements[]): NvidiaRequirements {
  const held = requirements.length > 0 && requirements.every((r) => r.allowCertificateHold === true)
  return { allowedMismatches: shared(requirements.map((r) => r.allowedMismatches ?? [])), ...(held ? { allowCertificateHold: true } : {}) }
}

function shared<T>([first = [], ...rest]: readonly (readonly T[])[]): readonly T[] {
  return first.filter((value) => rest.every((list) => list.includes(value)))
}
