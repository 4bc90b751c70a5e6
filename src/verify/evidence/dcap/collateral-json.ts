import { crypto } from '#crypto'
import { concat, fromHex, fromUtf8, toHex, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { DerReader, TAG } from '../../formats/der.ts'
import { looksLikePem, parsePem } from '../../formats/pem.ts'
import { isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from './json.ts'
import { SIGNATURE_SIZE } from './layout.ts'
import { parseQeIdentity, type QeIdentity } from './qe-identity.ts'
import { parseTcbInfo, type TcbInfo } from './tcb-info.ts'

interface Signed {
  /** SHA-256 of body and signature, hexadecimal: names this very document. */
  readonly sha256: string
  /** The signed text, byte for byte as delivered. */
  readonly body: Uint8Array
  /** r‖s. */
  readonly signature: Uint8Array
}

type Content = { readonly kind: 'tcb-info'; readonly content: TcbInfo } | { readonly kind: 'qe-identity'; readonly content: QeIdentity }

/** TCB info or the identity of a quoting enclave, with Intel's signature that nobody checked yet. */
export type IntelDocument = Signed & Content

/** What one JSON file of Intel collateral holds. Certificates and CRLs are DER. */
export interface IntelCollateral {
  readonly documents: readonly IntelDocument[]
  readonly certificates: readonly Uint8Array[]
  readonly crls: readonly Uint8Array[]
}

/** Largest signed text. The largest seen has 12 KB. */
const MAX_BODY_SIZE = 64 * 1024

const CHAINS = ['pck_certificate_chain', 'pck_crl_issuer_chain', 'tcb_info_issuer_chain', 'qe_identity_issuer_chain'] as const
const CRLS = ['root_ca_crl', 'pck_crl'] as const
/** Member with the text, member with its signature: in the form of `sgx_ql_qve_collateral_t`, then as the PCS answers. */
const SPLIT = { tcb_info: 'tcb_info_signature', qe_identity: 'qe_identity_signature' } as const
const WHOLE = ['tcbInfo', 'enclaveIdentity'] as const

/** True for a JSON object that names at least one thing that {@link readIntelCollateral} reads. */
export function looksLikeIntelCollateral(text: string): boolean {
  return /^\s*\{/.test(text) && [...CHAINS, ...CRLS, ...Object.keys(SPLIT), ...WHOLE].some((name) => text.includes(`"${name}"`))
}

/**
 * Reads Intel collateral as JSON: the members of `sgx_ql_qve_collateral_t` (CRLs as hexadecimal DER or PEM, chains as PEM,
 * signed texts as strings), any part of them; or an answer of Intel's PCS, `{"tcbInfo":{…},"signature":"…"}` or
 * `{"enclaveIdentity":{…},"signature":"…"}`. What is signed is the text as delivered, never text of ours. Identities of
 * enclaves that sign no quotes are passed over.
 * @throws AttestError `JSON_MALFORMED` (also for members that appear twice), `DOCUMENT_INVALID`, `ENCODING_INVALID`.
 */
export async function readIntelCollateral(text: string, at: string): Promise<IntelCollateral> {
  const json = parseStrictJson(text, at)
  if (!isJsonObject(json)) throw new AttestError('DOCUMENT_INVALID', 'want an object', { at })
  const documents: (IntelDocument | null)[] = []
  for (const [name, signature] of Object.entries(SPLIT)) {
    if (!json.members.has(name)) continue
    const body = textMember(json, name, at)
    documents.push(await readDocument(body, parseStrictJson(body, `${at}.${name}`), json.members.get(signature), `${at}.${name}`))
  }
  for (const name of WHOLE) {
    const span = json.spans.get(name)
    if (span === undefined) continue
    documents.push(await readDocument(text.slice(...span), json.members.get(name) ?? null, json.members.get('signature'), `${at}.${name}`))
  }
  return {
    documents: documents.filter((d) => d !== null),
    certificates: CHAINS.filter((name) => json.members.has(name)).flatMap((name) => chainMember(json, name, at)),
    crls: CRLS.filter((name) => json.members.has(name)).flatMap((name) => crlMember(json, name, at)),
  }
}

async function readDocument(text: string, value: JsonValue, signature: JsonValue | undefined, at: string): Promise<IntelDocument | null> {
  const body = utf8(text)
  if (body.length > MAX_BODY_SIZE) throw new AttestError('DOCUMENT_INVALID', `larger than ${MAX_BODY_SIZE} bytes`, { at })
  const read = readContent(value, at)
  if (read === null) return null
  if (typeof signature !== 'string' || signature.length !== 2 * SIGNATURE_SIZE) {
    throw new AttestError('DOCUMENT_INVALID', `signature is not hexadecimal of ${SIGNATURE_SIZE} bytes`, { at })
  }
  const signed = fromHex(signature)
  return { ...read, sha256: await crypto.digestHex('SHA-256', concat(body, signed)), body, signature: signed }
}

function readContent(value: JsonValue, at: string): Content | null {
  const id = isJsonObject(value) ? value.members.get('id') : undefined
  if (id === 'QVE') return null
  const isIdentity = id === 'QE' || id === 'TD_QE'
  return isIdentity ? { kind: 'qe-identity', content: parseQeIdentity(value, at) } : { kind: 'tcb-info', content: parseTcbInfo(value, at) }
}

function chainMember(json: JsonObject, name: string, at: string): readonly Uint8Array[] {
  return certificatesOf(textMember(json, name, at), `${at}.${name}`)
}

/** The certificates of a PEM chain; Intel's tools end it with a zero byte. */
export function certificatesOf(pem: string, at: string): readonly Uint8Array[] {
  const blocks = parsePem(pem, at)
  if (blocks.some((b) => b.label !== 'CERTIFICATE'))
    throw new AttestError('ENCODING_INVALID', 'PEM chain holds more than certificates', { at })
  return blocks.map((b) => b.der)
}

/** Intel's service answers DER, caches of it hexadecimal of that DER, either of them PEM when asked to. */
function crlMember(json: JsonObject, name: string, at: string): readonly Uint8Array[] {
  const text = textMember(json, name, at)
  if (!looksLikePem(text)) return [withoutEnd(fromHex(text), `${at}.${name}`)]
  return parsePem(text, `${at}.${name}`)
    .filter((b) => b.label === 'X509 CRL')
    .map((b) => b.der)
}

/** Intel's tools end a CRL with a zero byte, as they do texts; some of those that pass it on count that byte in. */
function withoutEnd(der: Uint8Array, at: string): Uint8Array {
  const crl = new DerReader(der, at).whole(TAG.sequence)
  return der.length === crl.length + 1 && der[crl.length] === 0 ? crl : der
}

function textMember(json: JsonObject, name: string, at: string): string {
  const value = json.members.get(name)
  if (typeof value !== 'string') throw new AttestError('DOCUMENT_INVALID', 'want a text', { at: `${at}.${name}` })
  return value
}

/** The one form of a document on its own: the signed text as delivered, then the signature in lower-case hexadecimal. */
export function encodeIntelDocument({ kind, body, signature }: IntelDocument): Uint8Array {
  const member = kind === 'tcb-info' ? 'tcbInfo' : 'enclaveIdentity'
  return concat(utf8(`{"${member}":`), body, utf8(`,"signature":"${toHex(signature)}"}`))
}

/** PEM inside of a quote is bytes. @throws AttestError `ENCODING_INVALID` for bytes that are not text. */
export function pemText(bytes: Uint8Array): string {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return fromUtf8(bytes.subarray(0, end))
}
