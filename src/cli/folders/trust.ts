import { join } from 'node:path'
import { exists, FILES, loadTrustFile, MAX_FILE_SIZE, PUBLIC, readBytes, replaceFile } from '../../client/index.ts'
import { GATEWAY_FILES } from '../../gateway/config/config.ts'
import { fromUtf8, toBase64Url } from '../../verify/bytes/bytes.ts'
import { thumbprint } from '../../verify/documents/keys.ts'
import { encodeTrustFile, keysOfKind, type RetiredKey, type TrustedGateway, type TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { looksLikePem, parsePem } from '../../verify/formats/pem.ts'
import { parseCertificate } from '../../verify/formats/x509.ts'
import { mergeRetired, retire, succeed, verifySuccession } from '../../verify/receipt/index.ts'

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
  /** Signed successions of gateway keys, taken in one after the other. */
  readonly successions?: readonly string[]
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
  const retired = mergeRetired([...(trust.retired ?? []), ...(other?.retired ?? [])])
  const united: TrustFile = {
    ...trust,
    logs: unique([...trust.logs, ...(other?.logs ?? [])], (l) => `${l.origin}\n${l.key}`),
    witnesses: [...new Set([...trust.witnesses, ...(other?.witnesses ?? []), ...(additions.witnesses ?? [])])].sort(),
    gateways: mergeGateways([...trust.gateways, ...(other?.gateways ?? [])]),
    owners: [...new Set([...trust.owners, ...(other?.owners ?? []), ...additions.owners])].sort(),
    simulatedRoots: [...new Set([...trust.simulatedRoots, ...(other?.simulatedRoots ?? []), ...roots])],
    ...(retired.length === 0 ? {} : { retired }),
  }
  const merged = await succeedAll(united, additions.successions ?? [])
  await replaceFile(path, encodeTrustFile(merged), PUBLIC)
  const config = join(target, GATEWAY_FILES.config)
  if (path === target || !(await exists(config))) return [path]
  await addRootsToGateway(config, merged.simulatedRoots)
  return [path, config]
}

async function succeedAll(trust: TrustFile, paths: readonly string[]): Promise<TrustFile> {
  let result = trust
  for (const path of paths) result = succeed(result, await verifySuccession(await readBytes(path, MAX_FILE_SIZE)))
  return result
}

/** What to retire, as the command line names it. */
export interface Retirement {
  /** Thumbprint of a gateway or owner, verifier key of a log or witness. */
  readonly name: string
  readonly at: string
  readonly compromised: boolean
}

/**
 * Gives a key of a trust file a date.
 * @returns the entry, with the date that counts: the earliest that it ever had.
 * @throws AttestError `NOT_FOUND` for a key that is not in the file, `USAGE` for what would change nothing.
 */
export async function retireKey(target: string, { name, at, compromised }: Retirement): Promise<RetiredKey> {
  const path = await trustPathOf(target)
  const trust = await loadTrustFile(path)
  const found = (await namesOf(trust)).find((k) => k.name === name)
  if (found === undefined) throw new AttestError('NOT_FOUND', `${path} names no key ${name}: see sealgate trust show`)
  const { kind, key } = found
  const entryOf = ({ retired }: TrustFile): RetiredKey | undefined => retired?.find((r) => r.kind === kind && r.key === key)
  const next = retire(trust, { kind, key, at, compromised })
  const [before, after] = [entryOf(trust), entryOf(next)]
  if (after === undefined || (before?.at === after.at && before.compromised === after.compromised)) {
    throw new AttestError('USAGE', `${name} is retired at ${before?.at ?? at} already: a date only moves back`)
  }
  await replaceFile(path, encodeTrustFile(next), PUBLIC)
  return after
}

/** Every key of a trust file by the name that people know it by. */
async function namesOf(trust: TrustFile): Promise<readonly (Pick<RetiredKey, 'kind' | 'key'> & { readonly name: string })[]> {
  const same = (['log', 'owner', 'witness'] as const).flatMap((kind) => keysOfKind(trust, kind).map((key) => ({ kind, key, name: key })))
  const gateways = trust.gateways.map(async (g) => ({ kind: 'gateway' as const, key: g.x, name: await thumbprint(g) }))
  return [...same, ...(await Promise.all(gateways))]
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
