import { join, resolve } from 'node:path'
import { createBroker } from '../../broker/index.ts'
import { FILES, loadIdentity, loadTrustFile, MAX_FILE_SIZE, PUBLIC, readBytes, refuseExisting, writeNew } from '../../client/index.ts'
import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import type { HpkeSuiteName } from '../../verify/documents/keys.ts'
import { encodeTrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'

export interface NewBrokerFolder {
  /** A client folder made by `ca issue`. */
  readonly folder: string
  /** Path of the trust file to begin with; owners in it may entrust keys. */
  readonly trust: string
  /** Path of a `keystore.json`, or of a file with the passphrase under which the folder keeps its key-encryption keys itself. */
  readonly keyStore: { readonly config: string } | { readonly passphraseFile: string }
  readonly suite: HpkeSuiteName
}

/**
 * Makes a client a key broker.
 * @returns the thumbprint that grants name.
 * @throws AttestError `ALREADY_EXISTS`; nothing is overwritten.
 */
export async function createBrokerFolder({ folder, trust, keyStore, suite }: NewBrokerFolder): Promise<string> {
  const { file } = await loadIdentity(folder)
  if (file.role !== 'client') throw new AttestError('USAGE', `${folder} is the identity of a ${file.role}; a broker is a client`)
  const given = await loadTrustFile(trust)
  await refuseExisting(folder, [FILES.trust, FILES.grantKey])
  const text =
    'config' in keyStore
      ? fromUtf8(await readBytes(keyStore.config, MAX_FILE_SIZE))
      : `${JSON.stringify({ v: 1, kind: 'file', passphraseFile: resolve(keyStore.passphraseFile) }, null, 2)}\n`
  const broker = await createBroker({ folder, keyStore: text, suite })
  await writeNew(join(folder, FILES.trust), encodeTrustFile(given), PUBLIC)
  return broker
}
