/** A key that is trusted because it is written down, with the facts about it that a verifier needs. */
export interface Anchor {
  /** Distinguished names in the form of `Name.text`. */
  readonly subject: string
  readonly issuer: string
  /** Content of the INTEGER, hexadecimal. */
  readonly serial: string
  /** Milliseconds since 1970, both inclusive. */
  readonly notBefore: number
  readonly notAfter: number
  /** DER SubjectPublicKeyInfo and its SHA-256, hexadecimal. */
  readonly spki: Uint8Array
  readonly spkiSha256: string
  /** SHA-256 of the certificate, hexadecimal, where a caller named it. Absent: built in. */
  readonly certificateSha256?: string
}
