import { toHex } from '../../bytes/bytes.ts'
import { instant } from '../check.ts'
import type { KnownCertificate } from '../collateral.ts'
import type { CommonClaims } from '../types.ts'
import { isDebug } from './appraise.ts'
import type { NitroChain } from './chain.ts'
import type { NitroDocument } from './parse.ts'

/** One certificate of the chain. */
export interface NitroCertificateFields {
  readonly sha256: string
  readonly subject: string
  readonly notBefore: string
  readonly notAfter: string
}

/** What was read, whether or not it verified. Byte strings are hexadecimal; null where the document has none. */
export interface NitroParsed {
  readonly moduleId: string
  readonly digest: 'SHA384'
  /** Milliseconds since 1970. */
  readonly timestamp: number
  /** By index. */
  readonly pcrs: Readonly<Record<string, string>>
  readonly publicKey: string | null
  readonly userData: string | null
  readonly nonce: string | null
  /** Root first, leaf last. */
  readonly certificates: readonly NitroCertificateFields[]
}

/** What an accepted attestation document proves. */
export interface NitroClaims extends CommonClaims, NitroParsed {
  readonly tee: 'nitro'
  /** PCR0. */
  readonly measurement: string
}

export function describeDocument(document: NitroDocument, { authorities, leaf }: NitroChain): NitroParsed {
  const { moduleId, digest, timestamp, pcrs } = document
  return {
    moduleId,
    digest,
    timestamp,
    pcrs: Object.fromEntries([...pcrs].map(([index, value]) => [`${index}`, toHex(value)])),
    publicKey: hexOrNull(document.publicKey),
    userData: hexOrNull(document.userData),
    nonce: hexOrNull(document.nonce),
    certificates: [...authorities, leaf].map(describeCertificate),
  }
}

function describeCertificate({ sha256, subject, notBefore, notAfter }: KnownCertificate): NitroCertificateFields {
  return { sha256, subject: subject.text, notBefore: instant(notBefore), notAfter: instant(notAfter) }
}

function hexOrNull(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : toHex(bytes)
}

export function claimsOf(document: NitroDocument, parsed: NitroParsed, simulated: boolean): NitroClaims {
  return {
    tee: 'nitro',
    measurement: toHex(document.pcr0),
    reportData: parsed.userData ?? '',
    debug: isDebug(document),
    tcbStatus: 'not-applicable',
    simulated,
    ...parsed,
  }
}
