import { join } from 'node:path'
import { FILES, MAX_FILE_SIZE, makeFolder, PRIVATE, PUBLIC, readBytes, refuseExisting, writeNew } from '../../client/index.ts'
import { GATEWAY_FILES, loadConfig } from '../../gateway/config/config.ts'
import { encodeIdentity } from '../../rpc/index.ts'
import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import { checkName, issueIdentity } from './authority.ts'
import { CA_KEY } from './gateway-folder.ts'

export interface NewIdentity {
  /** Folder of the gateway whose authority issues it. */
  readonly gateway: string
  /** Folder to make. */
  readonly folder: string
  readonly role: 'client' | 'host'
  readonly name: string
  readonly rsa: boolean
  readonly at: Date
}

/**
 * Issues the folder of a client or host: certificate, key, the authority's certificate and where the gateway is.
 * @throws AttestError `FILE_UNREADABLE` without the authority's key, `ALREADY_EXISTS`.
 */
export async function createIdentityFolder({ gateway, folder, role, name, rsa, at }: NewIdentity): Promise<void> {
  const text = async (file: string): Promise<string> => fromUtf8(await readBytes(join(gateway, file), MAX_FILE_SIZE))
  const config = loadConfig(gateway)
  const authority = { cert: await text(GATEWAY_FILES.ca), key: await text(CA_KEY) }
  const identity = await issueIdentity(authority, { role, name: checkName(name), addresses: [], rsa }, at)
  await makeFolder(folder)
  await refuseExisting(folder, [FILES.ca, FILES.cert, FILES.key, FILES.identity])
  const address = config.publicAddress ?? config.listen
  await writeNew(join(folder, FILES.ca), authority.cert, PUBLIC)
  await writeNew(join(folder, FILES.cert), identity.cert, PUBLIC)
  await writeNew(join(folder, FILES.key), identity.key, PRIVATE)
  await writeNew(join(folder, FILES.identity), encodeIdentity({ v: 1, type: 'sealgate/identity/v1', role, name, gateway: address }), PUBLIC)
}
