import type { Digest, SignatureScheme } from '../../crypto/types.ts'
import type { KeyKind } from '../../formats/spki.ts'

/** TPM_ALG_ID (TPM 2.0 Library part 2, table 9; TCG Algorithm Registry 1.34). */
export const ALG = {
  rsa: 0x0001,
  sha1: 0x0004,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  ecdsa: 0x0018,
  ecc: 0x0023,
} as const

/** A hash by its TPM name. */
export interface TpmHash {
  readonly id: number
  readonly name: 'sha1' | 'sha256' | 'sha384' | 'sha512'
  readonly size: number
  readonly digest: Digest
}

export const SHA1: TpmHash = { id: ALG.sha1, name: 'sha1', size: 20, digest: 'SHA-1' }
export const SHA256: TpmHash = { id: ALG.sha256, name: 'sha256', size: 32, digest: 'SHA-256' }

/** Hashes that structures may name. PCRs may be a bank of SHA-1; no signature is believed with it. */
const HASHES: readonly TpmHash[] = [
  SHA1,
  SHA256,
  { id: ALG.sha384, name: 'sha384', size: 48, digest: 'SHA-384' },
  { id: ALG.sha512, name: 'sha512', size: 64, digest: 'SHA-512' },
]

export function hashById(id: number): TpmHash | null {
  return HASHES.find((h) => h.id === id) ?? null
}

/** By the size of a PCR value: the banks that are read have different ones. */
export function hashBySize(size: number): TpmHash | null {
  return HASHES.find((h) => h.size === size) ?? null
}

export type SchemeName = 'rsassa' | 'rsapss' | 'ecdsa'

export function schemeById(id: number): SchemeName | null {
  return id === ALG.rsassa ? 'rsassa' : id === ALG.rsapss ? 'rsapss' : id === ALG.ecdsa ? 'ecdsa' : null
}

const RSA_SCHEMES = { rsassa: 'rsa-pkcs1', rsapss: 'rsa-pss' } as const
const RSA_HASHES = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' } as const

/** What the crypto backend calls a signature by this kind of key. Null: no such signature is trusted here. */
export function signatureScheme(kind: KeyKind, scheme: SchemeName, { digest }: TpmHash): SignatureScheme | null {
  if (digest === 'SHA-1') return null
  if (kind === 'rsa') return scheme === 'ecdsa' ? null : `${RSA_SCHEMES[scheme]}-${RSA_HASHES[digest]}`
  if (scheme !== 'ecdsa') return null
  if (kind === 'P-256') return digest === 'SHA-256' ? 'ecdsa-p256-sha256' : null
  return digest === 'SHA-384' ? 'ecdsa-p384-sha384' : null
}
