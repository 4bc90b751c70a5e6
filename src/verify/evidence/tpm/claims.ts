import { toHex } from '../../bytes/bytes.ts'
import { instant } from '../check.ts'
import type { KnownCertificate } from '../collateral.ts'
import type { CommonClaims } from '../types.ts'
import type { AttestationKey } from './ak.ts'
import type { QuoteAppraisal } from './appraise.ts'
import type { TpmQuote } from './attest.ts'
import type { PcrEvent } from './event-log.ts'
import type { PcrBank } from './pcrs.ts'
import { hasAttribute, nameOf, OBJECT_BIT, type ObjectAttribute } from './public.ts'
import type { TpmSignature } from './signature.ts'

/** A quote as JSON. Byte strings are hexadecimal. */
export interface TpmFields {
  readonly qualifiedSigner: string
  readonly extraData: string
  /** Milliseconds since the TPM was made or cleared, decimal. */
  readonly clock: string
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
  readonly firmwareVersion: string
  readonly pcrSelections: readonly { readonly bank: string; readonly pcrs: readonly number[] }[]
  readonly pcrDigest: string
  readonly signature: { readonly scheme: string; readonly hash: string } | null
  /** Values by bank and PCR, of the quoted PCRs alone; null where none were given. */
  readonly pcrs: Readonly<Record<string, Readonly<Record<string, string>>>> | null
}

/** The key that signed, as JSON. */
export interface AkFields {
  readonly spkiSha256: string
  /** Name and attributes, where the TPM's own description was given. */
  readonly name: string | null
  readonly attributes: readonly ObjectAttribute[] | null
  readonly certificate: {
    readonly sha256: string
    readonly subject: string
    readonly issuer: string
    readonly serial: string
    readonly notBefore: string
    readonly notAfter: string
  } | null
}

/** What was read, whether or not it verified. */
export interface TpmParsed extends TpmFields {
  /** Null: no key verifies the signature. */
  readonly ak: AkFields | null
  /** Null: no event log given. */
  readonly eventLog: { readonly events: number; readonly replayed: Readonly<Record<string, string>> } | null
}

/** What an accepted quote proves. */
export interface TpmClaims extends CommonClaims, TpmFields {
  readonly tee: 'tpm'
  /** pcrDigest. */
  readonly measurement: string
  readonly ak: AkFields | null
  /** Events of the PCRs that were compared, in the order in which they happened. Null: no event log given. */
  readonly events: readonly PcrEvent[] | null
}

export function describeTpmQuote(quote: TpmQuote, signature: TpmSignature | null, banks: readonly PcrBank[]): TpmFields {
  return {
    qualifiedSigner: toHex(quote.qualifiedSigner),
    extraData: toHex(quote.extraData),
    clock: `${quote.clock}`,
    resetCount: quote.resetCount,
    restartCount: quote.restartCount,
    safe: quote.safe,
    firmwareVersion: quote.firmwareVersion.toString(16).padStart(16, '0'),
    pcrSelections: quote.selections.map(({ hash, indices }) => ({ bank: hash.name, pcrs: indices })),
    pcrDigest: toHex(quote.pcrDigest),
    signature: signature === null ? null : { scheme: signature.scheme, hash: signature.hash.name },
    pcrs: banks.length === 0 ? null : describeBanks(quote, banks),
  }
}

/** Values that nobody quoted are left out: nothing is known about them. */
function describeBanks({ selections }: TpmQuote, banks: readonly PcrBank[]): TpmFields['pcrs'] {
  const quoted = selections.map(({ hash, indices }) => {
    const values = banks.find((b) => b.hash === hash)?.values
    const known = indices.flatMap((index) => {
      const value = values?.get(index)
      return value === undefined ? [] : [[`${index}`, toHex(value)] as const]
    })
    return [hash.name, Object.fromEntries(known)] as const
  })
  return Object.fromEntries(quoted)
}

export async function describeAk({ spkiSha256, tpmPublic }: AttestationKey, certificate: KnownCertificate | null): Promise<AkFields> {
  const names = Object.keys(OBJECT_BIT) as ObjectAttribute[]
  return {
    spkiSha256,
    name: tpmPublic === null ? null : toHex(await nameOf(tpmPublic)),
    attributes: tpmPublic === null ? null : names.filter((n) => hasAttribute(tpmPublic, n)),
    certificate: certificate === null ? null : describeCertificate(certificate),
  }
}

function describeCertificate({ sha256, subject, issuer, serial, notBefore, notAfter }: KnownCertificate): AkFields['certificate'] {
  return { sha256, subject: subject.text, issuer: issuer.text, serial, notBefore: instant(notBefore), notAfter: instant(notAfter) }
}

export function tpmParsed(fields: TpmFields, ak: AkFields | null, { eventLog }: QuoteAppraisal): TpmParsed {
  return { ...fields, ak, eventLog: eventLog === null ? null : { events: eventLog.count, replayed: eventLog.replayed } }
}

export function tpmClaims(fields: TpmFields, ak: AkFields | null, { eventLog }: QuoteAppraisal, simulated: boolean): TpmClaims {
  return {
    ...fields,
    tee: 'tpm',
    measurement: fields.pcrDigest,
    reportData: fields.extraData,
    debug: false,
    tcbStatus: 'not-applicable',
    simulated,
    ak,
    events: eventLog?.events ?? null,
  }
}
