import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto'
import type { SigningPrivateKey } from '../../seal/jws.ts'
import { type MlDsaPrivateKey, type MlDsaSigner, mlDsaPublicOf, mlDsaSigner } from '../../seal/ml-dsa.ts'
import { equal, fromBase64Url } from '../../verify/bytes/bytes.ts'
import { mlDsaSpki } from '../../verify/crypto/ml-dsa.ts'
import { AttestError } from '../../verify/errors.ts'

/** What a gateway signs receipts with. */
export interface ReceiptKeys {
  readonly signing: SigningPrivateKey
  /** Null: it has no such key, and receipts have no such signature. */
  readonly mlDsa: MlDsaSigner | null
}

/**
 * Signs with the runtime's own ML-DSA-65 (Node 24.6 and later), else in JavaScript. Signatures are hedged: each takes fresh randomness.
 * @throws AttestError `DOCUMENT_INVALID` when the public half does not belong to the private one.
 */
export async function gatewayMlDsaSigner(key: MlDsaPrivateKey): Promise<MlDsaSigner> {
  const native = nativeKey(key)
  if (native === null) return mlDsaSigner(key, (size) => new Uint8Array(randomBytes(size)))
  const spki = createPublicKey(native).export({ format: 'der', type: 'spki' })
  if (!equal(spki, mlDsaSpki(fromBase64Url(key.pub)))) throw new AttestError('DOCUMENT_INVALID', 'the two halves of a key do not match')
  return { key: mlDsaPublicOf(key), sign: (message) => new Uint8Array(sign(null, message, native)) }
}

/** PKCS #8 of id-ml-dsa-65 with the seed alone, up to the seed (RFC 9881 section 6). */
const PKCS8_PREFIX = Buffer.from('3034020100300b060960864801650304031204228020', 'hex')

/** The key is made from the seed alone, so that its public half is the one that belongs to it. Null: not in this runtime. */
function nativeKey({ priv }: MlDsaPrivateKey): KeyObject | null {
  const pkcs8 = Buffer.concat([PKCS8_PREFIX, Buffer.from(priv, 'base64url')])
  try {
    const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
    return (key.asymmetricKeyType as string | undefined) === 'ml-dsa-65' ? key : null
  } catch {
    return null
  } finally {
    pkcs8.fill(0)
  }
}
