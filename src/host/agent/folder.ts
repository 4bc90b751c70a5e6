import { createHash, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseIdentity, type TlsIdentity } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'

/** Files of a host's folder, as `sealgate ca issue` and `sealgate init` make them. */
export const HOST_FILES = {
  ca: 'ca.crt',
  cert: 'tls.crt',
  key: 'tls.key',
  identity: 'identity.json',
  /** Keys of a simulated TEE; absent on real hardware. */
  simulatedPlatform: 'sim-platform.json',
  /** Keys of simulated GPUs; absent on real hardware. */
  simulatedGpus: 'sim-gpus.json',
  /** Manifests and OCSP responses by which the agent admits GPUs, in any form. Never an anchor. */
  collateral: 'collateral',
  state: 'state',
} as const

/** Who this host is and where its gateway is. */
export interface HostIdentity {
  readonly name: string
  /** host:port */
  readonly gateway: string
  readonly tls: TlsIdentity
}

/** @throws AttestError `FILE_UNREADABLE` naming the file, `USAGE` for a client's folder, `DOCUMENT_INVALID`. */
export async function loadHostIdentity(folder: string): Promise<HostIdentity> {
  const { role, name, gateway } = parseIdentity(await readIn(folder, HOST_FILES.identity))
  if (role !== 'host') throw new AttestError('USAGE', `${folder} is the folder of a ${role}, want one of a host`)
  const text = async (file: string): Promise<string> => new TextDecoder().decode(await readIn(folder, file))
  return { name, gateway, tls: { ca: await text(HOST_FILES.ca), cert: await text(HOST_FILES.cert), key: await text(HOST_FILES.key) } }
}

/** base64url SHA-256 of the public key (SPKI) of a certificate: the `tls` member of a binding. */
export function tlsKeyDigest(certificate: string): string {
  try {
    const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' })
    return createHash('sha256').update(spki).digest('base64url')
  } catch (cause) {
    throw new AttestError('CERTIFICATE_MALFORMED', 'the TLS certificate does not parse', { at: HOST_FILES.cert, cause })
  }
}

async function readIn(folder: string, file: string): Promise<Uint8Array> {
  const path = join(folder, file)
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    throw new AttestError('FILE_UNREADABLE', `cannot read ${path}`, { cause })
  }
}
