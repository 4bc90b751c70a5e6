import { BasicConstraintsExtension, type Extension, KeyUsagesExtension } from '@peculiar/x509'
import { fromHex, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { OID_SGX_EXTENSION } from '../../verify/evidence/dcap/pck.ts'
import { extension, issueCertificate, issueCertificateList, P256, type Signer, USAGE } from '../certificates.ts'
import { der } from '../der.ts'
import { digest } from '../keys.ts'
import { type IntelDates, svns } from './collateral.ts'

/** Who has a certificate: root, authority for PCK certificates, PCK, signer of TCB info and identities. */
export type IntelRole = 'root' | 'platform' | 'leaf' | 'signer'

/** Everything of this authority says that it is simulated. */
const NAME: Readonly<Record<IntelRole, string>> = {
  root: 'SGX Root CA',
  platform: 'SGX PCK Platform CA',
  leaf: 'SGX PCK Certificate',
  signer: 'SGX TCB Signing',
}

/** What a certificate says where it is not as Intel's are. */
export interface IntelCertificateChange {
  readonly commonName?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly ca?: boolean
  readonly usage?: number
  /** Signs in place of the issuer, PKCS #8 DER. */
  readonly signedBy?: Uint8Array
  readonly extra?: readonly Extension[]
}

/** What a PCK certificate says of its platform. */
export interface PckFields {
  readonly sgx: readonly number[]
  readonly pceSvn: number
  readonly fmspc: string
  readonly pceId: string
}

export interface IntelCertificate {
  /** DER. */
  readonly certificate: Uint8Array
  /** Hexadecimal. */
  readonly serial: string
}

function signerOf(role: IntelRole, key: Uint8Array): Signer {
  return { name: nameOf(NAME[role]), key, algorithm: P256 }
}

function nameOf(commonName: string): string {
  return `CN=SIMULATED ${commonName}, O=SIMULATED by sealgate, C=US`
}

/** @param issuer - Role and key, PKCS #8 DER. */
export async function issueIntel(
  role: IntelRole,
  key: Uint8Array,
  issuer: { readonly role: IntelRole; readonly key: Uint8Array },
  dates: IntelDates,
  change: IntelCertificateChange,
): Promise<IntelCertificate> {
  const isAuthority = role === 'root' || role === 'platform'
  const usage = change.usage ?? (isAuthority ? USAGE.certSign | USAGE.crlSign : USAGE.digitalSignature)
  // A changed certificate gets another serial: it is another certificate.
  const serial = toHex(digest('sha256', utf8(JSON.stringify([role, change]))).subarray(0, 16))
  const content = {
    serial,
    subject: nameOf(change.commonName ?? NAME[role]),
    notBefore: change.notBefore ?? dates.notBefore,
    notAfter: change.notAfter ?? dates.notAfter,
    key,
    extensions: [
      new BasicConstraintsExtension(change.ca ?? isAuthority, undefined, true),
      new KeyUsagesExtension(usage, true),
      ...(change.extra ?? []),
    ],
  }
  return { serial, certificate: await issueCertificate(content, signerOf(issuer.role, change.signedBy ?? issuer.key)) }
}

export function issueIntelCrl(
  by: { readonly role: IntelRole; readonly key: Uint8Array },
  serials: readonly string[],
  [thisUpdate, nextUpdate]: readonly [Date, Date],
): Promise<Uint8Array> {
  const revoked = serials.map((serial) => ({ serial, at: thisUpdate }))
  return issueCertificateList({ thisUpdate, nextUpdate, revoked }, signerOf(by.role, by.key))
}

/** The SGX extension (Intel SGX PCK Certificate and CRL Profile, section 1.3.5). */
export function sgxExtension({ sgx, pceSvn, fmspc, pceId }: PckFields): Extension {
  const entry = (path: string, value: Uint8Array): Uint8Array => der.sequence(der.oid(`${OID_SGX_EXTENSION}.${path}`), value)
  const tcb = [...svns(...sgx)].map((svn, i) => entry(`2.${i + 1}`, der.integer(svn)))
  const value = der.sequence(
    entry('1', der.octets(new Uint8Array(16).fill(0x99))),
    entry('2', der.sequence(...tcb, entry('2.17', der.integer(pceSvn)), entry('2.18', der.octets(svns(...sgx))))),
    entry('3', der.octets(fromHex(pceId))),
    entry('4', der.octets(fromHex(fmspc))),
    entry('5', der.enumerated(1)),
    entry('6', der.octets(new Uint8Array(16).fill(0x77))),
    entry('7', der.sequence(entry('7.1', der.boolean(true)), entry('7.2', der.boolean(false)), entry('7.3', der.boolean(true)))),
  )
  return extension(OID_SGX_EXTENSION, value)
}
