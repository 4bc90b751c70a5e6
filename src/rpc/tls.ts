import { isIP } from 'node:net'
import type { ConnectionOptions, SecureContextOptions } from 'node:tls'
import { AttestError } from '../verify/errors.ts'

/** A mutual-TLS identity, PEM. `ca` is the only root that the other side may lead to. */
export interface TlsIdentity {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

export interface Address {
  readonly host: string
  readonly port: number
}

/**
 * Reads `host:port` or `[v6]:port`.
 * @throws AttestError `USAGE`.
 */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65535) throw new AttestError('USAGE', `"${text}" is not an address; want host:port`)
  return { host, port }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** TLS 1.3 only, both ends. */
export function secureOptions(identity: TlsIdentity): SecureContextOptions {
  return { ca: identity.ca, cert: identity.cert, key: identity.key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }
}

/**
 * For an HTTPS request to the gateway's byte path. Node's https client names no protocol by itself; RFC 6066 allows no
 * server name for an address, and the certificate must name the address all the same.
 */
export function httpsOptions({ host, port }: Address, identity: TlsIdentity): ConnectionOptions & { readonly agent: false } {
  const servername = isIP(host) === 0 ? host : ''
  return { ...secureOptions(identity), host, port, servername, ALPNProtocols: ['http/1.1'], agent: false }
}

export interface PeerIdentity {
  readonly role: 'client' | 'host' | 'gateway'
  readonly name: string
}

const IDENTITY = /^urn:sealgate:(client|host|gateway):([a-z0-9][a-z0-9-]{0,62})$/

/**
 * Reads who a certificate speaks for from its subjectAltName, as node:tls prints it (`URI:urn:sealgate:client:NAME, …`).
 * Null unless there is exactly one such URI; other SAN types do not count.
 */
export function peerIdentity(subjectAltName: string | undefined): PeerIdentity | null {
  // node quotes an entry that holds a comma or quote, so a value cannot pretend to be a second entry.
  const entries = (subjectAltName ?? '').split(', ').filter((entry) => entry.startsWith('URI:'))
  const match = entries.length === 1 ? IDENTITY.exec((entries[0] ?? '').slice('URI:'.length)) : null
  if (match === null) return null
  return { role: match[1] as PeerIdentity['role'], name: match[2] ?? '' }
}
