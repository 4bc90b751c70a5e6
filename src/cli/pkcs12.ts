import forge from 'node-forge'
import type { TlsIdentity } from '../rpc/index.ts'
import { AttestError } from '../verify/errors.ts'

/** PBKDF iterations; node-forge's MAC is HMAC-SHA1 with as many, which legacy readers expect. */
const ITERATIONS = 100_000
const MIN_PASSWORD = 8

/** A certificate that is handed through as it is. */
interface RawCertificate {
  readonly asn1: forge.asn1.Asn1
}

/**
 * An RSA client identity with its authority's certificate as PKCS#12 (RFC 7292, AES-256) for Windows and Java consumers. The
 * only use of node-forge: it signs and verifies nothing here. Elliptic-curve identities stay PEM (`openssl pkcs12 -export`
 * takes them).
 * @throws AttestError `USAGE` for another kind of key or a short password.
 */
export function exportPkcs12(identity: TlsIdentity, name: string, password: string): Uint8Array {
  if (password.length < MIN_PASSWORD) throw new AttestError('USAGE', `the password needs at least ${MIN_PASSWORD} characters`)
  const key = readRsaKey(identity.key)
  const chain = [identity.cert, identity.ca].map(rawCertificate) as unknown as forge.pki.Certificate[]
  const asn1 = keepingCertificates(() =>
    forge.pkcs12.toPkcs12Asn1(key, chain, password, { algorithm: 'aes256', count: ITERATIONS, friendlyName: name }),
  )
  return new Uint8Array(Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary'))
}

function readRsaKey(pem: string): forge.pki.rsa.PrivateKey {
  try {
    return forge.pki.privateKeyFromPem(pem)
  } catch (cause) {
    throw new AttestError('USAGE', 'the identity has no RSA key; issue one with sealgate ca issue --rsa', { cause })
  }
}

function rawCertificate(pem: string): RawCertificate {
  const [block] = forge.pem.decode(pem)
  if (block === undefined) throw new AttestError('CERTIFICATE_MALFORMED', 'the identity has no certificate')
  return { asn1: forge.asn1.fromDer(forge.util.createBuffer(block.body)) }
}

/**
 * node-forge would parse and write certificates anew: it refuses those with elliptic-curve keys and adds parameters to an ECDSA
 * signature's algorithm, which breaks the certificate. So for the time of one call it gets them as they are.
 */
function keepingCertificates<T>(work: () => T): T {
  const pki = forge.pki as unknown as { certificateToAsn1: unknown }
  const original = pki.certificateToAsn1
  pki.certificateToAsn1 = (certificate: RawCertificate) => certificate.asn1
  try {
    return work()
  } finally {
    pki.certificateToAsn1 = original
  }
}
