import { OID, SPL_OID, type SplName } from '../../verify/evidence/sev-snp/vek.ts'
import type { Extension as RawExtension } from '../../verify/formats/x509.ts'
import {
  authorityExtensions,
  type CrlContent,
  extension,
  issueCertificate,
  issueCertificateList,
  PSS,
  type Signer,
  USAGE,
} from '../certificates.ts'
import { der } from '../der.ts'

/** A private key, PKCS #8 DER, and the name it goes by. */
export interface Authority {
  readonly key: Uint8Array
  readonly commonName: string
}

/** What stands in every certificate. */
export interface CertificateFields {
  readonly commonName: string
  readonly serial: string
  readonly notBefore: Date
  readonly notAfter: Date
}

/** What stands in a VEK certificate besides. A null leaves the extension out. */
export interface VekFields extends CertificateFields {
  readonly structVersion: number
  readonly productName: string
  readonly spl: Readonly<Partial<Record<SplName, number>>>
  readonly hwId: Uint8Array | null
  readonly cspId: string | null
  readonly extra: readonly RawExtension[]
}

/** AMD's names with another organisation, so that no reader takes a simulated certificate for AMD's. */
function nameOf(commonName: string): string {
  return `OU=Engineering, C=US, L=Santa Clara, ST=CA, O=SIMULATED by sealgate, CN=${commonName}`
}

export async function issueAuthority(fields: CertificateFields, key: Uint8Array, issuer: Authority): Promise<Uint8Array> {
  const isRoot = issuer.commonName === fields.commonName
  const usage = isRoot ? USAGE.certSign | USAGE.crlSign : USAGE.certSign
  const extensions = authorityExtensions(usage, isRoot ? null : 0)
  return issueCertificate({ ...fields, subject: nameOf(fields.commonName), key, extensions }, signerOf(issuer))
}

export async function issueVek(fields: VekFields, key: Uint8Array, issuer: Authority): Promise<Uint8Array> {
  const levels = (Object.keys(fields.spl) as SplName[]).map((name) => extension(SPL_OID[name], der.integer(fields.spl[name] ?? 0)))
  const extensions = [
    extension(OID.structVersion, der.integer(fields.structVersion)),
    extension(OID.productName, der.ia5(fields.productName)),
    ...levels,
    ...(fields.hwId === null ? [] : [extension(OID.hwId, fields.hwId)]),
    ...(fields.cspId === null ? [] : [extension(OID.cspId, der.ia5(fields.cspId))]),
    ...fields.extra.map((e) => extension(e.oid, e.value, e.critical)),
  ]
  return issueCertificate({ ...fields, subject: nameOf(fields.commonName), key, extensions }, signerOf(issuer))
}

export async function issueCrl(fields: CrlContent, issuer: Authority): Promise<Uint8Array> {
  return issueCertificateList(fields, signerOf(issuer))
}

function signerOf({ commonName, key }: Authority): Signer {
  return { name: nameOf(commonName), key, algorithm: PSS }
}
