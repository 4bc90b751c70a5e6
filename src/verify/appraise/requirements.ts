import type { Requirements } from '../documents/requirements.ts'
import { appraiseTcb } from '../evidence/dcap/appraise.ts'
import { appraiseSnp } from '../evidence/sev-snp/appraise-claims.ts'
import { appraiseEnclave } from '../evidence/sgx/appraise.ts'
import { appraiseTd } from '../evidence/tdx/appraise.ts'
import type { Check } from '../verdict.ts'
import type { CpuClaims } from '../verify-format.ts'

/**
 * What a policy asks of the CPU's evidence by its kind. Requirements for other kinds are not asked; none is the strict default.
 * An Azure confidential VM is asked what the hardware under its paravisor is asked anywhere else: without it the VM proves nothing.
 */
export function appraiseRequirements(cpu: CpuClaims, requirements: Requirements): readonly Check[] {
  const { sevSnp = {}, tdx = {}, sgx = {} } = requirements
  switch (cpu.tee) {
    case 'sev-snp':
      return appraiseSnp(cpu, sevSnp)
    case 'tdx':
      return [appraiseTcb(cpu.tcb, tdx), ...appraiseTd(cpu, tdx)]
    case 'sgx':
      return [appraiseTcb(cpu.tcb, sgx), ...appraiseEnclave(cpu, sgx)]
    case 'nitro':
    case 'arm-cca':
    case 'arm-psa':
    case 'tpm':
      return []
    case 'azure-cvm':
      return cpu.hardware === null ? [] : appraiseRequirements(cpu.hardware, requirements)
  }
}
