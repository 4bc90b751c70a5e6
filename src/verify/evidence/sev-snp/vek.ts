import { concat, equal, fromUtf8, toHex } from '../../bytes/bytes.ts'
import { isPointOn } from '../../crypto/ec-spki.ts'
import { AttestError } from '../../errors.ts'
import { assertDer, DerReader, TAG } from '../../formats/der.ts'
import { type Certificate, unknownCritical } from '../../formats/x509.ts'
import type { AmdProduct } from '../../trust/amd.ts'
import type { SigningKey } from './layout.ts'

/** Security patch levels in a VEK certificate, under AMD's names. */
export type SplName = 'blSPL' | 'teeSPL' | 'snpSPL' | 'spl4' | 'spl5' | 'spl6' | 'spl7' | 'ucodeSPL' | 'fmcSPL'

/** A VCEK or VLEK certificate: what it says of the chip and the TCB. Not verified. */
export interface Vek {
  readonly kind: SigningKey
  /** By the issuer's name. */
  readonly product: AmdProduct
  readonly structVersion: number
  readonly productName: string
  readonly spl: Readonly<Partial<Record<SplName, number>>>
  /** The levels as the eight bytes of a TCB_VERSION. */
  readonly tcb: Uint8Array
  /** VCEK only: 64 bytes, from Turin on 8. */
  readonly hwId: Uint8Array | null
  readonly hwIdEncoding: 'raw' | 'OCTET STRING' | null
  /** VLEK only: the cloud service provider. */
  readonly cspId: string | null
}

/** A VEK's own name or its issuer's. The prefix is how the simulator's certificates call themselves. */
const LEAF_NAME = /^(?:SIMULATED )?SEV-(VCEK|VLEK)$/
const ISSUER_NAME = /^(?:SIMULATED )?SEV-(VLEK-)?(Milan|Genoa|Turin)$/

/** AMD 57230 section 3, table 8: the arc and its members. */
const ARC = '1.3.6.1.4.1.3704.1'
export const OID: Readonly<Record<'structVersion' | 'productName' | 'hwId' | 'cspId', string>> = {
  structVersion: `${ARC}.1`,
  productName: `${ARC}.2`,
  hwId: `${ARC}.4`,
  cspId: `${ARC}.5`,
}
export const SPL_OID: Readonly<Record<SplName, string>> = {
  blSPL: `${ARC}.3.1`,
  teeSPL: `${ARC}.3.2`,
  snpSPL: `${ARC}.3.3`,
  spl4: `${ARC}.3.4`,
  spl5: `${ARC}.3.5`,
  spl6: `${ARC}.3.6`,
  spl7: `${ARC}.3.7`,
  ucodeSPL: `${ARC}.3.8`,
  fmcSPL: `${ARC}.3.9`,
}

interface Profile {
  readonly structVersion: number
  /** Which level stands at which byte of a TCB_VERSION. */
  readonly tcb: readonly SplName[]
  readonly hwIdSize: number
}

const BEFORE_TURIN: Profile = {
  structVersion: 0,
  tcb: ['blSPL', 'teeSPL', 'spl4', 'spl5', 'spl6', 'spl7', 'snpSPL', 'ucodeSPL'],
  hwIdSize: 64,
}
const TURIN: Profile = {
  structVersion: 1,
  tcb: ['fmcSPL', 'blSPL', 'teeSPL', 'snpSPL', 'spl5', 'spl6', 'spl7', 'ucodeSPL'],
  hwIdSize: 8,
}

/** VCEK or VLEK by the subject's name; null for any other certificate. */
export function vekKindOf(certificate: Certificate): SigningKey | null {
  const match = LEAF_NAME.exec(certificate.subject.commonName ?? '')
  return (match?.[1] as SigningKey | undefined) ?? null
}

/**
 * Reads the extensions of a VEK certificate against the profile of its product: every level present once, none of another
 * product, the chip id where it belongs.
 * @throws AttestError `CERTIFICATE_MALFORMED`, `DER_MALFORMED`.
 * @see AMD 57230 (VCEK certificate and KDS interface), section 3.
 */
export function parseVek(certificate: Certificate): Vek {
  const at = 'vek'
  const kind = vekKindOf(certificate)
  if (kind === null) throw malformed(`subject is ${certificate.subject.commonName}, want SEV-VCEK or SEV-VLEK`, at)
  const product = productByIssuer(certificate, kind)
  if (!isPointOn('P-384', certificate.spki)) throw malformed('key is not an uncompressed P-384 point', at)
  if (certificate.basicConstraints?.ca === true) throw malformed('is a certificate authority', at)
  const critical = unknownCritical(certificate.extensions, [])
  if (critical.length > 0) throw malformed(`critical extension ${critical.join(', ')}`, at)

  const profile = product === 'Turin' ? TURIN : BEFORE_TURIN
  const structVersion = readInteger(certificate, OID.structVersion)
  if (structVersion !== profile.structVersion) throw malformed(`structVersion ${structVersion}, want ${profile.structVersion}`, at)
  const productName = readText(certificate, OID.productName)
  if (productName !== product && !productName.startsWith(`${product}-`)) throw malformed(`product ${productName} under ${product}`, at)
  const spl = readLevels(certificate, profile)
  const hwId = kind === 'VCEK' ? readHwId(certificate, profile.hwIdSize) : null
  if (kind === 'VLEK') assertAbsent(certificate, OID.hwId)
  const cspId = kind === 'VLEK' && certificate.extensions.has(OID.cspId) ? readText(certificate, OID.cspId) : null
  return {
    kind,
    product,
    structVersion,
    productName,
    spl,
    tcb: Uint8Array.from(profile.tcb, (name) => spl[name] ?? 0),
    hwId: hwId?.bytes ?? null,
    hwIdEncoding: hwId?.encoding ?? null,
    cspId,
  }
}

function productByIssuer(certificate: Certificate, kind: SigningKey): AmdProduct {
  const match = ISSUER_NAME.exec(certificate.issuer.commonName ?? '')
  const issues = match?.[1] === undefined ? 'VCEK' : 'VLEK'
  if (match === null || issues !== kind) throw malformed(`issuer ${certificate.issuer.commonName} does not issue ${kind}s`, 'vek')
  return match[2] as AmdProduct
}

function readLevels(certificate: Certificate, profile: Profile): Partial<Record<SplName, number>> {
  const spl: Partial<Record<SplName, number>> = {}
  for (const name of Object.keys(SPL_OID) as SplName[]) {
    if (!profile.tcb.includes(name)) assertAbsent(certificate, SPL_OID[name])
    else {
      const level = readInteger(certificate, SPL_OID[name])
      if (level > 255) throw malformed(`${name} is ${level}`, 'vek')
      spl[name] = level
    }
  }
  return spl
}

function readInteger(certificate: Certificate, oid: string): number {
  const place = `vek.${oid}`
  const value = extensionValue(certificate, oid)
  assertDer(value, place)
  return new DerReader(value, place).only((r) => r.smallInteger())
}

function readText(certificate: Certificate, oid: string): string {
  const place = `vek.${oid}`
  const value = extensionValue(certificate, oid)
  assertDer(value, place)
  const text = fromUtf8(new DerReader(value, place).only((r) => r.content(r.peek === TAG.utf8String ? TAG.utf8String : TAG.ia5String)))
  if (!/^[\x20-\x7e]{1,256}$/.test(text)) throw malformed('text is not printable ASCII', place)
  return text
}

/** The chip id stands bare in the extension, or wrapped once more in an OCTET STRING: both are in circulation. */
function readHwId(certificate: Certificate, size: number): { bytes: Uint8Array; encoding: 'raw' | 'OCTET STRING' } {
  const value = extensionValue(certificate, OID.hwId)
  if (value.length === size) return { bytes: value, encoding: 'raw' }
  if (equal(value, concat(Uint8Array.of(TAG.octetString, size), value.subarray(2))) && value.length === size + 2) {
    return { bytes: value.subarray(2), encoding: 'OCTET STRING' }
  }
  throw malformed(`hwID ${toHex(value.subarray(0, 4))}… has ${value.length} bytes, want ${size}`, 'vek')
}

function extensionValue(certificate: Certificate, oid: string): Uint8Array {
  const extension = certificate.extensions.get(oid)
  if (extension === undefined) throw malformed(`extension ${oid} is missing`, 'vek')
  return extension.value
}

function assertAbsent(certificate: Certificate, oid: string): void {
  if (certificate.extensions.has(oid)) throw malformed(`extension ${oid} does not belong here`, 'vek')
}

function malformed(message: string, at: string): AttestError {
  return new AttestError('CERTIFICATE_MALFORMED', message, { at })
}
