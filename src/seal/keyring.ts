import { crypto } from '#crypto'
import { parseHeader } from '../verify/documents/header.ts'
import type { HpkePublicKey } from '../verify/documents/keys.ts'
import { type KemKey, unwrap, type Wrapped, wrap } from './hpke.ts'
import { checkKeyCommitment } from './key-commitment.ts'
import { Secret } from './secret.ts'

const INFO = 'sealgate/keyring/v1'

/** Seals a dataset's key to its owner's own HPKE key, for keeping. @param header - Canonical bytes of the dataset header. */
export async function wrapForKeyring(owner: HpkePublicKey, header: Uint8Array, dek: Secret): Promise<Wrapped> {
  await checkKeyCommitment(parseHeader(header), dek)
  return wrap(owner, INFO, await crypto.digest('SHA-256', header), dek.expose())
}

/** @throws AttestError `UNWRAP_FAILED`, `KEY_COMMITMENT_MISMATCH`. */
export async function unwrapFromKeyring(key: KemKey, header: Uint8Array, wrapped: Wrapped): Promise<Secret> {
  const dek = new Secret(await unwrap(key, INFO, await crypto.digest('SHA-256', header), wrapped))
  await checkKeyCommitment(parseHeader(header), dek)
  return dek
}
