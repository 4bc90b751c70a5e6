import { crypto } from '#crypto'
import { concat, utf8 } from '../bytes/bytes.ts'
import type { PublicKey, SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { type CborValue, decodeCbor, takeTag } from './cbor.ts'
import { CborFields } from './cbor-fields.ts'

/** A COSE_Sign1 message as it was received. Nothing about it is trusted yet. */
export interface CoseSign1 {
  /** Content of the protected byte string: signed as it stands. */
  readonly protectedBytes: Uint8Array
  readonly payload: Uint8Array
  /** r‖s. */
  readonly signature: Uint8Array
  readonly algorithm: 'ES256' | 'ES384'
  readonly scheme: SignatureScheme
  /** CBOR's tag 18 stood in front. */
  readonly isTagged: boolean
  /** A header names a key. Keys are never chosen by that. */
  readonly isKeyNamed: boolean
}

interface Algorithm extends Pick<CoseSign1, 'algorithm' | 'scheme'> {
  readonly signatureSize: number
}

/** RFC 9053 section 2.1. ES512 is not among them: the crypto backends have no P-521. */
const ALGORITHMS: Readonly<Record<number, Algorithm>> = {
  [-7]: { algorithm: 'ES256', scheme: 'ecdsa-p256-sha256', signatureSize: 64 },
  [-35]: { algorithm: 'ES384', scheme: 'ecdsa-p384-sha384', signatureSize: 96 },
}

const TAG_SIGN1 = 18
/** RFC 9052 section 3.1. */
const HEADER = { alg: 1, kid: 4 } as const
const MAX_KID_SIZE = 256
const MAX_INT64 = Number.MAX_SAFE_INTEGER

/**
 * Reads a COSE_Sign1, tagged or not. The protected header names the algorithm and may name a key; beside it only a key name is
 * accepted, so nothing critical can go unread and no algorithm comes from unsigned bytes.
 * @throws AttestError those of {@link decodeCbor}, `DOCUMENT_INVALID`, `EVIDENCE_UNSUPPORTED` (algorithm).
 * @see RFC 9052 sections 3 and 4.2.
 */
export function parseSign1(input: Uint8Array, at: string, maxSize: number): CoseSign1 {
  const { tag, rest } = takeTag(input, at)
  if (tag !== null && tag !== TAG_SIGN1) throw new AttestError('EVIDENCE_UNSUPPORTED', `CBOR tag ${tag}, want 18 (COSE_Sign1)`, { at })
  const message = decodeCbor(rest, at, { maxSize })
  if (!Array.isArray(message) || message.length !== 4) throw new AttestError('DOCUMENT_INVALID', 'want an array of 4', { at })
  const [protectedBytes, unprotected, payload, signature] = message as readonly CborValue[]
  if (!(protectedBytes instanceof Uint8Array && payload instanceof Uint8Array && signature instanceof Uint8Array)) {
    throw new AttestError('DOCUMENT_INVALID', 'want byte strings for header, payload and signature', { at })
  }
  const header = new CborFields(decodeCbor(protectedBytes, `${at}.protected`, { maxSize }), `${at}.protected`)
  const unsigned = new CborFields(unprotected, `${at}.unprotected`)
  assertHeader(header, [HEADER.alg, HEADER.kid], `${at}.protected`)
  assertHeader(unsigned, [HEADER.kid], `${at}.unprotected`)
  const { signatureSize, ...algorithm } = algorithmOf(header, at)
  if (signature.length !== signatureSize)
    throw new AttestError('DOCUMENT_INVALID', `want ${signatureSize} bytes`, { at: `${at}.signature` })
  return {
    protectedBytes,
    payload,
    signature,
    ...algorithm,
    isTagged: tag !== null,
    isKeyNamed: header.has(HEADER.kid) || unsigned.has(HEADER.kid),
  }
}

function assertHeader(header: CborFields, known: readonly number[], at: string): void {
  const [stranger] = header.strangers(known)
  if (stranger !== undefined) throw new AttestError('EVIDENCE_UNSUPPORTED', `header parameter ${stranger}`, { at })
  header.optionalBlob(HEADER.kid, MAX_KID_SIZE)
}

function algorithmOf(header: CborFields, at: string): Algorithm {
  const id = header.integer(HEADER.alg, -MAX_INT64, MAX_INT64)
  const algorithm = ALGORITHMS[id]
  if (algorithm === undefined) throw new AttestError('EVIDENCE_UNSUPPORTED', `COSE algorithm ${id}`, { at: `${at}.protected` })
  return algorithm
}

/**
 * Whether `key` signed this message, over the header and payload as they were received.
 * @param key - Imported for `message.scheme`.
 * @see RFC 9052 section 4.4.
 */
export async function verifySign1(message: CoseSign1, key: PublicKey): Promise<boolean> {
  return key.scheme === message.scheme && crypto.verify(key, message.signature, signedBytes(message))
}

/** Sig_structure: ["Signature1", protected, external_aad (empty), payload]. */
function signedBytes({ protectedBytes, payload }: CoseSign1): Uint8Array {
  const context = utf8('Signature1')
  return concat(
    Uint8Array.of(0x84, 0x60 + context.length),
    context,
    byteStringHead(protectedBytes.length),
    protectedBytes,
    byteStringHead(0),
    byteStringHead(payload.length),
    payload,
  )
}

function byteStringHead(length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(0x40 + length)
  if (length < 0x100) return Uint8Array.of(0x58, length)
  if (length < 0x10000) return Uint8Array.of(0x59, length >> 8, length & 0xff)
  return Uint8Array.of(0x5a, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff)
}
