import { crypto } from '#crypto'
import { equal, fromHex, fromUtf8, toHex, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { check, instant } from '../check.ts'
import { isJsonObject, type JsonValue, parseStrictJson } from '../dcap/json.ts'
import type { JsonFields } from '../dcap/json-fields.ts'
import { checkSpan } from '../windows.ts'
import type { SubmoduleFields, TokenParsed } from './claims.ts'
import { type Jwt, MAX_JWT_SIZE, parseJwt, windowOf } from './jwt.ts'
import { type Signers, signatureCheck } from './signer.ts'
import type { TokenInput, TokenResult } from './types.ts'

const ISSUER = 'https://nras.attestation.nvidia.com'
const SUBJECT = 'NVIDIA-PLATFORM-ATTESTATION'
const VERSIONS: readonly string[] = ['2.0', '3.0']
const MAX_SUBMODULES = 64
const MAX_EAT_SIZE = MAX_SUBMODULES * MAX_JWT_SIZE
const SUBMODULE_NAME = /^(GPU|SWITCH)-\d{1,3}$/
const NONCE_SIZE = 32
const SHA256_SIZE = 32
const AT = 'nras'

/** What certificate chains inside of a device's claims must say (claims of version 3.0). */
const GOOD: Readonly<Record<string, string>> = { 'x-nvidia-cert-status': 'valid', 'x-nvidia-cert-ocsp-status': 'good' }

/** A detached EAT: one token about the whole, which names one about each device by its digest. */
interface DetachedEat {
  readonly overall: Jwt
  readonly submodules: readonly (readonly [name: string, jwt: Jwt])[]
}

/**
 * Checks what NVIDIA's remote attestation service said. It signs its answer to failed attestations too, so the signature is the
 * least of it: the overall result must be true, and every device must have passed on its own, with the nonce of the whole.
 * @throws AttestError for bytes that are no detached EAT.
 */
export async function verifyNras(input: TokenInput): Promise<TokenResult> {
  const { keys, now, nonce, measurement, requirements, cache } = input
  const { overall, submodules } = parseDetachedEat(input.token)
  const { claims } = overall
  const signers: Signers = { keys, algorithms: ['ES384'] }
  const eatNonce = claims.hex('eat_nonce', NONCE_SIZE)
  const window = windowOf(overall)
  const devices = submodules.map(([name, jwt]) => describeSubmodule(name, jwt.claims))
  const issuers = [overall, ...submodules.map(([, jwt]) => jwt)].map((jwt) => jwt.claims.text('iss'))
  const wantedIssuer = requirements.issuer ?? ISSUER
  const stranger = issuers.find((issuer) => issuer !== wantedIssuer)
  const checks: Check[] = [
    check(
      'format.token',
      isKnownForm(claims),
      `${SUBJECT} ${VERSIONS.join(' or ')}`,
      `${claims.text('sub')} ${claims.text('x-nvidia-ver')}`,
    ),
    await signatureCheck('signature.token', [['overall', overall]], signers, cache),
    await digestCheck(claims.fields('submods'), submodules),
    await signatureCheck('signature.submodules', submodules, signers, cache),
    checkSpan('validity.token', window.notBefore, window.notAfter, now),
    ...submodules.map(([name, jwt]) => {
      const own = windowOf(jwt)
      return checkSpan(`validity.${ruleOf(name)}`, own.notBefore, own.notAfter, now)
    }),
    check('policy.issuer', stranger === undefined, wantedIssuer, stranger ?? wantedIssuer),
    check(
      'policy.overall-result',
      claims.value('x-nvidia-overall-att-result') === true,
      'true',
      said(claims.value('x-nvidia-overall-att-result')),
    ),
    ...submodules.flatMap(([name, jwt]) => submoduleChecks(name, jwt.claims, eatNonce)),
    distinctCheck(devices),
  ]
  if (nonce !== null) checks.push(check('freshness.nonce', equal(nonce, eatNonce), toHex(nonce), toHex(eatNonce)))
  if (measurement !== null) checks.push(check('reference-values.measurement', false, toHex(measurement), 'a GPU has none'))
  const { deviceCount } = requirements
  if (deviceCount !== undefined)
    checks.push(check('policy.device-count', devices.length === deviceCount, `${deviceCount}`, `${devices.length}`))
  const parsed: TokenParsed = {
    verifier: 'nras',
    issuer: claims.text('iss'),
    issuedAt: instant(window.notBefore),
    expires: instant(window.notAfter + 1),
    submodules: devices,
  }
  const isSwitch = devices.every(({ name }) => name.startsWith('SWITCH-'))
  return {
    parsed,
    claims: {
      tee: isSwitch ? 'nvidia-switch' : 'nvidia-gpu',
      measurement: null,
      reportData: toHex(eatNonce),
      debug: devices.some((d) => d.debugStatus !== 'disabled'),
      tcbStatus: 'not-applicable',
      simulated: false,
      ...parsed,
    },
    checks,
    notChecked: deviceCount === undefined ? ['device count'] : [],
    forecast: () => ({ expiries: [{ what: 'leaf', name: 'overall token', expires: instant(window.notAfter + 1) }], early: null }),
  }
}

function isKnownForm(claims: JsonFields): boolean {
  return claims.text('sub') === SUBJECT && VERSIONS.includes(claims.text('x-nvidia-ver'))
}

/** [["JWT", overall], {name: token}]. @throws AttestError `JSON_MALFORMED`, `JWS_MALFORMED`, `DOCUMENT_INVALID`, `LIMIT_EXCEEDED`. */
export function parseDetachedEat(input: Uint8Array): DetachedEat {
  if (input.length > MAX_EAT_SIZE) throw new AttestError('LIMIT_EXCEEDED', `larger than ${MAX_EAT_SIZE} bytes`, { at: AT })
  const document = parseStrictJson(fromUtf8(input), AT)
  const [head, detached] = listOf(document, 2)
  const [kind, token] = listOf(head, 2)
  if (kind !== 'JWT' || typeof token !== 'string') throw new AttestError('DOCUMENT_INVALID', 'want ["JWT", token]', { at: AT })
  if (!isJsonObject(detached)) throw new AttestError('DOCUMENT_INVALID', 'want an object of tokens', { at: AT })
  const entries = [...detached.members]
  if (entries.length === 0 || entries.length > MAX_SUBMODULES)
    throw new AttestError('DOCUMENT_INVALID', `want 1 to ${MAX_SUBMODULES} submodules`, { at: AT })
  const submodules = entries.map(([name, text]) => {
    if (!SUBMODULE_NAME.test(name) || typeof text !== 'string')
      throw new AttestError('DOCUMENT_INVALID', 'want GPU-n or SWITCH-n and a token', { at: AT })
    return [name, parseJwt(text, `${AT}.${name}`)] as const
  })
  return { overall: parseJwt(token, `${AT}.overall`), submodules }
}

function listOf(value: JsonValue | undefined, size: number): readonly JsonValue[] {
  if (!Array.isArray(value) || value.length !== size) throw new AttestError('DOCUMENT_INVALID', `want a list of ${size}`, { at: AT })
  return value as readonly JsonValue[]
}

/** Every device that the signed whole names, no other one, each by the SHA-256 of its token's text. */
async function digestCheck(named: JsonFields, submodules: DetachedEat['submodules']): Promise<Check> {
  const want = `exactly the devices that the token names: ${named.names.join(', ')}`
  const missing = named.names.find((name) => !submodules.some(([other]) => other === name))
  if (missing !== undefined) return check('signature.digests', false, want, `${missing} is missing`)
  for (const [name, jwt] of submodules) {
    const digest = await crypto.digestHex('SHA-256', utf8(jwt.text))
    if (!named.has(name) || digestOf(named.value(name)) !== digest)
      return check('signature.digests', false, want, `${name} is not the one that was named`)
  }
  return check('signature.digests', true, want, `${submodules.length} digests match`)
}

/** ["DIGEST", ["SHA-256", hex]]; null for anything else. */
function digestOf(value: JsonValue | undefined): string | null {
  const [kind, digest] = listOf(value, 2)
  const [algorithm, hex] = listOf(digest, 2)
  const fits = kind === 'DIGEST' && algorithm === 'SHA-256' && typeof hex === 'string' && hex.length === 2 * SHA256_SIZE
  return fits ? toHex(fromHex(hex)) : null
}

/** The service's word about one device: result, debugging, nonce, and no single finding that is false. */
function submoduleChecks(name: string, claims: JsonFields, nonce: Uint8Array): readonly Check[] {
  const kind = name.startsWith('GPU-') ? 'gpu' : 'switch'
  const nonceMatch = claims.value(`x-nvidia-${kind}-attestation-report-nonce-match`)
  const own = claims.value('eat_nonce')
  const isFresh = own === toHex(nonce) && nonceMatch === true
  const fault = faultOf(claims, '')
  const result = textOf(claims, 'measres')
  const debug = textOf(claims, 'dbgstat')
  return [
    check(
      `policy.${ruleOf(name)}`,
      result === 'success' && fault === null,
      'measres success, no finding false',
      fault ?? `measres ${result}`,
    ),
    check(`debug.${ruleOf(name)}`, debug === 'disabled', 'dbgstat disabled', `dbgstat ${debug}`),
    check(
      `freshness.${ruleOf(name)}`,
      isFresh,
      `nonce of the whole, found in the report: ${toHex(nonce)}`,
      `${textOf(claims, 'eat_nonce')}, match ${said(nonceMatch)}`,
    ),
  ]
}

/** The first finding that speaks against a device, in it or in the certificate chains inside of it. */
function faultOf(claims: JsonFields, prefix: string): string | null {
  for (const name of claims.names) {
    const value = claims.value(name)
    if (value === false || name === 'x-nvidia-error-details') return `${prefix}${name}`
    if (Object.hasOwn(GOOD, name) && value !== GOOD[name]) return `${prefix}${name} ${said(value)}`
    const inner = isJsonObject(value) ? faultOf(claims.fields(name), `${name}.`) : null
    if (inner !== null) return inner
  }
  return null
}

/** One device that is shown twice is one device. */
function distinctCheck(devices: readonly SubmoduleFields[]): Check {
  const ids = new Set(devices.map((d) => d.ueid))
  return check('policy.distinct-devices', !ids.has(null) && ids.size === devices.length, `${devices.length} different ueid`, `${ids.size}`)
}

function describeSubmodule(name: string, claims: JsonFields): SubmoduleFields {
  const kind = name.startsWith('GPU-') ? 'gpu' : 'switch'
  return {
    name,
    result: textOf(claims, 'measres'),
    debugStatus: textOf(claims, 'dbgstat'),
    hwmodel: textOf(claims, 'hwmodel'),
    ueid: textOf(claims, 'ueid'),
    driverVersion: textOf(claims, 'x-nvidia-gpu-driver-version'),
    vbiosVersion: textOf(claims, kind === 'gpu' ? 'x-nvidia-gpu-vbios-version' : 'x-nvidia-switch-bios-version'),
  }
}

/** `GPU-0` as rules are spelled. */
function ruleOf(name: string): string {
  return name.toLowerCase()
}

/** A value in words, whatever it is. */
function said(value: JsonValue | undefined): string {
  return typeof value === 'object' && value !== null ? 'a list or an object' : `${value}`
}

/** Null where the service says nothing or no text. */
function textOf(claims: JsonFields, name: string): string | null {
  const value = claims.value(name)
  return typeof value === 'string' ? value : null
}
