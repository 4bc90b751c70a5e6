import { KEM_MLKEM768_X25519 } from '@panva/hpke-noble'
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256, KDF_HKDF_SHA384, KEM_DHKEM_P384_HKDF_SHA384, type KeyPair } from 'hpke'
import { fromBase64Url, toBase64Url, utf8 } from '../verify/bytes/bytes.ts'
import type { HpkePublicKey, HpkeSuiteName } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { draw, type RandomBytes, Secret } from './secret.ts'

/**
 * The hybrid KEM comes from hpke-noble on every runtime: Node 20 has no ML-KEM of its own, and one implementation
 * everywhere is one to check. The rest is the runtime's WebCrypto.
 */
const SUITES: Record<HpkeSuiteName, CipherSuite> = {
  'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM': new CipherSuite(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_AES_256_GCM),
  'DHKEM-P384,HKDF-SHA384,AES-256-GCM': new CipherSuite(KEM_DHKEM_P384_HKDF_SHA384, KDF_HKDF_SHA384, AEAD_AES_256_GCM),
}

/** An HPKE key pair: of an enclave's job, of a recipient of results, or of an owner's keyring. */
export interface KemKey {
  readonly publicKey: HpkePublicKey
  /** SerializePrivateKey of RFC 9180. */
  readonly privateKey: Secret
}

/** What HPKE yields for one recipient. */
export interface Wrapped {
  readonly suite: HpkeSuiteName
  readonly enc: Uint8Array
  readonly ciphertext: Uint8Array
}

/**
 * Makes a key pair by DeriveKeyPair (RFC 9180 section 7.1.3) from fresh input keying material, so that all randomness is
 * the caller's.
 */
export async function generateKemKey(suite: HpkeSuiteName, random: RandomBytes): Promise<KemKey> {
  const ikm = draw(random, suiteOf(suite).KEM.Nsk)
  const pair = await suiteOf(suite).DeriveKeyPair(ikm, true)
  ikm.fill(0)
  return kemKey(suite, pair)
}

async function kemKey(suite: HpkeSuiteName, pair: KeyPair): Promise<KemKey> {
  const publicKey = toBase64Url(await suiteOf(suite).SerializePublicKey(pair.publicKey))
  return { publicKey: { suite, publicKey }, privateKey: new Secret(await suiteOf(suite).SerializePrivateKey(pair.privateKey)) }
}

/**
 * Seals a short plaintext to a recipient (RFC 9180 single-shot, base mode). The ephemeral randomness is the runtime's own.
 * @throws AttestError `DOCUMENT_INVALID` for a public key that is none.
 */
export async function wrap(recipient: HpkePublicKey, info: string, aad: Uint8Array, plaintext: Uint8Array): Promise<Wrapped> {
  const suite = suiteOf(recipient.suite)
  const bytes = fromBase64Url(recipient.publicKey)
  try {
    if (recipient.suite === 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM') checkMlKemModulus(bytes.subarray(0, ML_KEM_768_VECTOR_SIZE))
    const key = await suite.DeserializePublicKey(bytes)
    const { encapsulatedSecret, ciphertext } = await suite.Seal(key, plaintext, { info: utf8(info), aad })
    return { suite: recipient.suite, enc: encapsulatedSecret, ciphertext }
  } catch (cause) {
    throw new AttestError('DOCUMENT_INVALID', `not a public key of ${recipient.suite}`, { at: 'publicKey', cause })
  }
}

/**
 * Opens what {@link wrap} made. The plaintext is secret: wipe it.
 * @throws AttestError `UNWRAP_FAILED` for another key, suite, info or aad, or any changed byte: which one cannot be told.
 */
export async function unwrap(key: KemKey, info: string, aad: Uint8Array, wrapped: Wrapped): Promise<Uint8Array> {
  const suite = suiteOf(key.publicKey.suite)
  const secret = key.privateKey.expose()
  try {
    if (wrapped.suite !== key.publicKey.suite) throw new Error(`sealed with ${wrapped.suite}`)
    // The pair, not the private key alone: WebCrypto of Node 20 and 22 cannot tell a private key's public half.
    const pair = {
      publicKey: await suite.DeserializePublicKey(fromBase64Url(key.publicKey.publicKey)),
      privateKey: await suite.DeserializePrivateKey(secret),
    }
    return await suite.Open(pair, wrapped.enc, wrapped.ciphertext, { info: utf8(info), aad })
  } catch (cause) {
    throw new AttestError('UNWRAP_FAILED', 'the sealed key does not open in this context', { cause })
  }
}

/** The encoded vector of an ML-KEM-768 encapsulation key: 3 × 256 numbers of 12 bits (FIPS 203 table 3). */
const ML_KEM_768_VECTOR_SIZE = 1152
const ML_KEM_Q = 3329

/**
 * The modulus check of FIPS 203 section 7.2, which @noble/post-quantum 0.5 states but does not perform: every number is
 * below q, so a key has one spelling.
 */
function checkMlKemModulus(vector: Uint8Array): void {
  for (let i = 0; i + 2 < vector.length; i += 3) {
    const [a = 0, b = 0, c = 0] = vector.subarray(i, i + 3)
    if ((a | ((b & 0x0f) << 8)) >= ML_KEM_Q || ((b >> 4) | (c << 4)) >= ML_KEM_Q) throw new Error('a number is not below q')
  }
}

function suiteOf(name: HpkeSuiteName): CipherSuite {
  const suite = SUITES[name]
  if (suite === undefined) throw new AttestError('SUITE_UNSUPPORTED', `unknown suite ${String(name)}`)
  return suite
}
