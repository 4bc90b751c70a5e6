import { crypto } from '#crypto'
import type { Awaitable, PublicKey, SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { remember, type VerifyCache } from './cache.ts'

/** A key by its SubjectPublicKeyInfo. */
export interface KeyBytes {
  readonly spki: Uint8Array
  readonly spkiSha256: string
}

/** A certificate or CRL: bytes with a signature over them. */
export interface SignedBytes {
  readonly sha256: string
  readonly tbs: Uint8Array
  readonly signature: Uint8Array
  readonly signatureScheme: SignatureScheme
}

const KEY_COST = 4096

/** Imports a public key, once per cache. @throws AttestError `CERTIFICATE_MALFORMED`. */
export function importKey(cache: VerifyCache, scheme: SignatureScheme, key: KeyBytes): Awaitable<PublicKey> {
  return remember(cache, `key:${scheme}:${key.spkiSha256}`, KEY_COST, () => crypto.importPublicKey(scheme, key.spki))
}

/** Whether `key` signed these bytes; worked out once per cache, since neither side of the question ever changes. */
export function isSignedBy(cache: VerifyCache, signed: SignedBytes, key: KeyBytes): Awaitable<boolean> {
  return remember(cache, `signed:${signed.sha256}:${key.spkiSha256}`, 0, async () => {
    const handle = await importFitting(cache, signed.signatureScheme, key)
    return handle !== null && crypto.verify(handle, signed.signature, signed.tbs)
  })
}

/** As {@link importKey}; null for a key of another kind: it cannot have made a signature of this scheme. */
export async function importFitting(cache: VerifyCache, scheme: SignatureScheme, key: KeyBytes): Promise<PublicKey | null> {
  try {
    return await importKey(cache, scheme, key)
  } catch (error) {
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return null
    throw error
  }
}
