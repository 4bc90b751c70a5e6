import { AttestError } from '../../errors.ts'
import { check } from '../check.ts'
import type { JsonFields } from '../dcap/json-fields.ts'
import { type CpuFindings, type CpuService, debugOf, register } from './cpu.ts'

/** Where Intel runs its service: the rest of the world, and the European Union. */
const ISSUERS: readonly string[] = ['https://portal.trustauthority.intel.com', 'https://portal.eu.trustauthority.intel.com']

/**
 * Tokens of Intel Trust Authority (its documentation, "Attestation tokens"). Version 2 puts the claims of a TEE into a member of
 * its name, version 1 puts them beside the others.
 */
export const ITA: CpuService = {
  verifier: 'ita',
  algorithms: ['PS384', 'RS256'],
  read(claims) {
    const [tee, inner] = teeOf(claims)
    return tee === 'tdx' ? readTdx(claims, inner) : readSgx(claims, inner)
  },
  issuerCheck(issuer, wanted) {
    const fits = wanted === null ? ISSUERS.includes(issuer) : issuer === wanted
    return check('policy.issuer', fits, wanted ?? ISSUERS.join(' or '), issuer)
  },
}

function teeOf(claims: JsonFields): readonly ['tdx' | 'sgx', JsonFields] {
  for (const tee of ['tdx', 'sgx'] as const) {
    if (claims.has(tee)) return [tee, claims.fields(tee)]
  }
  const type = claims.text('attester_type')
  if (type === 'TDX') return ['tdx', claims]
  if (type === 'SGX') return ['sgx', claims]
  throw new AttestError('EVIDENCE_UNSUPPORTED', `attester_type ${type}`, { at: 'ita.claims' })
}

function readTdx(claims: JsonFields, inner: JsonFields): CpuFindings {
  return {
    tee: 'tdx',
    measurement: register(inner, 'tdx_mrtd', 48),
    reportData: register(inner, 'tdx_report_data', 64),
    debug: debugOf(inner, 'tdx_is_debuggable'),
    tcbStatus: inner.has('attester_tcb_status') ? inner.text('attester_tcb_status') : null,
    checks: [policyCheck(claims, inner)],
  }
}

function readSgx(claims: JsonFields, inner: JsonFields): CpuFindings {
  return {
    tee: 'sgx',
    measurement: register(inner, 'sgx_mrenclave', 32),
    reportData: register(inner, 'sgx_report_data', 64),
    debug: debugOf(inner, 'sgx_is_debuggable'),
    tcbStatus: inner.has('attester_tcb_status') ? inner.text('attester_tcb_status') : null,
    checks: [policyCheck(claims, inner)],
  }
}

/** The service makes a token although a policy that was asked about did not match; it says so beside the TEE's claims or among them. */
function policyCheck(...places: readonly JsonFields[]): ReturnType<typeof check> {
  const none = places.every((claims) => {
    const unmatched = claims.value('policy_ids_unmatched') ?? null
    return unmatched === null || (Array.isArray(unmatched) && unmatched.length === 0)
  })
  return check('policy.matched', none, 'no policy that did not match', none ? 'none' : 'some did not match')
}
