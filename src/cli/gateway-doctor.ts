import { createPrivateKey, X509Certificate } from 'node:crypto'
import { access, constants, stat, statfs } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { exists, FILES, loadTrustFile } from '../client/index.ts'
import { examineLog, GATEWAY_FILES, gatewayMlDsaSigner, loadConfig, loadKeys, loadRotation } from '../gateway/index.ts'
import { parseAddress, peerIdentity } from '../rpc/index.ts'
import { AttestError } from '../verify/errors.ts'
import { CA_KEY } from './folders/gateway-folder.ts'

export interface Finding {
  readonly check: string
  readonly outcome: 'ok' | 'note' | 'problem'
  readonly detail: string
}

const DAY_MS = 24 * 3600 * 1000
const LOW_DISK_BYTES = 1024 ** 3

/** What would keep a gateway from starting or working, found without starting it and without changing anything. */
export async function examineGateway(folder: string, at: Date): Promise<readonly Finding[]> {
  return [
    await tried('configuration', () => Promise.resolve(`listens on ${loadConfig(folder).listen}`)),
    await tried('keys', () => checkKeys(folder)),
    await tried('certificate', () => Promise.resolve(checkCertificate(folder, at))),
    await tried('port', () => checkPort(loadConfig(folder).listen)),
    ...(await publicLog(folder)),
    await tried('data folder', () => checkData(folder)),
    await tried('log', () => checkLog(folder)),
    ...(await notes(folder, at)),
  ]
}

async function tried(check: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { check, outcome: 'ok', detail: await work() }
  } catch (error) {
    const detail = error instanceof AttestError ? `${error.code}: ${error.message}` : String(error)
    return { check, outcome: 'problem', detail }
  }
}

/** Also that receipts will be signed as the trust file of this folder, which others have, says that they are. */
async function checkKeys(folder: string): Promise<string> {
  const { log, signing, mlDsa } = loadKeys(folder)
  if (loadRotation(folder) !== null) {
    throw new AttestError('DOCUMENT_INVALID', 'a rotation of keys is unfinished: run sealgate gateway rotate-keys again')
  }
  if (mlDsa !== null) await gatewayMlDsaSigner(mlDsa)
  const trustPath = join(folder, FILES.trust)
  const trusted = (await exists(trustPath)) ? (await loadTrustFile(trustPath)).gateways.find((g) => g.x === signing.x) : undefined
  if (trusted !== undefined && trusted.mlDsa?.pub !== mlDsa?.pub) {
    throw new AttestError(
      'DOCUMENT_INVALID',
      `${GATEWAY_FILES.mlDsaKey} is not the key that ${FILES.trust} names: receipts would be refused or count for less`,
    )
  }
  return `log ${log.origin}`
}

function checkCertificate(folder: string, at: Date): string {
  const { tls } = loadKeys(folder)
  const [leaf, authority] = [new X509Certificate(tls.cert), new X509Certificate(tls.ca)]
  if (!leaf.checkPrivateKey(createPrivateKey(tls.key))) throw new AttestError('TLS_REJECTED', 'tls.key is not the key of tls.crt')
  if (!leaf.checkIssued(authority) || !leaf.verify(authority.publicKey))
    throw new AttestError('TLS_REJECTED', 'tls.crt was not issued by ca.crt')
  if (peerIdentity(leaf.subjectAltName)?.role !== 'gateway')
    throw new AttestError('TLS_REJECTED', 'tls.crt is not the certificate of a gateway')
  if (at < new Date(leaf.validFrom) || at > new Date(leaf.validTo))
    throw new AttestError('COLLATERAL_EXPIRED', `tls.crt is valid until ${leaf.validTo}`)
  return `valid until ${leaf.validTo}`
}

async function checkPort(listen: string): Promise<string> {
  const { host, port } = parseAddress(listen)
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EADDRINUSE') reject(new AttestError('PORT_IN_USE', `${listen} is taken; is this gateway running?`, { cause }))
      else reject(new AttestError('USAGE', `cannot listen on ${listen} (${cause.code ?? 'unknown'})`, { cause }))
    })
    server.listen(port, host, resolve)
  })
  await new Promise((resolve) => server.close(resolve))
  return `${listen} is free`
}

/** Nothing where the log is not shown to anybody, or where the configuration has a problem of its own. */
async function publicLog(folder: string): Promise<readonly Finding[]> {
  let listen: string | undefined
  try {
    listen = loadConfig(folder).log.publicListen
  } catch {
    return []
  }
  return listen === undefined ? [] : [await tried('public log', () => checkPort(listen))]
}

async function checkData(folder: string): Promise<string> {
  const data = join(folder, GATEWAY_FILES.data)
  const target = (await exists(data)) ? data : folder
  await access(target, constants.R_OK | constants.W_OK).catch((cause: unknown) => {
    throw new AttestError('FILE_UNREADABLE', `${target} cannot be written`, { cause })
  })
  const { bavail, bsize } = await statfs(target)
  if (bavail * bsize < LOW_DISK_BYTES) throw new AttestError('DISK_FULL', `only ${Math.floor((bavail * bsize) / 1024 ** 2)} MiB are free`)
  return `${Math.floor((bavail * bsize) / 1024 ** 3)} GiB free`
}

async function checkLog(folder: string): Promise<string> {
  const { entries, time } = await examineLog(folder, loadConfig(folder), loadKeys(folder).log)
  if (time === null) return 'has not begun'
  return `${entries} entries, as the head file says; newest checkpoint of ${new Date(time * 1000).toISOString()}`
}

async function notes(folder: string, at: Date): Promise<readonly Finding[]> {
  const found: Finding[] = []
  const note = (check: string, detail: string): number => found.push({ check, outcome: 'note', detail })
  if (await exists(join(folder, CA_KEY)))
    note('authority key', `${CA_KEY} lies beside the running gateway; whoever takes it can issue identities`)
  for (const name of [GATEWAY_FILES.tlsKey, GATEWAY_FILES.signingKey, GATEWAY_FILES.mlDsaKey, GATEWAY_FILES.logKey, CA_KEY]) {
    const mode = await stat(join(folder, name)).then(
      (s) => s.mode,
      () => 0,
    )
    if ((mode & 0o077) !== 0) note('key files', `${name} can be read by others on this machine: chmod 600 it`)
  }
  try {
    const { tls } = loadKeys(folder)
    const days = (Date.parse(new X509Certificate(tls.cert).validTo) - at.getTime()) / DAY_MS
    if (days > 0 && days < 30) note('certificate', `tls.crt expires in ${Math.floor(days)} days`)
    if (loadConfig(folder).simulatedRoots.length > 0) note('simulated roots', 'SIMULATED hosts are taken: for demonstrations only')
  } catch {
    // Reported as a problem above.
  }
  return found
}
