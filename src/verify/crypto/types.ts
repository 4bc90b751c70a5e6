/** A value now (Node's synchronous crypto) or later (WebCrypto). Callers `await` both. */
export type Awaitable<T> = T | Promise<T>

/** SHA-1 names keys in OCSP and nothing else: no signature rests on it. */
export type Digest = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512'

/**
 * Signature schemes, each with its one hash and parameters. ECDSA signatures are r‖s, fixed length (IEEE P1363);
 * RSASSA-PSS uses MGF1 with the same hash and a salt as long as the hash; ML-DSA-65 is that of FIPS 204 with an empty context.
 */
export type SignatureScheme =
  | 'ecdsa-p256-sha256'
  | 'ecdsa-p384-sha384'
  | 'rsa-pss-sha256'
  | 'rsa-pss-sha384'
  | 'rsa-pss-sha512'
  | 'rsa-pkcs1-sha256'
  | 'rsa-pkcs1-sha384'
  | 'rsa-pkcs1-sha512'
  | 'ed25519'
  | 'ml-dsa-65'

/** An imported public key, bound to one scheme. Opaque: only the backend that made it reads it. */
export interface PublicKey {
  readonly scheme: SignatureScheme
  readonly handle: unknown
}

/** An AES-256-GCM key, opaque. */
export interface AeadKey {
  readonly handle: unknown
}

/**
 * The primitives that `verify` and `seal` need. Two implementations, chosen by export condition: `node.ts` over
 * node:crypto, `web.ts` over WebCrypto. Neither keeps state; callers cache imported keys.
 */
export interface CryptoBackend {
  readonly name: 'node' | 'web'
  digest(algorithm: Digest, data: Uint8Array): Awaitable<Uint8Array>
  /** The same in hexadecimal, as keys of caches are spelt: one flat string where the backend can make it. */
  digestHex(algorithm: Digest, data: Uint8Array): Awaitable<string>
  /** The digest of the parts in a row, without joining them where the backend can. */
  digestParts(algorithm: Digest, parts: readonly Uint8Array[]): Awaitable<Uint8Array>
  hmacSha256(key: Uint8Array, data: Uint8Array): Awaitable<Uint8Array>
  /** HKDF-SHA256 (RFC 5869). */
  hkdfSha256(key: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Awaitable<Uint8Array>
  /** @param spki - DER SubjectPublicKeyInfo. @throws AttestError `CERTIFICATE_MALFORMED` for a key that does not fit the scheme. */
  importPublicKey(scheme: SignatureScheme, spki: Uint8Array): Awaitable<PublicKey>
  /** False for a wrong signature and for one of the wrong form; never throws on signature bytes. */
  verify(key: PublicKey, signature: Uint8Array, data: Uint8Array): Awaitable<boolean>
  importAeadKey(key: Uint8Array): Awaitable<AeadKey>
  /**
   * Seals the parts in a row, without joining them where the backend can.
   * @param nonce - 12 bytes, never used twice with one key.
   * @returns ciphertext ‖ 16-byte tag, in parts.
   */
  aeadSeal(key: AeadKey, nonce: Uint8Array, plaintext: readonly Uint8Array[]): Awaitable<readonly Uint8Array[]>
  /** Opens ciphertext ‖ tag. @returns the plaintext in parts, or null when the tag does not verify: nothing is given out before. */
  aeadOpen(key: AeadKey, nonce: Uint8Array, sealed: readonly Uint8Array[]): Awaitable<readonly Uint8Array[] | null>
}
