import { X509Certificate } from 'node:crypto'
import { spkiDigest } from '../rpc/service/index.ts'
import { AttestError } from '../verify/errors.ts'

/** How contracts and grants name the TLS key of a certificate in PEM. @throws AttestError `CERTIFICATE_MALFORMED`. */
export function tlsKeyDigest(pem: string): string {
  try {
    return spkiDigest(new X509Certificate(pem))
  } catch (cause) {
    throw new AttestError('CERTIFICATE_MALFORMED', 'the TLS certificate does not parse', { at: 'tls.crt', cause })
  }
}
