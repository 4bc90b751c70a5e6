import { crypto } from '#crypto'
import { concat } from '../../bytes/bytes.ts'
import { ecSpki, rsaSpki } from '../../formats/spki.ts'
import { ALG, hashById, type SchemeName, schemeById, type TpmHash } from './algorithms.ts'
import { TpmReader } from './reader.ts'

/** TPMA_OBJECT (TPM 2.0 Library part 2, table 31): bits by name. */
export const OBJECT_BIT = {
  fixedTPM: 1,
  stClear: 2,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  userWithAuth: 6,
  adminWithPolicy: 7,
  noDA: 10,
  encryptedDuplication: 11,
  restricted: 16,
  decrypt: 17,
  sign: 18,
} as const

export type ObjectAttribute = keyof typeof OBJECT_BIT

/** TPMT_PUBLIC of a signing key. */
export interface TpmPublic {
  /** The bytes that the key's name is a hash of. */
  readonly raw: Uint8Array
  readonly nameHash: TpmHash
  readonly attributes: number
  /** Null: the key signs with any scheme. */
  readonly scheme: { readonly name: SchemeName; readonly hash: TpmHash } | null
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
}

const MAX_POLICY = 64
const MAX_MODULUS = 512
const MAX_COORDINATE = 66
const MAX_SIZE = 1024
/** Exponent zero stands for 2^16 + 1 (part 2, section 12.2.3.5). */
const DEFAULT_EXPONENT = 65537
const KDF_SCHEMES: readonly number[] = [0x0007, 0x0020, 0x0021, 0x0022]
const CURVES: Readonly<Record<number, 'P-256' | 'P-384'>> = { 3: 'P-256', 4: 'P-384' }

/** True for bytes that begin as the public area of an RSA or ECC key, with or without a TPM2B size in front. */
export function looksLikePublic(bytes: Uint8Array): boolean {
  return isPublic(bytes) || isSized(bytes)
}

function isPublic(bytes: Uint8Array): boolean {
  const [type, hash] = [256 * (bytes[0] ?? 0) + (bytes[1] ?? 0), 256 * (bytes[2] ?? 0) + (bytes[3] ?? 0)]
  return bytes.length > 8 && (type === ALG.rsa || type === ALG.ecc) && hashById(hash) !== null
}

function isSized(bytes: Uint8Array): boolean {
  return 256 * (bytes[0] ?? 0) + (bytes[1] ?? 0) === bytes.length - 2 && isPublic(bytes.subarray(2))
}

/**
 * Reads a TPMT_PUBLIC or TPM2B_PUBLIC of an RSA, P-256 or P-384 key.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, `CERTIFICATE_MALFORMED` (key size).
 * @see TPM 2.0 Library part 2, section 12.2.4.
 */
export function parsePublic(input: Uint8Array): TpmPublic {
  const raw = (isSized(input) ? input.subarray(2) : input).slice()
  const r = new TpmReader('tpm.public', raw)
  if (raw.length > MAX_SIZE) throw r.refuse(`larger than ${MAX_SIZE} bytes`)
  const type = r.u16()
  if (type !== ALG.rsa && type !== ALG.ecc) throw r.refuse(`key of type 0x${type.toString(16)}`)
  const nameHash = readHash(r)
  const attributes = r.u32()
  r.sized(MAX_POLICY)
  readSymmetric(r)
  const scheme = readScheme(r)
  const spki = type === ALG.rsa ? readRsa(r) : readEcc(r)
  r.end()
  return { raw, nameHash, attributes, scheme, spki }
}

/** Name of an object: its hash algorithm and the hash of its public area (part 1, section 16). */
export async function nameOf({ raw, nameHash }: TpmPublic): Promise<Uint8Array> {
  return concat(Uint8Array.of(nameHash.id >> 8, nameHash.id & 0xff), await crypto.digest(nameHash.digest, raw))
}

export function hasAttribute({ attributes }: TpmPublic, name: ObjectAttribute): boolean {
  return (attributes >>> OBJECT_BIT[name]) % 2 === 1
}

function readHash(r: TpmReader): TpmHash {
  const id = r.u16()
  const hash = hashById(id)
  if (hash === null) throw r.refuse(`hash algorithm 0x${id.toString(16)}`)
  return hash
}

/** TPMT_SYM_DEF_OBJECT: a key for decryption has one; key bits and mode follow. */
function readSymmetric(r: TpmReader): void {
  if (r.u16() === ALG.null) return
  r.u16()
  r.u16()
}

function readScheme(r: TpmReader): TpmPublic['scheme'] {
  const id = r.u16()
  if (id === ALG.null) return null
  const name = schemeById(id)
  if (name === null) throw r.refuse(`signing scheme 0x${id.toString(16)}`)
  return { name, hash: readHash(r) }
}

function readRsa(r: TpmReader): Uint8Array {
  const [bits, exponent] = [r.u16(), r.u32()]
  const modulus = r.sized(MAX_MODULUS)
  if (8 * modulus.length !== bits) throw r.refuse(`modulus of ${modulus.length} bytes for a key of ${bits} bits`)
  return rsaSpki(modulus, minimal(exponent === 0 ? DEFAULT_EXPONENT : exponent), r.place)
}

function readEcc(r: TpmReader): Uint8Array {
  const id = r.u16()
  const curve = CURVES[id]
  if (curve === undefined) throw r.refuse(`curve 0x${id.toString(16)}`)
  const kdf = r.u16()
  if (kdf !== ALG.null && !KDF_SCHEMES.includes(kdf)) throw r.refuse(`key derivation 0x${kdf.toString(16)}`)
  if (kdf !== ALG.null) readHash(r)
  return ecSpki(curve, r.sized(MAX_COORDINATE), r.sized(MAX_COORDINATE), r.place)
}

function minimal(exponent: number): Uint8Array {
  const bytes = [exponent >>> 24, (exponent >>> 16) & 0xff, (exponent >>> 8) & 0xff, exponent & 0xff]
  return Uint8Array.from(bytes.slice(bytes.findIndex((b) => b !== 0)))
}
