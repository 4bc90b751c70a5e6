import { crypto } from '#crypto'
import { equal, fromBase64Url, utf8 } from '../verify/bytes/bytes.ts'
import type { Header } from '../verify/documents/header.ts'
import { AttestError } from '../verify/errors.ts'
import type { Secret } from './secret.ts'

const CONTEXT = utf8('sealgate/commit/v1')

/** HKDF-SHA256(DEK, salt, "sealgate/commit/v1", 32): binds a file to one key, which AES-GCM alone does not. */
export async function keyCommitment(dek: Secret, salt: Uint8Array): Promise<Uint8Array> {
  return crypto.hkdfSha256(dek.expose(), salt, CONTEXT, 32)
}

/** @throws AttestError `KEY_COMMITMENT_MISMATCH` unless `dek` is the key that the header commits to. */
export async function checkKeyCommitment(header: Header, dek: Secret): Promise<void> {
  const got = await keyCommitment(dek, fromBase64Url(header.salt))
  if (!equal(got, fromBase64Url(header.keyCommitment))) {
    throw new AttestError('KEY_COMMITMENT_MISMATCH', 'the header commits to another key', { at: 'header.keyCommitment' })
  }
}
