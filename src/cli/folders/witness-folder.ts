import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  generateSigningKey,
  loadTrustFile,
  makeFolder,
  PRIVATE,
  PUBLIC,
  refuseExisting,
  replaceFile,
  writeNew,
} from '../../client/index.ts'
import { GATEWAY_FILES, loadConfig } from '../../gateway/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { COSIGNATURE_ED25519, parseVerifierKey } from '../../verify/tlog/index.ts'
import { cosignerKeyOf, encodeEmptyState, WITNESS_FILES } from '../../witness/index.ts'
import { addTrust, trustPathOf } from './trust.ts'

export interface NewWitness {
  readonly folder: string
  /** Its key name: like a URL without the scheme, no space and no `+`. */
  readonly name: string
  /** host:port */
  readonly listen: string
  /** Trust file whose logs are to be cosigned; null for none yet. */
  readonly trust: string | null
}

/**
 * Makes the folder of a witness: its key, its configuration, and the state of one that has seen nothing.
 * @returns its verifier key.
 * @throws AttestError `ALREADY_EXISTS`, `USAGE` for a name that is none; nothing is overwritten.
 */
export async function createWitnessFolder({ folder, name, listen, trust }: NewWitness): Promise<string> {
  const key = generateSigningKey()
  const vkey = await verifierKeyOf(name, fromBase64Url(key.x))
  const logs = trust === null ? [] : (await loadTrustFile(await trustPathOf(trust))).logs
  await makeFolder(folder)
  await refuseExisting(folder, Object.values(WITNESS_FILES))
  const put = (file: string, data: Uint8Array | string, mode: number): Promise<void> => writeNew(join(folder, file), data, mode)
  await put(WITNESS_FILES.key, `${JSON.stringify({ ...key, name })}\n`, PRIVATE)
  await put(WITNESS_FILES.config, `${JSON.stringify({ v: 1, listen, logs }, null, 2)}\n`, PUBLIC)
  await put(WITNESS_FILES.state, encodeEmptyState(vkey), PRIVATE)
  return vkey
}

async function verifierKeyOf(name: string, publicKey: Uint8Array): Promise<string> {
  try {
    return await cosignerKeyOf({ name, publicKey })
  } catch (cause) {
    throw new AttestError('USAGE', `"${name}" is no name of a key; want printable characters without spaces and "+"`, { cause })
  }
}

/** Reads a verifier key of a witness that somebody typed. @throws AttestError `USAGE`. */
export async function checkWitnessKey(vkey: string): Promise<string> {
  try {
    await parseVerifierKey(vkey, COSIGNATURE_ED25519)
    return vkey
  } catch (cause) {
    throw new AttestError('USAGE', `"${vkey.slice(0, 120)}" is no verifier key of a witness (sealgate keys show prints it)`, { cause })
  }
}

/**
 * Has a gateway ask a witness, from its next start on. The gateway's trust file names it too, for those who copy that.
 * @throws AttestError `DOCUMENT_INVALID` for an address that may not be, `ALREADY_EXISTS` for a witness that is asked already.
 */
export async function addWitness(gateway: string, url: string, vkey: string): Promise<readonly string[]> {
  const path = join(gateway, GATEWAY_FILES.config)
  const before = loadConfig(gateway).witnesses
  if (before.some((w) => w.vkey === vkey)) throw new AttestError('ALREADY_EXISTS', `${vkey} is asked already`)
  const text = await readFile(path, 'utf8')
  const config = JSON.parse(text) as object
  await replaceFile(path, `${JSON.stringify({ ...config, witnesses: [...before, { url, vkey }] }, null, 2)}\n`, PUBLIC)
  try {
    loadConfig(gateway)
  } catch (error) {
    await replaceFile(path, text, PUBLIC)
    throw error
  }
  return [path, ...(await addTrust(gateway, { from: null, simulatedRoots: [], owners: [], witnesses: [vkey] }))]
}
