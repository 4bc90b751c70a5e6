import { fromHex, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { digest, generateEcKey, pointOf, signEcdsa, spkiOf } from '../keys.ts'
import { encodePem } from '../pem.ts'
import {
  type IntelCertificate,
  type IntelCertificateChange,
  type IntelRole,
  issueIntel,
  issueIntelCrl,
  type PckFields,
  sgxExtension,
} from './certificates.ts'
import { FMSPC, type IntelDates, type IntelTee, LATEST, qeIdentity, quotingEnclave, svns, tcbInfo } from './collateral.ts'
import { assembleQuote, type EnclaveFields, enclaveReport, pemBytes, quoteHead, type TdFields, tdReport } from './quote.ts'

/** Private keys of a SIMULATED Intel and of one platform, PKCS #8 DER. */
export type IntelKeys = Readonly<Record<IntelRole | 'attestation', Uint8Array>>

/** Everything about one platform and its collateral. Each member may be changed; it is signed as given. */
export interface IntelFields {
  readonly version: 3 | 4 | 5
  readonly tee: IntelTee
  /** TDX 1.5: the longer TD report. */
  readonly is15: boolean
  readonly td: TdFields
  readonly enclave: EnclaveFields
  readonly qe: EnclaveFields
  readonly authData: Uint8Array
  readonly pck: PckFields
  readonly certificates: Readonly<Partial<Record<IntelRole, IntelCertificateChange>>>
  /** 5: the quote carries the PCK chain; others leave zeros in its place. */
  readonly certificationType: number
  readonly chainOrder: readonly ('leaf' | 'platform' | 'root')[]
  readonly revokedByRoot: readonly ('platform' | 'signer')[]
  readonly revokedByPlatform: readonly 'leaf'[]
  readonly crlWindow: readonly [Date, Date]
  /** Signs both CRLs in place of their issuers. Null: it does not. */
  readonly crlSigner: Uint8Array | null
  readonly tcbInfo: object
  readonly qeIdentity: object
}

/** A quote with its collateral, as a caller has them. */
export interface IntelEvidence {
  readonly quote: Uint8Array
  /** Members of `sgx_ql_qve_collateral_t`. */
  readonly json: Readonly<Record<string, string>>
  /** DER: what a caller names as trust anchor. */
  readonly root: Uint8Array
}

export function createIntelKeys(): IntelKeys {
  const fresh = (): Uint8Array => generateEcKey('P-256')
  return { root: fresh(), platform: fresh(), leaf: fresh(), signer: fresh(), attestation: fresh() }
}

/** A platform that is up to date in every part, TDX 1.5. */
export function intelFields(tee: IntelTee, dates: IntelDates): IntelFields {
  return {
    version: tee === 'sgx' ? 3 : 5,
    tee,
    is15: true,
    td: {
      teeTcbSvn: svns(6, 1, 3),
      teeTcbSvn2: svns(6, 1, 3),
      tdAttributes: fromHex('0000001000000000'),
      xfam: fromHex('e702060000000000'),
      mrTd: new Uint8Array(48).fill(0xa1),
      reportData: new Uint8Array(64).fill(0xd7),
    },
    enclave: {
      attributes: fromHex('05000000000000000700000000000000'),
      mrEnclave: new Uint8Array(32).fill(0xe1),
      mrSigner: new Uint8Array(32).fill(0x51),
      isvProdId: 7,
      isvSvn: 3,
      reportData: new Uint8Array(64).fill(0xd7),
    },
    qe: quotingEnclave(tee),
    authData: new Uint8Array(32).fill(0xad),
    pck: { sgx: LATEST, pceSvn: 13, fmspc: FMSPC, pceId: '0000' },
    certificates: {},
    certificationType: 5,
    chainOrder: ['leaf', 'platform', 'root'],
    revokedByRoot: [],
    revokedByPlatform: [],
    crlWindow: [dates.issued, dates.nextUpdate],
    crlSigner: null,
    tcbInfo: tcbInfo(tee, dates),
    qeIdentity: qeIdentity(tee, dates),
  }
}

type Certificates = Readonly<Record<IntelRole, IntelCertificate>>

/** Issues certificates, CRLs and documents, and signs a quote. */
export async function attestIntel(keys: IntelKeys, fields: IntelFields, dates: IntelDates): Promise<IntelEvidence> {
  const certificates = await issueAll(keys, fields, dates)
  const { root, platform, signer } = certificates
  const chain = (...list: readonly IntelCertificate[]): string => list.map(({ certificate }) => `${encodePem(certificate)}`).join('')
  const serials = (roles: readonly IntelRole[]): readonly string[] => roles.map((role) => certificates[role].serial)
  const by = (role: 'root' | 'platform'): { role: IntelRole; key: Uint8Array } => ({ role, key: fields.crlSigner ?? keys[role] })
  return {
    root: root.certificate,
    quote: signQuote(keys, fields, chain(...fields.chainOrder.map((role) => certificates[role]))),
    json: {
      pck_crl_issuer_chain: chain(platform, root),
      root_ca_crl: toHex(await issueIntelCrl(by('root'), serials(fields.revokedByRoot), fields.crlWindow)),
      pck_crl: toHex(await issueIntelCrl(by('platform'), serials(fields.revokedByPlatform), fields.crlWindow)),
      tcb_info_issuer_chain: chain(signer, root),
      ...signed(keys, 'tcb_info', fields.tcbInfo),
      qe_identity_issuer_chain: chain(signer, root),
      ...signed(keys, 'qe_identity', fields.qeIdentity),
    },
  }
}

async function issueAll(keys: IntelKeys, { certificates, pck }: IntelFields, dates: IntelDates): Promise<Certificates> {
  const issue = (role: IntelRole, by: 'root' | 'platform', change: IntelCertificateChange): Promise<IntelCertificate> =>
    issueIntel(role, keys[role], { role: by, key: keys[by] }, dates, change)
  return {
    root: await issue('root', 'root', { ...certificates.root }),
    platform: await issue('platform', 'root', { ...certificates.platform }),
    leaf: await issue('leaf', 'platform', { extra: [sgxExtension(pck)], ...certificates.leaf }),
    signer: await issue('signer', 'root', { ...certificates.signer }),
  }
}

/** A quote over the fields' report. @param chain - PEM: what it carries where the certification type is 5. */
export function signQuote(keys: Pick<IntelKeys, 'leaf' | 'attestation'>, fields: IntelFields, chain: string): Uint8Array {
  const { version, tee, authData, certificationType } = fields
  const body = tee === 'tdx' ? tdReport(fields.td, version === 5 && fields.is15) : enclaveReport(fields.enclave)
  const head = quoteHead(version, tee, body)
  const attestationKey = pointOf(spkiOf(keys.attestation), 'P-256').slice(1)
  const binding = digest('sha256', Uint8Array.from([...attestationKey, ...authData]))
  const qeReport = enclaveReport({ reportData: binding, ...fields.qe })
  return assembleQuote(version, head, signEcdsa(head, keys.attestation, 'P-256'), {
    attestationKey,
    qeReport,
    qeReportSignature: signEcdsa(qeReport, keys.leaf, 'P-256'),
    authData,
    certificationType,
    certificationData: certificationType === 5 ? pemBytes(chain) : new Uint8Array(404),
  })
}

/** Signature of the TCB signer over a document's text, hexadecimal. */
export function signIntelDocument(keys: Pick<IntelKeys, 'signer'>, text: string): string {
  return toHex(signEcdsa(utf8(text), keys.signer, 'P-256'))
}

function signed(keys: IntelKeys, name: string, document: object): Record<string, string> {
  const text = JSON.stringify(document)
  return { [name]: text, [`${name}_signature`]: signIntelDocument(keys, text) }
}
