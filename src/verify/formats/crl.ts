import type { SignatureScheme } from '../crypto/types.ts'
import { AttestError } from '../errors.ts'
import { assertDer, type DerReader, TAG } from './der.ts'
import { assertSameAlgorithm, openSigned, readExtensionList, readExtensions, unknownCritical } from './x509.ts'
import { serialText } from './x509-algorithm.ts'
import { type Name, readName } from './x509-name.ts'

/** A complete X.509 v2 CRL that passed the DER gate. Its signature is not checked yet. */
export interface Crl {
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly signatureScheme: SignatureScheme
  readonly signature: Uint8Array
  readonly issuer: Name
  /** Milliseconds since 1970, both inclusive. */
  readonly thisUpdate: number
  readonly nextUpdate: number
  /** Serial (content of the INTEGER, hexadecimal) to time of revocation (milliseconds since 1970). */
  readonly revoked: ReadonlyMap<string, number>
}

export const MAX_CRL_SIZE: number = 1024 * 1024

const VERSION_2 = 1

/**
 * Reads a CRL front to back. Any critical extension is refused: delta CRLs, CRLs for a part of the certificates and
 * indirect CRLs all mark themselves so, and none of them answers "is this serial revoked" by itself.
 * @param input - DER, exactly one CRL, at most 1 MiB.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`, `EVIDENCE_UNSUPPORTED`.
 * @see RFC 5280 section 5.
 */
export function parseCrl(input: Uint8Array, at = 'crl'): Crl {
  if (input.length > MAX_CRL_SIZE) throw new AttestError('CERTIFICATE_MALFORMED', `larger than ${MAX_CRL_SIZE} bytes`, { at })
  const raw = new Uint8Array(input)
  assertDer(raw, at)
  const { tbs, tbsReader, scheme, signature } = openSigned(raw, at)

  if (tbsReader.smallInteger() !== VERSION_2) throw new AttestError('CERTIFICATE_MALFORMED', 'want CRL version 2', { at })
  assertSameAlgorithm(tbsReader, scheme, at)
  const issuer = readName(tbsReader)
  const [thisUpdate, nextUpdate] = [tbsReader.time(), tbsReader.time()]
  const revoked = tbsReader.peek === TAG.sequence ? readRevoked(tbsReader.open(TAG.sequence), at) : new Map<string, number>()
  const extensions = tbsReader.done ? new Map<string, never>() : readExtensions(tbsReader.open(0xa0), at)
  tbsReader.end()
  assertNothingCritical(unknownCritical(extensions, []), at)
  return { raw, tbs, signatureScheme: scheme, signature, issuer, thisUpdate, nextUpdate, revoked }
}

function readRevoked(list: DerReader, at: string): Map<string, number> {
  const revoked = new Map<string, number>()
  while (!list.done) {
    const entry = list.open(TAG.sequence)
    const serial = serialText(entry.content(TAG.integer))
    const time = entry.time()
    if (!entry.done) assertNothingCritical(unknownCritical(readExtensionList(entry.open(TAG.sequence), at), []), at)
    entry.end()
    revoked.set(serial, Math.min(time, revoked.get(serial) ?? time))
  }
  return revoked
}

function assertNothingCritical(oids: readonly string[], at: string): void {
  if (oids.length > 0) throw new AttestError('EVIDENCE_UNSUPPORTED', `critical CRL extension ${oids.join(', ')}`, { at })
}
