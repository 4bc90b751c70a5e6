import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import type { EntrustedKey } from '../verify/documents/entrustment.ts'
import { type HpkePublicKey, hpkeKeyDigest } from '../verify/documents/keys.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { type KemKey, unwrap, wrap } from './hpke.ts'
import { Secret } from './secret.ts'

const INFO = 'sealgate/entrust/v1'

/** What an entrusted key is bound to, besides the broker's KEM key. */
export interface EntrustContext {
  /** Thumbprint of the broker's intent key. */
  readonly broker: string
  /** Thumbprint of the owner's grant key. */
  readonly owner: string
  /** SHA-256 of the grant. */
  readonly grant: string
  /** SHA-256 of the dataset's header; null for the grant's use key. */
  readonly dataset: string | null
}

/** Seals a key to a broker, for one grant of one owner. */
export async function wrapEntrusted(kem: HpkePublicKey, context: EntrustContext, key: Secret): Promise<EntrustedKey> {
  const { suite, enc, ciphertext } = await wrap(kem, INFO, await entrustAad(kem, context), key.expose())
  return { suite, enc: toBase64Url(enc), ciphertext: toBase64Url(ciphertext) }
}

/** @throws AttestError `UNWRAP_FAILED` for another broker, owner, grant or dataset than it was sealed for. */
export async function unwrapEntrusted(kem: KemKey, context: EntrustContext, { suite, enc, ciphertext }: EntrustedKey): Promise<Secret> {
  const wrapped = { suite, enc: fromBase64Url(enc), ciphertext: fromBase64Url(ciphertext) }
  return new Secret(await unwrap(kem, INFO, await entrustAad(kem.publicKey, context), wrapped))
}

/** SHA-256 of canonical `{"broker","dataset","grant","kem","owner"}`. */
async function entrustAad(kem: HpkePublicKey, { broker, owner, grant, dataset }: EntrustContext): Promise<Uint8Array> {
  return crypto.digest('SHA-256', encodeCanonical({ broker, owner, grant, dataset, kem: await hpkeKeyDigest(kem) }))
}
