import { concat } from '../../bytes/bytes.ts'
import { type KeyKind, leftPadded } from '../../formats/spki.ts'
import { hashById, type SchemeName, SHA256, schemeById, type TpmHash } from './algorithms.ts'
import { TpmReader } from './reader.ts'

/** TPMT_SIGNATURE. */
export interface TpmSignature {
  readonly scheme: SchemeName
  readonly hash: TpmHash
  /** RSA: the signature. ECDSA: r and s, as long as the TPM wrote them. */
  readonly parts: readonly Uint8Array[]
}

const MAX_RSA = 512
/** Coordinate of P-521. */
const MAX_SCALAR = 66
/** Signatures of RSA keys of 2048, 3072 and 4096 bits. */
const BARE_SIZES: readonly number[] = [256, 384, 512]

/** True for bytes that begin as a TPMT_SIGNATURE, or have the size of a bare RSA signature and are no text. */
export function looksLikeSignature(bytes: Uint8Array): boolean {
  return (BARE_SIZES.includes(bytes.length) && bytes.some((b) => b >= 0x80)) || isTagged(bytes)
}

function isTagged(bytes: Uint8Array): boolean {
  const [scheme, hash] = [256 * (bytes[0] ?? 0) + (bytes[1] ?? 0), 256 * (bytes[2] ?? 0) + (bytes[3] ?? 0)]
  return bytes.length > 4 && schemeById(scheme) !== null && hashById(hash) !== null
}

/**
 * Reads a TPMT_SIGNATURE. Azure's tools hand out the bare bytes of an RSA signature instead, which is RSASSA with SHA-256.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`.
 * @see TPM 2.0 Library part 2, section 11.3.4.
 */
export function parseSignature(input: Uint8Array): TpmSignature {
  if (BARE_SIZES.includes(input.length) && !isTagged(input)) return { scheme: 'rsassa', hash: SHA256, parts: [input.slice()] }
  const r = new TpmReader('tpm.signature', input)
  const schemeId = r.u16()
  const scheme = schemeById(schemeId)
  if (scheme === null) throw r.refuse(`signature algorithm 0x${schemeId.toString(16)}`)
  const hashId = r.u16()
  const hash = hashById(hashId)
  if (hash === null) throw r.refuse(`hash algorithm 0x${hashId.toString(16)}`)
  const parts = scheme === 'ecdsa' ? [r.sized(MAX_SCALAR), r.sized(MAX_SCALAR)] : [r.sized(MAX_RSA)]
  r.end()
  return { scheme, hash, parts }
}

const SCALAR_SIZE = { 'P-256': 32, 'P-384': 48 } as const

/**
 * The signature in the form that the crypto backend takes.
 * @throws AttestError `CERTIFICATE_MALFORMED` for a scalar that is too long for the curve.
 */
export function signatureBytes({ parts }: TpmSignature, kind: KeyKind): Uint8Array {
  if (kind === 'rsa') return concat(...parts)
  return concat(...parts.map((part) => leftPadded(part, SCALAR_SIZE[kind], 'tpm.signature')))
}
