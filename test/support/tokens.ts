import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { utf8 } from '../../src/verify/bytes/bytes.ts'
import { type EcKey, ecKey } from './cose.ts'

/** Signs JWTs as a service does, with a throwaway key. */
export interface TokenSigner {
  readonly alg: 'ES384' | 'RS256' | 'PS384'
  readonly kid: string
  readonly key: KeyObject
  /** The service's JWK set. */
  readonly jwks: Uint8Array
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }
type Members = Readonly<Record<string, Json | undefined>>

export function tokenSigner(alg: TokenSigner['alg'], kid = 'service-key'): TokenSigner {
  if (alg === 'ES384') {
    const made: EcKey = ecKey('P-384')
    return { alg, kid, key: made.privateKey, jwks: setOf({ ...made.jwk, kid }) }
  }
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { alg, kid, key: privateKey, jwks: setOf({ ...(publicKey.export({ format: 'jwk' }) as Record<string, Json>), kid, alg }) }
}

function setOf(jwk: Record<string, Json>): Uint8Array {
  return utf8(JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'AA' }, jwk] }))
}

/** @param header - Members beside or instead of the usual ones; `undefined` takes one out. */
export function jwt(claims: Members, signer: TokenSigner, header: Members = {}): string {
  const signed = [{ alg: signer.alg, kid: signer.kid, typ: 'JWT', ...header }, claims].map((part) => b64(JSON.stringify(part))).join('.')
  return `${signed}.${b64(signatureOf(utf8(signed), signer))}`
}

function signatureOf(data: Uint8Array, { alg, key }: TokenSigner): Uint8Array {
  if (alg === 'ES384') return sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' })
  if (alg === 'RS256') return sign('sha256', data, key)
  return sign('sha384', data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 })
}

export function b64(data: string | Uint8Array): string {
  return Buffer.from(data).toString('base64url')
}

export const TOKEN_AT: Date = new Date('2026-06-15T12:00:00Z')
const NOW = TOKEN_AT.getTime() / 1000
export const TIMES: { readonly iat: number; readonly nbf: number; readonly exp: number } = { iat: NOW - 10, nbf: NOW - 10, exp: NOW + 3600 }
export const EAT_NONCE: string = '5e'.repeat(32)
export const NRAS = 'https://nras.attestation.nvidia.com'

/** What NRAS's answer may be made to say instead. */
export interface EatWorld {
  readonly devices?: readonly string[]
  readonly overall?: Members
  readonly overallHeader?: Members
  readonly submodule?: (name: string, i: number) => Members
  readonly submoduleSigner?: TokenSigner
  /** After the digests were taken. */
  readonly detached?: (tokens: Readonly<Record<string, string>>) => Readonly<Record<string, string>>
  readonly submods?: (submods: Readonly<Record<string, Json>>) => Readonly<Record<string, Json>>
}

/** A detached EAT as NVIDIA's service makes them. */
export function detachedEat(signer: TokenSigner, world: EatWorld = {}): Uint8Array {
  const tokens = Object.fromEntries(
    (world.devices ?? ['GPU-0', 'GPU-1']).map((name, i) => [name, jwt(submodule(name, i, world), world.submoduleSigner ?? signer)]),
  )
  const digests = Object.entries(tokens).map(([name, token]): [string, Json] => [
    name,
    ['DIGEST', ['SHA-256', createHash('sha256').update(token).digest('hex')]],
  ])
  const submods = Object.fromEntries(digests)
  const overall = {
    iss: NRAS,
    sub: 'NVIDIA-PLATFORM-ATTESTATION',
    ...TIMES,
    eat_nonce: EAT_NONCE,
    'x-nvidia-ver': '3.0',
    'x-nvidia-overall-att-result': true,
    submods: world.submods?.(submods) ?? submods,
    ...world.overall,
  }
  return utf8(JSON.stringify([['JWT', jwt(overall, signer, world.overallHeader)], world.detached?.(tokens) ?? tokens]))
}

function submodule(name: string, i: number, { submodule: change }: EatWorld): Members {
  const kind = name.startsWith('GPU') ? 'gpu' : 'switch'
  return {
    iss: NRAS,
    ...TIMES,
    eat_nonce: EAT_NONCE,
    measres: 'success',
    dbgstat: 'disabled',
    secboot: true,
    ueid: `${1000 + i}`,
    hwmodel: 'GH100 A01 GSP BROM',
    [`x-nvidia-${kind}-attestation-report-nonce-match`]: true,
    [`x-nvidia-${kind}-attestation-report-signature-verified`]: true,
    [`x-nvidia-${kind}-attestation-report-cert-chain`]: { 'x-nvidia-cert-status': 'valid', 'x-nvidia-cert-ocsp-status': 'good' },
    ...change?.(name, i),
  }
}

/** Claims of Intel's service, version 2. */
export function itaClaims(tdx: Members = {}, more: Members = {}): Members {
  return {
    iss: 'https://portal.trustauthority.intel.com',
    ...TIMES,
    ver: '2.0.0',
    tdx: defined({
      attester_type: 'TDX',
      tdx_mrtd: 'a1'.repeat(48),
      tdx_report_data: 'd7'.repeat(64),
      tdx_is_debuggable: false,
      dbgstat: 'disabled',
      attester_tcb_status: 'UpToDate',
      ...tdx,
    }),
    ...more,
  }
}

export const MAA_ISSUER = 'https://sharedeus.eus.attest.azure.net'

/** Claims of Azure's service about an SEV-SNP guest. */
export function maaClaims(more: Members = {}): Members {
  return {
    iss: MAA_ISSUER,
    ...TIMES,
    'x-ms-attestation-type': 'sevsnpvm',
    'x-ms-compliance-status': 'azure-compliant-cvm',
    'x-ms-sevsnpvm-launchmeasurement': 'b2'.repeat(48),
    'x-ms-sevsnpvm-reportdata': 'd7'.repeat(64),
    'x-ms-sevsnpvm-is-debuggable': false,
    ...more,
  }
}

export function defined(members: Members): { readonly [name: string]: Json } {
  return JSON.parse(JSON.stringify(members)) as { readonly [name: string]: Json }
}
