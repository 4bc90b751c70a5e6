import { join } from 'node:path'
import { exists, FILES, loadTrustFile, MAX_FILE_SIZE, PUBLIC, readBytes, replaceFile } from '../../client/index.ts'
import { GATEWAY_FILES } from '../../gateway/config/config.ts'
import { fromUtf8, toBase64Url } from '../../verify/bytes/bytes.ts'
import { encodeTrustFile, type TrustedGateway, type TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { looksLikePem, parsePem } from '../../verify/formats/pem.ts'
import { parseCertificate } from '../../verify/formats/x509.ts'

/** What to add to a trust file. */
export interface TrustAdditions {
  /** Another trust file, all of it. */
  readonly from: string | null
  /** Certificates (PEM or DER) of simulators. */
  readonly simulatedRoots: readonly string[]
  /** Thumbprints. */
  readonly owners: readonly string[]
  /** Verifier keys, well-formed. */
  readonly witnesses?: readonly string[]
}

/**
 * Adds to a trust file, or to the trust file (and, for simulated roots, the configuration) of a gateway, client or owner
 * folder. What is there stays.
 * @returns the paths that changed.
 */
export async function addTrust(target: string, additions: TrustAdditions): Promise<readonly string[]> {
  const other = additions.from === null ? null : await loadTrustFile(await trustPathOf(additions.from))
  const roots = (await Promise.all(additions.simulatedRoots.map(readRoots))).flat()
  const path = await trustPathOf(target)
  const trust = await loadTrustFile(path)
  const merged: TrustFile = {
    ...trust,
    logs: unique([...trust.logs, ...(other?.logs ?? [])], (l) => `${l.origin}\n${l.key}`),
    witnesses: [...new Set([...trust.witnesses, ...(other?.witnesses ?? []), ...(additions.witnesses ?? [])])].sort(),
    gateways: mergeGateways([...trust.gateways, ...(other?.gateways ?? [])]),
    owners: [...new Set([...trust.owners, ...(other?.owners ?? []), ...additions.owners])].sort(),
    simulatedRoots: [...new Set([...trust.simulatedRoots, ...(other?.simulatedRoots ?? []), ...roots])],
  }
  await replaceFile(path, encodeTrustFile(merged), PUBLIC)
  const config = join(target, GATEWAY_FILES.config)
  if (path === target || !(await exists(config))) return [path]
  await addRootsToGateway(config, merged.simulatedRoots)
  return [path, config]
}

/** A trust file by its own path or by the folder that it lies in. */
export async function trustPathOf(target: string): Promise<string> {
  const inside = join(target, FILES.trust)
  return (await exists(inside)) ? inside : target
}

async function addRootsToGateway(path: string, roots: readonly string[]): Promise<void> {
  const config = JSON.parse(fromUtf8(await readBytes(path, MAX_FILE_SIZE))) as { simulatedRoots?: readonly string[] }
  const simulatedRoots = [...new Set([...(config.simulatedRoots ?? []), ...roots])]
  await replaceFile(path, `${JSON.stringify({ ...config, simulatedRoots }, null, 2)}\n`, PUBLIC)
}

async function readRoots(path: string): Promise<readonly string[]> {
  const bytes = await readBytes(path, MAX_FILE_SIZE)
  const text = bytes[0] === 0x30 ? '' : fromUtf8(bytes)
  const ders = looksLikePem(text) ? parsePem(text, path).map((block) => block.der) : [bytes]
  if (ders.length === 0) throw new AttestError('CERTIFICATE_MALFORMED', `${path} holds no certificate`)
  // Also refuses what is none: a root is trusted, so nothing is kept that nobody could have meant.
  for (const der of ders) parseCertificate(der)
  return ders.map(toBase64Url)
}

/**
 * One entry for each key. An ML-DSA key that one of them names stays demanded: a file without it must not take it away.
 * @throws AttestError `DOCUMENT_INVALID` for two ML-DSA keys of one gateway.
 */
function mergeGateways(gateways: readonly TrustedGateway[]): readonly TrustedGateway[] {
  const merged = new Map<string, TrustedGateway>()
  for (const gateway of gateways) {
    const known = merged.get(gateway.x)?.mlDsa
    if (known !== undefined && gateway.mlDsa !== undefined && known.pub !== gateway.mlDsa.pub) {
      throw new AttestError(
        'DOCUMENT_INVALID',
        `the two files name different ML-DSA keys for gateway ${gateway.x}: find out which is right`,
      )
    }
    merged.set(gateway.x, known === undefined ? gateway : { ...gateway, mlDsa: known })
  }
  return [...merged.values()]
}

function unique<T>(list: readonly T[], key: (item: T) => string): readonly T[] {
  return [...new Map(list.map((item) => [key(item), item])).values()]
}
