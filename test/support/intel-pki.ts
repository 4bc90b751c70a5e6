import 'reflect-metadata'
import { createHash, KeyObject, sign, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  type X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509'
import { concat, fromHex, toHex, utf8 } from '../../src/verify/bytes/bytes.ts'
import { rootAnchor } from '../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import { knownCertificate, loadCollateral } from '../../src/verify/evidence/collateral.ts'
import { encodeIntelDocument } from '../../src/verify/evidence/dcap/collateral-json.ts'
import { OID_SGX_EXTENSION } from '../../src/verify/evidence/dcap/pck.ts'
import { type DcapRoot, dcapRoots } from '../../src/verify/evidence/dcap/roots.ts'
import { parseCertificate } from '../../src/verify/formats/x509.ts'
import { der } from './der-writer.ts'
import { assembleQuote, type EnclaveFields, enclaveReport, pemBytes, quoteHead, type TdFields, tdReport } from './intel-quotes.ts'

cryptoProvider.set(webcrypto as Crypto)

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** Everything of this authority is simulated: throwaway keys, names that say so. */
const NAME = { root: 'SGX Root CA', platform: 'SGX PCK Platform CA', pck: 'SGX PCK Certificate', signer: 'SGX TCB Signing' } as const

/** When simulated things are valid, and the instant at which tests look at them. */
export const NOT_BEFORE: Date = new Date('2026-01-01T00:00:00Z')
export const NOT_AFTER: Date = new Date('2033-01-01T00:00:00Z')
export const AT: Date = new Date('2026-06-15T12:00:00Z')
const ISSUED = '2026-06-01T00:00:00Z'
const NEXT_UPDATE = '2026-07-01T00:00:00Z'

interface Pair {
  readonly keys: webcrypto.CryptoKeyPair
  readonly sign: (data: Uint8Array) => Uint8Array
  /** x‖y */
  readonly point: Uint8Array
}

async function newPair(): Promise<Pair> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const key = KeyObject.from(keys.privateKey)
  const raw = new Uint8Array(await webcrypto.subtle.exportKey('raw', keys.publicKey))
  return { keys, sign: (data) => new Uint8Array(sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })), point: raw.slice(1) }
}

/** What a certificate may be made to say instead. */
export interface CertificateChange {
  readonly commonName?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly ca?: boolean
  readonly usage?: number
  readonly issuer?: 'root' | 'platform' | 'stranger'
  readonly extra?: readonly Extension[]
}

/** What a PCK certificate says of its platform. */
export interface PckFields {
  readonly sgx: readonly number[]
  readonly pceSvn: number
  readonly fmspc: string
  readonly pceId: string
}

/** One platform with all that belongs to its quotes. Each member stands for one thing that a test may break. */
export interface IntelWorld {
  readonly version: 3 | 4 | 5
  readonly tee: 'sgx' | 'tdx'
  readonly is15: boolean
  readonly td: TdFields
  readonly enclave: EnclaveFields
  readonly qe: EnclaveFields
  readonly authData: Uint8Array
  readonly pck: PckFields
  readonly certificates: {
    readonly root?: CertificateChange
    readonly platform?: CertificateChange
    readonly leaf?: CertificateChange
    readonly signer?: CertificateChange
  }
  readonly certificationType: number
  readonly chainOrder: readonly ('leaf' | 'platform' | 'root')[]
  /** Serials on the CRLs, `leaf`, `platform` and `signer` standing for theirs. */
  readonly revokedByRoot: readonly ('platform' | 'signer')[]
  readonly revokedByPlatform: readonly 'leaf'[]
  readonly crlWindow: readonly [Date, Date]
  readonly crlSigner: 'own' | 'stranger'
  readonly tcbInfo: object
  readonly qeIdentity: object
}

const zeros = (n: number): Uint8Array => new Uint8Array(n)
const svns = (...values: readonly number[]): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => values[i] ?? 0)
const QE_SIGNER = 'dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5'

export const FMSPC = '00a1b2c3d4e5'

/** A TCB level as Intel writes it. */
export function tcbLevel(
  sgx: readonly number[],
  pcesvn: number,
  tdx: readonly number[],
  tcbStatus: string,
  advisoryIDs: readonly string[] = [],
  tcbDate = '2026-02-01T00:00:00Z',
): object {
  const list = (values: readonly number[]): object[] => Array.from({ length: 16 }, (_, i) => ({ svn: values[i] ?? 0 }))
  return {
    tcb: { sgxtcbcomponents: list(sgx), pcesvn, tdxtcbcomponents: list(tdx) },
    tcbDate,
    tcbStatus,
    ...(advisoryIDs.length === 0 ? {} : { advisoryIDs }),
  }
}

export function svnLevel(isvsvn: number, tcbStatus: string, advisoryIDs: readonly string[] = [], tcbDate = '2026-02-01T00:00:00Z'): object {
  return { tcb: { isvsvn }, tcbDate, tcbStatus, ...(advisoryIDs.length === 0 ? {} : { advisoryIDs }) }
}

export const LATEST: readonly number[] = [5, 5, 2, 2, 4, 1, 0, 5]
export const EARLIER: readonly number[] = [3, 3, 2, 2, 3, 1, 0, 3]

export function tcbInfoJson(tee: 'sgx' | 'tdx', changes: object = {}): object {
  const module = { mrsigner: toHex(zeros(48)), attributes: toHex(zeros(8)), attributesMask: 'ffffffffffffffff' }
  const forTd = {
    tdxModule: module,
    tdxModuleIdentities: [
      {
        id: 'TDX_01',
        ...module,
        tcbLevels: [svnLevel(6, 'UpToDate'), svnLevel(4, 'OutOfDate', ['INTEL-SA-00003'], '2025-03-01T00:00:00Z'), svnLevel(2, 'Revoked')],
      },
      { id: 'TDX_03', ...module, tcbLevels: [svnLevel(3, 'UpToDate')] },
    ],
  }
  return {
    id: tee.toUpperCase(),
    version: 3,
    issueDate: ISSUED,
    nextUpdate: NEXT_UPDATE,
    fmspc: FMSPC.toUpperCase(),
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 20,
    ...(tee === 'tdx' ? forTd : {}),
    tcbLevels: [
      tcbLevel(LATEST, 13, [6, 0, 3], 'UpToDate'),
      tcbLevel(EARLIER, 13, [5, 0, 2], 'OutOfDate', ['INTEL-SA-00001'], '2025-01-01T00:00:00Z'),
      tcbLevel(EARLIER, 5, [5, 0, 2], 'OutOfDate', ['INTEL-SA-00001', 'INTEL-SA-00002'], '2024-01-01T00:00:00Z'),
    ],
    ...changes,
  }
}

export function qeIdentityJson(tee: 'sgx' | 'tdx', changes: object = {}): object {
  return {
    id: tee === 'sgx' ? 'QE' : 'TD_QE',
    version: 2,
    issueDate: ISSUED,
    nextUpdate: NEXT_UPDATE,
    tcbEvaluationDataNumber: 20,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: '11000000000000000000000000000000',
    attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
    mrsigner: QE_SIGNER.toUpperCase(),
    isvprodid: tee === 'sgx' ? 1 : 2,
    tcbLevels: [svnLevel(8, 'UpToDate'), svnLevel(6, 'OutOfDate', ['INTEL-SA-00004'], '2025-02-01T00:00:00Z'), svnLevel(4, 'Revoked')],
    ...changes,
  }
}

/** A platform that is up to date in every part, TDX 1.5 unless told otherwise. */
export function defaultWorld(tee: 'sgx' | 'tdx'): IntelWorld {
  return {
    version: tee === 'sgx' ? 3 : 5,
    tee,
    is15: true,
    td: {
      teeTcbSvn: svns(6, 1, 3),
      teeTcbSvn2: svns(6, 1, 3),
      tdAttributes: fromHex('0000001000000000'),
      xfam: fromHex('e702060000000000'),
      mrTd: zeros(48).fill(0xa1),
      reportData: zeros(64).fill(0xd7),
    },
    enclave: {
      attributes: fromHex('05000000000000000700000000000000'),
      mrEnclave: zeros(32).fill(0xe1),
      mrSigner: zeros(32).fill(0x51),
      isvProdId: 7,
      isvSvn: 3,
      reportData: zeros(64).fill(0xd7),
    },
    qe: {
      attributes: fromHex('15000000000000000700000000000000'),
      mrSigner: fromHex(QE_SIGNER),
      isvProdId: tee === 'sgx' ? 1 : 2,
      isvSvn: 8,
    },
    authData: zeros(32).fill(0xad),
    pck: { sgx: LATEST, pceSvn: 13, fmspc: FMSPC, pceId: '0000' },
    certificates: {},
    certificationType: 5,
    chainOrder: ['leaf', 'platform', 'root'],
    revokedByRoot: [],
    revokedByPlatform: [],
    crlWindow: [new Date(ISSUED), new Date(NEXT_UPDATE)],
    crlSigner: 'own',
    tcbInfo: tcbInfoJson(tee),
    qeIdentity: qeIdentityJson(tee),
  }
}

/** A quote with its collateral, as a caller has them. */
export interface SimulatedCase {
  readonly quote: Uint8Array
  /** Members of `sgx_ql_qve_collateral_t`; tests may change them after signing. */
  readonly json: Readonly<Record<string, string>>
  readonly roots: readonly DcapRoot[]
  /** The root certificate, DER: what a caller names as trust anchor. */
  readonly root: Uint8Array
  readonly at: Date
}

type Pairs = Readonly<Record<'root' | 'platform' | 'leaf' | 'signer' | 'stranger' | 'attestation', Pair>>

/** A SIMULATED Intel: root, PCK authority, TCB signer, one platform. Keys live for one test run. */
export class SimulatedIntel {
  readonly #pairs: Pairs

  private constructor(pairs: Pairs) {
    this.#pairs = pairs
  }

  static async create(): Promise<SimulatedIntel> {
    const [root, platform, leaf, signer, stranger, attestation] = await Promise.all(Array.from({ length: 6 }, newPair))
    if (!root || !platform || !leaf || !signer || !stranger || !attestation) throw new Error('no keys')
    return new SimulatedIntel({ root, platform, leaf, signer, stranger, attestation })
  }

  /** @param change - What is different from {@link defaultWorld}. */
  async make(tee: 'sgx' | 'tdx', change: Partial<IntelWorld> = {}): Promise<SimulatedCase> {
    const world = { ...defaultWorld(tee), ...change }
    const root = await this.#issue('root', 'root', { ca: true, usage: AUTHORITY, ...world.certificates.root })
    const platform = await this.#issue('platform', 'root', { ca: true, usage: AUTHORITY, ...world.certificates.platform })
    const leaf = await this.#issue('leaf', 'platform', { extra: [sgxExtension(world.pck)], ...world.certificates.leaf })
    const signer = await this.#issue('signer', 'root', { ...world.certificates.signer })
    const serials = { leaf: leaf.serialNumber, platform: platform.serialNumber, signer: signer.serialNumber }
    const rootCrl = await this.#crl(
      'root',
      NAME.root,
      world.revokedByRoot.map((who) => serials[who]),
      world,
    )
    const pckCrl = await this.#crl(
      'platform',
      NAME.platform,
      world.revokedByPlatform.map((who) => serials[who]),
      world,
    )
    const chain = { leaf, platform, root }
    const pem = world.chainOrder.map((who) => `${chain[who].toString('pem')}\n`).join('')
    const rootDer = new Uint8Array(root.rawData)
    return {
      root: rootDer,
      quote: this.quote(world, pem),
      json: {
        pck_crl_issuer_chain: `${platform.toString('pem')}\n${root.toString('pem')}\n`,
        root_ca_crl: toHex(rootCrl),
        pck_crl: toHex(pckCrl),
        tcb_info_issuer_chain: `${signer.toString('pem')}\n${root.toString('pem')}\n`,
        ...this.#signed('tcb_info', world.tcbInfo),
        qe_identity_issuer_chain: `${signer.toString('pem')}\n${root.toString('pem')}\n`,
        ...this.#signed('qe_identity', world.qeIdentity),
      },
      roots: dcapRoots([rootAnchor(await knownCertificate(parseCertificate(rootDer)))]),
      at: AT,
    }
  }

  quote(world: IntelWorld, pem: string): Uint8Array {
    const body = world.tee === 'tdx' ? tdReport(world.td, world.version === 5 && world.is15) : enclaveReport(world.enclave)
    const head = quoteHead(world.version, world.tee, body)
    const attestationKey = this.#pairs.attestation.point
    const binding = createHash('sha256').update(attestationKey).update(world.authData).digest()
    const qeReport = enclaveReport({ reportData: new Uint8Array(binding), ...world.qe })
    const certificationData = world.certificationType === 5 ? pemBytes(pem) : zeros(404)
    return assembleQuote(world.version, head, this.#pairs.attestation.sign(head), {
      attestationKey,
      qeReport,
      qeReportSignature: this.#pairs.leaf.sign(qeReport),
      authData: world.authData,
      certificationType: world.certificationType,
      certificationData,
    })
  }

  /** Signs a JSON document as the TCB signer does. */
  signDocument(text: string): string {
    return toHex(this.#pairs.signer.sign(utf8(text)))
  }

  #signed(name: string, document: object): Record<string, string> {
    const text = JSON.stringify(document)
    return { [name]: text, [`${name}_signature`]: this.signDocument(text) }
  }

  async #issue(who: 'root' | 'platform' | 'leaf' | 'signer', by: 'root' | 'platform', change: CertificateChange): Promise<X509Certificate> {
    const role = who === 'leaf' ? 'pck' : who
    const pair = this.#pairs[who]
    return X509CertificateGenerator.create({
      serialNumber: toHex(
        createHash('sha256')
          .update(JSON.stringify([who, change]))
          .digest()
          .subarray(0, 16),
      ),
      subject: nameOf(change.commonName ?? NAME[role]),
      issuer: nameOf(NAME[by]),
      notBefore: change.notBefore ?? NOT_BEFORE,
      notAfter: change.notAfter ?? NOT_AFTER,
      signingAlgorithm: P256,
      signingKey: this.#pairs[change.issuer ?? by].keys.privateKey,
      publicKey: pair.keys.publicKey,
      extensions: [
        new BasicConstraintsExtension(change.ca ?? false, undefined, true),
        new KeyUsagesExtension(change.usage ?? KeyUsageFlags.digitalSignature, true),
        ...(change.extra ?? []),
      ],
    })
  }

  async #crl(by: 'root' | 'platform', commonName: string, serials: readonly string[], world: IntelWorld): Promise<Uint8Array> {
    const [thisUpdate, nextUpdate] = world.crlWindow
    const crl = await X509CrlGenerator.create({
      issuer: nameOf(commonName),
      thisUpdate,
      nextUpdate,
      entries: serials.map((serialNumber) => ({ serialNumber, revocationDate: thisUpdate })),
      signingAlgorithm: P256,
      signingKey: this.#pairs[world.crlSigner === 'own' ? by : 'stranger'].keys.privateKey,
    })
    return new Uint8Array(crl.rawData)
  }
}

const AUTHORITY = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign

/** Key usages that a test may give a certificate. */
export const USAGE = { certSign: KeyUsageFlags.keyCertSign, agree: KeyUsageFlags.keyAgreement } as const

function nameOf(commonName: string): string {
  return `CN=SIMULATED ${commonName}, O=SIMULATED by sealgate, C=US`
}

/** The SGX extension (Intel SGX PCK Certificate and CRL Profile, section 1.3.5). */
export function sgxExtension({ sgx, pceSvn, fmspc, pceId }: PckFields): Extension {
  const entry = (path: string, value: Uint8Array): Uint8Array => der.sequence(der.oid(`${OID_SGX_EXTENSION}.${path}`), value)
  const tcb = [...svns(...sgx)].map((svn, i) => entry(`2.${i + 1}`, der.integer(svn)))
  const value = der.sequence(
    entry('1', der.octets(zeros(16).fill(0x99))),
    entry('2', der.sequence(...tcb, entry('2.17', der.integer(pceSvn)), entry('2.18', der.octets(svns(...sgx))))),
    entry('3', der.octets(fromHex(pceId))),
    entry('4', der.octets(fromHex(fmspc))),
    entry('5', der.enumerated(1)),
    entry('6', der.octets(zeros(16).fill(0x77))),
    entry('7', der.sequence(entry('7.1', der.boolean(true)), entry('7.2', der.boolean(false)), entry('7.3', der.boolean(true)))),
  )
  return new Extension(OID_SGX_EXTENSION, false, new Uint8Array(value))
}

/** The collateral of a case as one file. */
export function collateralOf({ json }: Pick<SimulatedCase, 'json'>): readonly Uint8Array[] {
  return [utf8(JSON.stringify(json))]
}

/** The same, each piece on its own in the form of endorsements. */
export async function endorsementsOf(made: Pick<SimulatedCase, 'json'>): Promise<readonly Uint8Array[]> {
  const items = collateralOf(made).map((bytes) => ({ name: 'collateral', bytes }))
  const { certificates, crls, documents } = await loadCollateral(items, createVerifyCache())
  return [...[...certificates, ...crls].map((c) => c.raw), ...documents.map(encodeIntelDocument)]
}

/** A copy with the bytes after the end that platforms leave there. */
export function padded(quote: Uint8Array, padding: Uint8Array = zeros(70)): Uint8Array {
  return concat(quote, padding)
}
