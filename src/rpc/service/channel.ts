import { createHash, type X509Certificate } from 'node:crypto'

/** ALPN of the TLS 1.3 connection between a client and a service's enclave. Inside of it HTTP/1.1 is spoken. */
export const SERVICE_ALPN = 'sealgate-service/1'

/** What the enclave answers itself: nothing below this path reaches the workload. */
export const OWN_PATH = '/.well-known/sealgate/'
/** `POST` with `{"nonce":b64(32)}`: fresh evidence of the role `session`. */
export const EVIDENCE_PATH: string = `${OWN_PATH}evidence`
/** `GET`, with `?from=N` for records from exchange N on: `{"records":[…],"secret":…,"session":…}` */
export const SESSION_PATH: string = `${OWN_PATH}session`

/** Tells a client the number of its exchange. Headers that begin with `sealgate-` pass neither way. */
export const EXCHANGE_HEADER = 'sealgate-exchange'

/** Both ends of the channel and the workload's side of it. Nothing of a message is kept beyond what is under way. */
export const MAX_HEADER_SIZE: number = 64 * 1024
/** TLS connections of one client: as many requests are under way at a time. */
export const MAX_CLIENT_CONNECTIONS = 32

/** base64url SHA-256 of the SubjectPublicKeyInfo of a certificate: how contracts and bindings name TLS keys. */
export function spkiDigest({ publicKey }: X509Certificate): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url')
}
