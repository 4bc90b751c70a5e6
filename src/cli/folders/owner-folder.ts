import { join } from 'node:path'
import {
  createOwnerKeys,
  FILES,
  loadIdentity,
  loadOwner,
  loadTrustFile,
  makeFolder,
  type Owner,
  PUBLIC,
  refuseExisting,
  writeNew,
} from '../../client/index.ts'
import type { HpkeSuiteName } from '../../verify/documents/keys.ts'
import { encodeTrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'

export interface NewOwner {
  /** A client folder made by `ca issue`. */
  readonly folder: string
  /** Path of the trust file to begin with: the gateway's. */
  readonly trust: string
  readonly suite: HpkeSuiteName
}

/**
 * Makes a client a data owner: keys, an empty keyring, and a trust file of its own, which knows the gateway and the owner.
 * @throws AttestError `ALREADY_EXISTS`; nothing is overwritten.
 */
export async function createOwner({ folder, trust, suite }: NewOwner): Promise<Owner> {
  const { file } = await loadIdentity(folder)
  if (file.role !== 'client') throw new AttestError('USAGE', `${folder} is the identity of a ${file.role}; an owner is a client`)
  const given = await loadTrustFile(trust)
  await refuseExisting(folder, [FILES.grantKey, FILES.submitKey, FILES.recipientKey, FILES.keyring, FILES.trust])
  await createOwnerKeys(folder, suite)
  await makeFolder(join(folder, FILES.keyring))
  const owner = await loadOwner(folder)
  const owners = [...new Set([...given.owners, owner.grantThumbprint])].sort()
  await writeNew(join(folder, FILES.trust), encodeTrustFile({ ...given, owners }), PUBLIC)
  return owner
}
