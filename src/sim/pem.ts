import { toBase64 } from '../verify/bytes/bytes.ts'

/** Textual encoding of RFC 7468. */
export function encodePem(der: Uint8Array, label = 'CERTIFICATE'): string {
  return `-----BEGIN ${label}-----\n${wrapBase64(der)}\n-----END ${label}-----\n`
}

/** Base64 in lines of 64 characters, none after the last. */
export function wrapBase64(bytes: Uint8Array): string {
  return (toBase64(bytes).match(/.{1,64}/g) ?? []).join('\n')
}
