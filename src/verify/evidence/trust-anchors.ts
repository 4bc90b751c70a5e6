import { crypto } from '#crypto'
import { concat, fromBase64Url, fromUtf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { beginsLikeDer } from '../formats/der.ts'
import { spkiOfCoseKey, spkiOfPoint } from '../formats/ec-key.ts'
import { looksLikePem, parsePem } from '../formats/pem.ts'
import { spkiOfRsaKey } from '../formats/rsa-key.ts'
import type { Anchor } from '../trust/anchor.ts'
import { rootAnchor } from './authority.ts'
import { remember, type VerifyCache } from './cache.ts'
import { type CollateralItem, loadCollateral } from './collateral.ts'
import { companionKind } from './companions.ts'
import { parseStrictJson } from './dcap/json.ts'
import { JsonFields } from './dcap/json-fields.ts'
import type { KeyBytes } from './signed-by.ts'
import { parsePublic } from './tpm/public.ts'

/** A public key that the caller chose to trust, with what its file says of it. */
export interface KeyAnchor extends KeyBytes {
  /** Names of a JWK; null where there is none. */
  readonly kid: string | null
  readonly alg: string | null
  /**
   * Named as a TPM describes it: vouches for quotes of that TPM and for nothing else. Whoever has the TPM can have such a key sign
   * anything that does not begin like a quote.
   */
  readonly isTpm: boolean
}

/** What the caller trusts beside the vendors' built-in roots. */
export interface TrustAnchors {
  readonly roots: readonly Anchor[]
  readonly keys: readonly KeyAnchor[]
}

const MAX_ANCHOR_SIZE = 512 * 1024
const MAX_NUMBER_TEXT = 2048
const CBOR_MAP = 5
const COORDINATE_SIZE: ReadonlyMap<string, number> = new Map([
  ['P-256', 32],
  ['P-384', 48],
])

/**
 * Sorts trust anchors by their content: root certificates (PEM or DER), and public keys (PEM, DER, JWK, a JWK set, COSE_Key, a TPM's public area).
 * @throws AttestError for whatever is neither.
 */
export async function loadTrustAnchors(items: readonly CollateralItem[], cache: VerifyCache): Promise<TrustAnchors> {
  const keys: KeyAnchor[] = []
  const certificates: CollateralItem[] = []
  for (const item of items) {
    const found = await readKeys(item, cache)
    if (found.length === 0) certificates.push(item)
    keys.push(...found)
  }
  return { roots: certificates.length === 0 ? [] : await loadRoots(certificates, cache), keys }
}

async function loadRoots(items: readonly CollateralItem[], cache: VerifyCache): Promise<readonly Anchor[]> {
  const anchors = await loadCollateral(items, cache)
  const { unrecognized, certificates, crls, documents, rims, ocsp, companions } = anchors
  const others = [...crls, ...documents, ...rims, ...ocsp, ...companions]
  if (unrecognized.length > 0 || certificates.length === 0 || others.length > 0) {
    throw new AttestError('CERTIFICATE_MALFORMED', 'neither a certificate nor a public key', { at: unrecognized[0] ?? 'trust anchor' })
  }
  return remember(cache, `anchors:${anchors.id}`, 0, () => anchors.certificates.map(rootAnchor))
}

interface Found {
  readonly spki: Uint8Array
  readonly kid: string | null
  readonly alg: string | null
  readonly isTpm: boolean
}

/** Empty for an item of another kind. */
async function readKeys({ name, bytes }: CollateralItem, cache: VerifyCache): Promise<readonly KeyAnchor[]> {
  if (bytes.length > MAX_ANCHOR_SIZE) throw new AttestError('LIMIT_EXCEEDED', `larger than ${MAX_ANCHOR_SIZE} bytes`, { at: name })
  const id = await crypto.digestHex('SHA-256', bytes)
  return remember(cache, `keys:${id}`, 2 * bytes.length, () => Promise.all(findKeys(bytes, name).map(identify)))
}

async function identify(found: Found): Promise<KeyAnchor> {
  return { ...found, spkiSha256: await crypto.digestHex('SHA-256', found.spki) }
}

function findKeys(bytes: Uint8Array, name: string): readonly Found[] {
  if ((bytes[0] ?? 0) >> 5 === CBOR_MAP) return [nameless(spkiOfCoseKey(bytes, name))]
  const kind = companionKind(bytes)
  if (kind === 'public-key') return [nameless(bytes.slice())]
  if (kind === 'tpm-public') return [{ ...nameless(parsePublic(bytes).spki), isTpm: true }]
  if (beginsLikeDer(bytes)) return []
  const text = textOf(bytes)
  if (text.startsWith('{')) return jwks(text, name)
  if (!looksLikePem(text)) return []
  const blocks = parsePem(text, name)
  return blocks.every((b) => b.label === 'PUBLIC KEY') ? blocks.map(({ der }) => nameless(der)) : []
}

function nameless(spki: Uint8Array): Found {
  return { spki, kid: null, alg: null, isTpm: false }
}

/** Empty for bytes that are no text. */
function textOf(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes).trimStart()
  } catch {
    return ''
  }
}

/** @see RFC 7517: a set may hold keys that its reader does not know, a file with one key may not. */
function jwks(text: string, at: string): readonly Found[] {
  const document = new JsonFields(parseStrictJson(text, at), at)
  const found = document.has('keys') ? document.list('keys').map((jwk) => readJwk(jwk, at)) : [readJwk(document, at)]
  const known = found.filter((key) => key !== null)
  if (known.length === 0) throw new AttestError('DOCUMENT_INVALID', 'no public key of a kind that is known here', { at })
  return known
}

/** RFC 7518 section 6. Null for a key of another kind or curve; symmetric keys are such. */
function readJwk(jwk: JsonFields, at: string): Found | null {
  const names = { kid: jwk.has('kid') ? jwk.text('kid') : null, alg: jwk.has('alg') ? jwk.text('alg') : null, isTpm: false }
  const kty = jwk.text('kty')
  if (kty === 'RSA') return { spki: spkiOfRsaKey(number(jwk, 'n', at), number(jwk, 'e', at), at), ...names }
  const size = kty === 'EC' ? COORDINATE_SIZE.get(jwk.text('crv')) : undefined
  if (size === undefined) return null
  const [x, y] = [number(jwk, 'x', at), number(jwk, 'y', at)]
  if (x.length !== size || y.length !== size) throw new AttestError('DOCUMENT_INVALID', `want coordinates of ${size} bytes`, { at })
  return { spki: spkiOfPoint(concat(x, y), at), ...names }
}

function number(jwk: JsonFields, name: string, at: string): Uint8Array {
  try {
    return fromBase64Url(jwk.text(name, MAX_NUMBER_TEXT))
  } catch (cause) {
    throw new AttestError('DOCUMENT_INVALID', 'not canonical base64url', { at: `${at}.${name}`, cause })
  }
}
