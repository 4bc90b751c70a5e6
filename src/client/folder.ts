import { join } from 'node:path'
import { type IdentityFile, parseIdentity } from '../rpc/identity-file.ts'
import type { TlsIdentity } from '../rpc/tls.ts'
import { fromUtf8 } from '../verify/bytes/bytes.ts'
import { parsePolicy } from '../verify/documents/policy.ts'
import { parseTrustFile, type TrustFile } from '../verify/documents/trust.ts'
import { readBytes } from './files.ts'

/** Names of the files in an issued identity folder and, below, in an owner's. Keys are private, the rest may be shown. */
export const FILES = {
  ca: 'ca.crt',
  cert: 'tls.crt',
  key: 'tls.key',
  identity: 'identity.json',
  grantKey: 'grant.key.json',
  submitKey: 'submit.key.json',
  recipientKey: 'recipient.key.json',
  keyring: 'keyring',
  trust: 'trust.json',
  policy: 'policy.json',
  logMemory: 'log-memory.json',
  releases: 'releases',
  receipts: 'receipts',
  services: 'services',
} as const

/** Largest file of a folder that is read whole, in bytes. */
export const MAX_FILE_SIZE: number = 1024 * 1024

/** A folder made by `sealgate ca issue`. */
export interface Identity {
  readonly path: string
  readonly file: IdentityFile
  readonly tls: TlsIdentity
}

/** @throws AttestError `FILE_UNREADABLE` naming the file that is missing. */
export async function loadIdentity(path: string): Promise<Identity> {
  const text = async (name: string): Promise<string> => fromUtf8(await readBytes(join(path, name), MAX_FILE_SIZE))
  const file = parseIdentity(await readBytes(join(path, FILES.identity), MAX_FILE_SIZE))
  return { path, file, tls: { ca: await text(FILES.ca), cert: await text(FILES.cert), key: await text(FILES.key) } }
}

export async function loadTrustFile(path: string): Promise<TrustFile> {
  return parseTrustFile(await readBytes(path, MAX_FILE_SIZE))
}

/** The exact bytes of a policy: documents name it by their digest. */
export async function loadPolicyBytes(path: string): Promise<Uint8Array> {
  const bytes = await readBytes(path, MAX_FILE_SIZE)
  parsePolicy(bytes)
  return bytes
}
