import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import type { JsonFields } from '../dcap/json-fields.ts'
import { type CpuFindings, type CpuService, debugOf, flag, register } from './cpu.ts'

/** Every instance of the service, shared ones and those of customers. */
const ISSUER = /^https:\/\/[a-z0-9]{1,63}(\.[a-z0-9]{1,63}){1,2}\.attest\.azure\.net$/
const COMPLIANT = 'azure-compliant-cvm'

/**
 * Tokens of Microsoft Azure Attestation (its documentation, "Claim sets" and "Examples of an attestation token"). Whether the
 * evidence was looked at as the caller wants is up to the policy of the instance that signed, and anybody can have an instance.
 */
export const MAA: CpuService = {
  verifier: 'maa',
  algorithms: ['RS256'],
  read(claims) {
    // A guest's own token has the hardware's part in a member of its own.
    const isGuest = claims.text('x-ms-attestation-type') === 'azurevm'
    const inner = isGuest ? claims.fields('x-ms-isolation-tee') : claims
    const type = inner.text('x-ms-attestation-type')
    const read = Object.hasOwn(READERS, type) ? READERS[type] : undefined
    if (read === undefined) throw new AttestError('EVIDENCE_UNSUPPORTED', `x-ms-attestation-type ${type}`, { at: 'maa.claims' })
    return read(inner)
  },
  issuerCheck(issuer, wanted) {
    if (wanted !== null) return check('policy.issuer', issuer === wanted, wanted, issuer)
    const want = 'the instance that is trusted, by its name'
    return ISSUER.test(issuer) ? unknown('policy.issuer', want, `${issuer}, not asked for`) : check('policy.issuer', false, want, issuer)
  },
}

const READERS: Readonly<Partial<Record<string, (claims: JsonFields) => CpuFindings>>> = {
  sevsnpvm: (claims) => ({
    tee: 'sev-snp',
    measurement: register(claims, 'x-ms-sevsnpvm-launchmeasurement', 48),
    reportData: register(claims, 'x-ms-sevsnpvm-reportdata', 64),
    debug: flag(claims, 'x-ms-sevsnpvm-is-debuggable'),
    tcbStatus: 'not-applicable',
    checks: [complianceCheck(claims)],
  }),
  tdxvm: (claims) => ({
    tee: 'tdx',
    measurement: register(claims, 'tdx_mrtd', 48),
    reportData: register(claims, 'tdx_report_data', 64),
    debug: debugOf(claims, 'tdx_td_attributes_debug'),
    tcbStatus: claims.has('attester_tcb_status') ? claims.text('attester_tcb_status') : null,
    checks: [complianceCheck(claims)],
  }),
  sgx: (claims) => ({
    tee: 'sgx',
    measurement: register(claims, 'x-ms-sgx-mrenclave', 32),
    reportData: register(claims, 'x-ms-sgx-report-data', 64),
    debug: flag(claims, 'x-ms-sgx-is-debuggable'),
    tcbStatus: null,
    checks: [],
  }),
}

function complianceCheck(claims: JsonFields): Check {
  const status = claims.has('x-ms-compliance-status') ? claims.text('x-ms-compliance-status') : 'not said'
  return check('policy.compliance', status === COMPLIANT, COMPLIANT, status)
}
