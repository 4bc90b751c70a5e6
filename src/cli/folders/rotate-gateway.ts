import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import {
  destroyFile,
  encodeSigningKey,
  generateSigningKey,
  loadTrustFile,
  makeFolder,
  PRIVATE,
  PUBLIC,
  replaceFile,
  syncFolder,
  writeNew,
} from '../../client/index.ts'
import { GATEWAY_FILES, gatewayMlDsaSigner, loadKeys, loadRotation, openStore, type Rotation } from '../../gateway/index.ts'
import { issueGeneralJws, mlDsaPublicOf, publicOf } from '../../seal/index.ts'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { thumbprint } from '../../verify/documents/keys.ts'
import { encodeSuccession, SUCCESSION_TYP } from '../../verify/documents/succession.ts'
import { encodeTrustFile } from '../../verify/documents/trust.ts'
import { succeed, verifySuccession } from '../../verify/receipt/index.ts'
import { generateMlDsaKey } from './gateway-folder.ts'

/** Signed successions of the gateway's keys, by the thumbprint of the old one. To be handed on, for ever. */
const SUCCESSIONS = 'successions'
/** The rotation file on its way out. */
const DONE = '.rotation.done'
const TRUST_FILE = 'trust.json'

export interface RotatedKeys {
  /** Thumbprints. */
  readonly from: string
  readonly to: string
  readonly mlDsa: string
  /** RFC 3339. */
  readonly retired: string
  /** Of the signed succession. */
  readonly path: string
  /** True: an earlier rotation was finished, and no other begun. */
  readonly resumed: boolean
}

/**
 * Gives a gateway that is not running new keys for receipts. Its log, its authority and its jobs stay what they are. The private halves
 * of the old keys are destroyed, the public ones stay in its trust file.
 * @throws AttestError `STORE_LOCKED` while the gateway runs: it would go on signing with the old key.
 */
export async function rotateGatewayKeys(
  folder: string,
  { at, overlapSeconds }: { readonly at: Date; readonly overlapSeconds: number },
): Promise<RotatedKeys> {
  loadKeys(folder)
  const store = await openStore(join(folder, GATEWAY_FILES.data))
  try {
    const pending = loadRotation(folder)
    const rotation = pending ?? (await decide(folder, Math.floor(at.getTime() / 1000) + overlapSeconds))
    return await finish(folder, rotation, pending !== null)
  } finally {
    await store.close()
  }
}

async function decide(folder: string, retiredSeconds: number): Promise<Rotation> {
  const old = loadKeys(folder)
  const oldMlDsa = old.mlDsa === null ? null : await gatewayMlDsaSigner(old.mlDsa)
  const [signing, mlDsa] = [generateSigningKey(), await generateMlDsaKey()]
  const statement = encodeSuccession({
    v: 1,
    from: publicOf(old.signing),
    to: publicOf(signing),
    mlDsa: mlDsaPublicOf(mlDsa),
    retired: new Date(retiredSeconds * 1000).toISOString().replace('.000Z', 'Z'),
  })
  const succession = await issueGeneralJws(statement, SUCCESSION_TYP, [old.signing, signing], oldMlDsa)
  // What the gateway's own trust file would not take in, nobody else's would: found before anything is written.
  succeed(await loadTrustFile(join(folder, TRUST_FILE)), await verifySuccession(succession))
  const rotation = { signing, mlDsa, succession: toBase64Url(succession) }
  // Durable: all or nothing of the rotation. A crash before leaves the old keys, one after it the new ones: they are read from here.
  await replaceFile(join(folder, GATEWAY_FILES.rotation), `${JSON.stringify(rotation)}\n`, PRIVATE)
  await syncFolder(folder)
  return rotation
}

/** Everything that follows from a decided rotation. Each step may be repeated, so a crash costs running the command again. */
async function finish(folder: string, rotation: Rotation, resumed: boolean): Promise<RotatedKeys> {
  // What a crash at the end of an earlier rotation left: keys that are the old ones by now.
  await destroyFile(join(folder, DONE))
  const bytes = fromBase64Url(rotation.succession)
  const verified = await verifySuccession(bytes)
  const { from, to, mlDsa, retired } = verified.succession
  const old = await thumbprint(from)
  await makeFolder(join(folder, SUCCESSIONS))
  const path = join(folder, SUCCESSIONS, `${old}.json`)
  // Durable: who follows the old key. The old private key is there still.
  await replaceFile(path, bytes, PUBLIC)
  await syncFolder(join(folder, SUCCESSIONS))
  const trustPath = join(folder, TRUST_FILE)
  await replaceFile(trustPath, encodeTrustFile(succeed(await loadTrustFile(trustPath), verified)), PUBLIC)
  // From here to the end the key files may be missing or the old ones: the rotation file counts.
  await replaceKey(join(folder, GATEWAY_FILES.mlDsaKey), `${JSON.stringify(rotation.mlDsa)}\n`)
  await replaceKey(join(folder, GATEWAY_FILES.signingKey), encodeSigningKey(rotation.signing))
  await syncFolder(folder)
  // Durable: the key files count again, and hold the new keys. Renamed first, since one that is half overwritten could not be read.
  await rename(join(folder, GATEWAY_FILES.rotation), join(folder, DONE))
  await syncFolder(folder)
  await destroyFile(join(folder, DONE))
  return { from: old, to: await thumbprint(to), mlDsa: await thumbprint(mlDsa), retired, path, resumed }
}

async function replaceKey(path: string, data: Uint8Array | string): Promise<void> {
  await destroyFile(path)
  await writeNew(path, data, PRIVATE)
}
