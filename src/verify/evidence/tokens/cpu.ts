import { concat, equal, toHex, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check, instant, unknown } from '../check.ts'
import type { JsonFields } from '../dcap/json-fields.ts'
import { checkSpan } from '../windows.ts'
import type { TokenClaims, TokenParsed, TokenVerifier } from './claims.ts'
import { parseJwt, windowOf } from './jwt.ts'
import { type Signers, signatureCheck, type TokenAlgorithm } from './signer.ts'
import type { TokenInput, TokenResult } from './types.ts'

/** What a service says of a CPU TEE, in one form for all services. */
export interface CpuFindings {
  readonly tee: Extract<TokenClaims['tee'], 'tdx' | 'sgx' | 'sev-snp'>
  /** Hexadecimal. */
  readonly measurement: string
  readonly reportData: string
  /** Null where the token does not say: unknown. */
  readonly debug: boolean | null
  /** The service's word; null where it gives none; `not-applicable` where the TEE has no such word. */
  readonly tcbStatus: string | null
  /** More of the service's own rules. */
  readonly checks: readonly Check[]
}

/** A service whose tokens are plain JWTs about one CPU TEE. */
export interface CpuService {
  readonly verifier: TokenVerifier
  readonly algorithms: readonly TokenAlgorithm[]
  /** @throws AttestError `DOCUMENT_INVALID`, `EVIDENCE_UNSUPPORTED`. */
  read(claims: JsonFields): CpuFindings
  issuerCheck(issuer: string, wanted: string | null): Check
}

const REPORT_DATA_SIZE = 64

/**
 * Checks a JWT of a service that verified a CPU TEE: signer, time, issuer, then what the service says. Its word is all there is:
 * a token that says nothing of debugging or of the TCB leaves that unknown.
 */
export async function verifyCpuToken(service: CpuService, input: TokenInput): Promise<TokenResult> {
  const { keys, now, nonce, measurement, requirements, cache } = input
  const jwt = parseJwt(textOf(input.token), service.verifier)
  const { claims } = jwt
  const signers: Signers = { keys, algorithms: service.algorithms }
  const window = windowOf(jwt)
  const issuer = claims.text('iss')
  const found = service.read(claims)
  const { tee, reportData, tcbStatus } = found
  const checks = [
    check('format.token', true, 'JWT about a CPU TEE', tee),
    await signatureCheck('signature.token', [['token', jwt]], signers, cache),
    checkSpan('validity.token', window.notBefore, window.notAfter, now),
    service.issuerCheck(issuer, requirements.issuer ?? null),
    found.debug === null
      ? unknown('debug.token', 'not debuggable', 'not said')
      : check('debug.token', !found.debug, 'not debuggable', `${found.debug}`),
    tcbCheck(tcbStatus),
    ...found.checks,
  ]
  if (nonce !== null) checks.push(nonceCheck(nonce, reportData))
  if (measurement !== null)
    checks.push(check('reference-values.measurement', toHex(measurement) === found.measurement, toHex(measurement), found.measurement))
  const parsed: TokenParsed = {
    verifier: service.verifier,
    issuer,
    issuedAt: instant(window.notBefore),
    expires: instant(window.notAfter + 1),
    submodules: [],
  }
  return {
    parsed,
    claims: {
      tee,
      measurement: found.measurement,
      reportData,
      debug: found.debug !== false,
      tcbStatus: tcbStatus ?? 'unknown',
      simulated: false,
      ...parsed,
    },
    checks,
    notChecked: [],
    forecast: () => ({ expiries: [{ what: 'leaf', name: 'token', expires: instant(window.notAfter + 1) }], early: null }),
  }
}

function textOf(token: Uint8Array): string {
  if (token.some((b) => b > 0x7e)) throw new AttestError('JWS_MALFORMED', 'not a JWT', { at: 'token' })
  return new TextDecoder().decode(token).trim()
}

function tcbCheck(status: string | null): Check {
  const want = 'UpToDate'
  if (status === null) return unknown('tcb.status', want, 'not said')
  return check('tcb.status', status === want || status === 'not-applicable', want, status)
}

/** As of the structure itself: shorter is zero-padded on the right. */
function nonceCheck(nonce: Uint8Array, reportData: string): Check {
  const fits = nonce.length <= REPORT_DATA_SIZE
  const want = fits ? concat(nonce, new Uint8Array(REPORT_DATA_SIZE - nonce.length)) : nonce
  return check('freshness.nonce', equal(utf8(toHex(want)), utf8(reportData)), toHex(want), reportData)
}

/** A register of the structure in lower-case hexadecimal. */
export function register(claims: JsonFields, name: string, sizeBytes: number): string {
  return toHex(claims.hex(name, sizeBytes))
}

/** Null for a claim that is absent or no boolean. */
export function flag(claims: JsonFields, name: string): boolean | null {
  const value = claims.value(name)
  return typeof value === 'boolean' ? value : null
}

/** One flag decides where both words about debugging are there and differ. */
export function debugOf(claims: JsonFields, name: string): boolean | null {
  const status = claims.has('dbgstat') ? claims.text('dbgstat') : null
  const debuggable = flag(claims, name)
  if (status === null) return debuggable
  const disabled = DISABLED.includes(status)
  return debuggable === null ? !disabled : debuggable || !disabled
}

/** RFC 9711 section 4.2.9: every word but `enabled`. */
const DISABLED: readonly string[] = ['disabled', 'disabled-since-boot', 'disabled-permanently', 'disabled-fully-and-permanently']
