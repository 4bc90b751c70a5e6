import type { Requirements } from '../documents/requirements.ts'
import { appraiseTcb } from '../evidence/dcap/appraise.ts'
import { appraiseSnp } from '../evidence/sev-snp/appraise-claims.ts'
import { appraiseEnclave } from '../evidence/sgx/appraise.ts'
import { appraiseTd } from '../evidence/tdx/appraise.ts'
import type { Check } from '../verdict.ts'
import type { EvidenceClaims } from '../verify-evidence.ts'

/** What a policy asks of the CPU's evidence by its kind. Requirements for other kinds are not asked; none is the strict default. */
export function appraiseRequirements(cpu: EvidenceClaims, { sevSnp = {}, tdx = {}, sgx = {} }: Requirements): readonly Check[] {
  switch (cpu.tee) {
    case 'sev-snp':
      return appraiseSnp(cpu, sevSnp)
    case 'tdx':
      return [appraiseTcb(cpu.tcb, tdx), ...appraiseTd(cpu, tdx)]
    case 'sgx':
      return [appraiseTcb(cpu.tcb, sgx), ...appraiseEnclave(cpu, sgx)]
    default:
      return []
  }
}
