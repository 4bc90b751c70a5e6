import { concat, toHex } from '../bytes/bytes.ts'
import type { SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { assertDer, DerReader, TAG } from './der.ts'

const RSA_PSS = '1.2.840.113549.1.1.10'
const MGF1 = '1.2.840.113549.1.1.8'
const SHA384 = '2.16.840.1.101.3.4.2.2'
const SHA384_SIZE = 48

/** Signature algorithms without parameters of their own (RFC 5758 section 3.2, RFC 4055 section 5, RFC 8410 section 3). */
const SIMPLE: Readonly<Record<string, { readonly scheme: SignatureScheme; readonly parameters: 'absent' | 'null' }>> = {
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa-p256-sha256', parameters: 'absent' },
  '1.2.840.10045.4.3.3': { scheme: 'ecdsa-p384-sha384', parameters: 'absent' },
  '1.2.840.113549.1.1.11': { scheme: 'rsa-pkcs1-sha256', parameters: 'null' },
  '1.2.840.113549.1.1.12': { scheme: 'rsa-pkcs1-sha384', parameters: 'null' },
  '1.2.840.113549.1.1.13': { scheme: 'rsa-pkcs1-sha512', parameters: 'null' },
  '1.3.101.112': { scheme: 'ed25519', parameters: 'absent' },
}

const ECDSA_SIZE: Partial<Record<SignatureScheme, number>> = { 'ecdsa-p256-sha256': 32, 'ecdsa-p384-sha384': 48 }

/**
 * Scheme of a signatureAlgorithm. Every parameter is looked at: for RSASSA-PSS hash, mask function, salt and trailer.
 * @throws AttestError `EVIDENCE_UNSUPPORTED` for any other algorithm or parameter.
 * @see RFC 4055 section 3.1 for RSASSA-PSS-params.
 */
export function readSignatureAlgorithm(reader: DerReader): SignatureScheme {
  const start = reader.position
  const algorithm = reader.open(TAG.sequence)
  const oid = algorithm.oid()
  if (oid === RSA_PSS) {
    assertPssParameters(algorithm)
    return 'rsa-pss-sha384'
  }
  const simple = SIMPLE[oid]
  if (simple === undefined) throw new AttestError('EVIDENCE_UNSUPPORTED', `signature algorithm ${oid}`, { at: reader.placeAt(start) })
  if (simple.parameters === 'null') algorithm.content(TAG.null)
  algorithm.end()
  return simple.scheme
}

function assertPssParameters(algorithm: DerReader): void {
  const start = algorithm.position
  const parameters = algorithm.open(TAG.sequence)
  algorithm.end()
  const hash = parameters.open(0xa0).only(readHash)
  const maskHash = parameters.open(0xa1).only((r) => r.open(TAG.sequence).only(readMaskHash))
  const salt = parameters.open(0xa2).only((r) => r.smallInteger())
  // trailerField has a default, so DER leaves it out; AMD's older certificates write it.
  const trailer = parameters.done ? 1 : parameters.open(0xa3).only((r) => r.smallInteger())
  parameters.end()
  const fits = hash === SHA384 && maskHash === SHA384 && salt === SHA384_SIZE && trailer === 1
  if (!fits)
    throw new AttestError('EVIDENCE_UNSUPPORTED', 'RSASSA-PSS is not SHA-384, MGF1-SHA-384, salt 48', { at: algorithm.placeAt(start) })
}

function readMaskHash(mask: DerReader): string | null {
  return mask.oid() === MGF1 ? readHash(mask) : null
}

function readHash(reader: DerReader): string {
  return reader.open(TAG.sequence).only((algorithm) => {
    const oid = algorithm.oid()
    if (!algorithm.done) algorithm.content(TAG.null)
    return oid
  })
}

/**
 * Signature bytes in the form that the crypto backend takes: ECDSA as r‖s of fixed length, others as they are.
 * @throws AttestError `CERTIFICATE_MALFORMED`, `DER_MALFORMED`.
 */
export function signatureBytes(scheme: SignatureScheme, signature: Uint8Array, at: string): Uint8Array {
  const size = ECDSA_SIZE[scheme]
  if (size === undefined) return signature
  assertDer(signature, at)
  const pair = new DerReader(signature, at).open(TAG.sequence)
  const out = concat(leftPad(pair.content(TAG.integer), size, at), leftPad(pair.content(TAG.integer), size, at))
  pair.end()
  return out
}

function leftPad(integer: Uint8Array, size: number, at: string): Uint8Array {
  const magnitude = integer[0] === 0 ? integer.subarray(1) : integer
  const negative = (integer[0] ?? 0) >= 0x80
  if (negative || magnitude.length > size) throw new AttestError('CERTIFICATE_MALFORMED', 'ECDSA signature out of range', { at })
  const out = new Uint8Array(size)
  out.set(magnitude, size - magnitude.length)
  return out
}

/** Serial numbers are compared as their encoded bytes. */
export function serialText(content: Uint8Array): string {
  return toHex(content)
}
