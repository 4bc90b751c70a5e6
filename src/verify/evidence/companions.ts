import { fromUtf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { beginsLikeDer } from '../formats/der.ts'
import { kindOfSpki } from '../formats/spki.ts'
import { looksLikeHclReport } from './azure-cvm/hcl-report.ts'
import { teeOfQuote } from './dcap/quote.ts'
import { looksLikeAttest } from './tpm/attest.ts'
import { looksLikePcrs } from './tpm/pcrs.ts'
import { looksLikePublic } from './tpm/public.ts'
import { looksLikeSignature } from './tpm/signature.ts'

/** What comes beside the evidence itself, where one file does not hold all of it. */
export type CompanionKind =
  | 'hcl-report'
  | 'td-quote'
  | 'tpm-quote'
  | 'tpm-signature'
  | 'tpm-public'
  | 'tpm-pcrs'
  /** DER SubjectPublicKeyInfo. */
  | 'public-key'

/** One companion, recognised and not yet read. */
export interface Companion {
  readonly kind: CompanionKind
  readonly bytes: Uint8Array
  /** SHA-256 of the bytes, hexadecimal. */
  readonly sha256: string
}

/** Largest companion: a TD quote in the buffer of its provider. */
const MAX_SIZE = 64 * 1024

const KINDS: readonly [CompanionKind, (bytes: Uint8Array) => boolean][] = [
  ['hcl-report', looksLikeHclReport],
  ['tpm-quote', looksLikeAttest],
  ['td-quote', (bytes) => teeOfQuote(bytes) === 'tdx'],
  ['tpm-public', looksLikePublic],
  ['tpm-pcrs', (bytes) => !beginsLikeDer(bytes) && looksLikePcrs(textOf(bytes))],
  ['public-key', isPublicKey],
  ['tpm-signature', looksLikeSignature],
]

/** The kind of a companion, by its content; null for anything else. */
export function companionKind(bytes: Uint8Array): CompanionKind | null {
  if (bytes.length === 0 || bytes.length > MAX_SIZE) return null
  return KINDS.find(([, looksLike]) => looksLike(bytes))?.[0] ?? null
}

function isPublicKey(bytes: Uint8Array): boolean {
  try {
    return kindOfSpki(bytes, 'public key') !== null
  } catch (error) {
    if (error instanceof AttestError) return false
    throw error
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch {
    return ''
  }
}
