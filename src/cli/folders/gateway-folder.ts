import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { encodeSigningKey, generateSigningKey, makeFolder, PRIVATE, PUBLIC, refuseExisting, writeNew } from '../../client/index.ts'
import { GATEWAY_FILES } from '../../gateway/config/config.ts'
import { parseAddress } from '../../rpc/index.ts'
import { type MlDsaPrivateKey, mlDsaKeyFromSeed, mlDsaPublicOf, publicOf, type SigningPrivateKey } from '../../seal/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { ML_DSA_65_SEED_SIZE } from '../../verify/crypto/ml-dsa.ts'
import { encodeTrustFile, type TrustFile } from '../../verify/documents/trust.ts'
import { encodeVerifierKey, NOTE_ED25519 } from '../../verify/tlog/index.ts'
import { checkName, createAuthority, issueIdentity } from './authority.ts'

/** The authority's key: needed to issue identities, never by the running gateway. Better kept elsewhere. */
export const CA_KEY = 'ca.key'
const TRUST_FILE = 'trust.json'

export interface NewGateway {
  readonly folder: string
  readonly name: string
  /** host:port */
  readonly listen: string
  /** host:port that clients dial, where it differs. */
  readonly publicAddress: string | null
  /** host:port where anybody may read the log. */
  readonly logListen?: string | undefined
  readonly at: Date
}

/**
 * Makes the folder of a gateway: authority, TLS identity, keys of receipts and log, configuration, and the trust file for
 * those who rely on it.
 * @throws AttestError `ALREADY_EXISTS`; nothing is overwritten.
 */
export async function createGatewayFolder(gateway: NewGateway): Promise<TrustFile> {
  const { folder, at } = gateway
  const name = checkName(gateway.name)
  const addresses = certifiedAddresses(gateway)
  await makeFolder(folder)
  await refuseExisting(folder, [...Object.values(GATEWAY_FILES), CA_KEY, TRUST_FILE])
  const authority = await createAuthority(name, at)
  const tls = await issueIdentity(authority, { role: 'gateway', name, addresses, rsa: false }, at)
  const signing = generateSigningKey()
  const mlDsa = await generateMlDsaKey()
  const log = { ...generateSigningKey(), origin: `sealgate/${name}` }
  const trust: TrustFile = {
    v: 1,
    type: 'sealgate/trust/v1',
    logs: [{ origin: log.origin, key: await verifierKeyOf(log) }],
    witnesses: [],
    gateways: [{ ...publicOf(signing), mlDsa: mlDsaPublicOf(mlDsa) }],
    owners: [],
    simulatedRoots: [],
  }
  const config = {
    v: 1,
    name,
    listen: gateway.listen,
    ...(gateway.publicAddress === null ? {} : { publicAddress: gateway.publicAddress }),
    ...(gateway.logListen === undefined ? {} : { log: { publicListen: gateway.logListen } }),
    simulatedRoots: [],
    allowUnknown: [],
  }
  const put = (file: string, data: Uint8Array | string, mode: number): Promise<void> => writeNew(join(folder, file), data, mode)
  await put(GATEWAY_FILES.ca, authority.cert, PUBLIC)
  await put(CA_KEY, authority.key, PRIVATE)
  await put(GATEWAY_FILES.tlsCert, tls.cert, PUBLIC)
  await put(GATEWAY_FILES.tlsKey, tls.key, PRIVATE)
  await put(GATEWAY_FILES.signingKey, encodeSigningKey(signing), PRIVATE)
  await put(GATEWAY_FILES.mlDsaKey, `${JSON.stringify(mlDsa)}\n`, PRIVATE)
  await put(GATEWAY_FILES.logKey, `${JSON.stringify(log)}\n`, PRIVATE)
  await put(GATEWAY_FILES.config, `${JSON.stringify(config, null, 2)}\n`, PUBLIC)
  await put(TRUST_FILE, encodeTrustFile(trust), PUBLIC)
  await makeFolder(join(folder, GATEWAY_FILES.data))
  return trust
}

export async function generateMlDsaKey(): Promise<MlDsaPrivateKey> {
  const seed = new Uint8Array(randomBytes(ML_DSA_65_SEED_SIZE))
  try {
    return await mlDsaKeyFromSeed(seed)
  } finally {
    seed.fill(0)
  }
}

function verifierKeyOf(key: SigningPrivateKey & { readonly origin: string }): Promise<string> {
  return encodeVerifierKey({ name: key.origin, type: NOTE_ED25519, publicKey: fromBase64Url(key.x) })
}

/** What the certificate speaks for: the addresses that are dialled, and loopback for who works on the machine itself. */
function certifiedAddresses({ listen, publicAddress }: NewGateway): readonly string[] {
  const hosts = [listen, ...(publicAddress === null ? [] : [publicAddress])].map((a) => parseAddress(a).host)
  const named = hosts.filter((host) => host !== '0.0.0.0' && host !== '::')
  return [...new Set([...named, 'localhost', '127.0.0.1', '::1'])]
}
