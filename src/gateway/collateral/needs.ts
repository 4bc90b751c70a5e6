import { crypto } from '#crypto'
import { isZero, toHex } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import type { VerifyCache } from '../../verify/evidence/cache.ts'
import { type KnownCertificate, loadCollateral } from '../../verify/evidence/collateral.ts'
import { isPck } from '../../verify/evidence/dcap/certificates.ts'
import { certificatesOf, pemText } from '../../verify/evidence/dcap/collateral-json.ts'
import { CERTIFICATION } from '../../verify/evidence/dcap/layout.ts'
import { parsePckExtension } from '../../verify/evidence/dcap/pck.ts'
import { parseQuote, type Quote } from '../../verify/evidence/dcap/quote.ts'
import { productOf } from '../../verify/evidence/sev-snp/layout.ts'
import { parseReport, type SnpReport } from '../../verify/evidence/sev-snp/parse.ts'
import { importKey } from '../../verify/evidence/signed-by.ts'
import type { Format } from '../../verify/evidence/types.ts'
import { unwrapEvidence } from '../../verify/evidence/unwrap.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'
import { sha256Hex } from './disk.ts'
import type { Item } from './items.ts'
import { nameOf, type PckCa, type Question, type Update } from './questions.ts'

/** Evidence as a host or a file brings it. */
export interface Subject {
  readonly format: Format | 'auto'
  readonly report: Uint8Array
  /** Certificates that came with it. */
  readonly endorsements: readonly Uint8Array[]
}

/** Evidence that was read, with the certificates that came inside of it. */
export type Evidence =
  | { readonly kind: 'snp'; readonly report: SnpReport; readonly certificates: readonly Uint8Array[] }
  | { readonly kind: 'quote'; readonly quote: Quote; readonly certificates: readonly Uint8Array[] }

/** Null for evidence of a kind that has no collateral here. @throws AttestError for evidence that cannot be read. */
export function readEvidence({ format, report }: Subject): Evidence | null {
  const unwrapped = unwrapEvidence(report, format)
  const certificates = unwrapped.endorsements
  if (unwrapped.format === 'sev-snp') return { kind: 'snp', report: parseReport(unwrapped.evidence), certificates }
  if (unwrapped.format !== 'tdx' && unwrapped.format !== 'sgx') return null
  const quote = parseQuote(unwrapped.evidence)
  const type = quote.certificationType
  const brought = type === CERTIFICATION.pckLeaf || type === CERTIFICATION.pckChain
  const own = brought ? certificatesOf(pemText(quote.certificationData), 'quote.pck') : []
  return { kind: 'quote', quote, certificates: [...certificates, ...own] }
}

/**
 * Which certificate signed, in the order in which candidates should be asked for; empty where the given ones already hold it.
 * @param given - What leads to a trusted root and is valid now.
 */
export async function leafQuestions(evidence: Evidence, given: readonly Item[], cache: VerifyCache): Promise<readonly Question[]> {
  if (evidence.kind === 'snp') {
    const wanted = vcekQuestions(evidence.report)
    return wanted.some((question) => given.some((item) => item.names.includes(nameOf(question)))) ? [] : wanted
  }
  if ((await findPck(evidence.quote, given, cache)) !== null) return []
  const question = pckQuestion(evidence.quote)
  return question === null ? [] : [question]
}

/** A VLEK is handed out by the provider, never by AMD. A chip that hides its id cannot be asked for. */
function vcekQuestions({ signingKey, chipId, reportedTcb, cpuid }: SnpReport): readonly Question[] {
  if (signingKey !== 'VCEK' || isZero(chipId)) return []
  const ofCpu = cpuid === null ? null : productOf(cpuid)
  // Before version 3 a report does not name its product; Turin came later.
  const products: readonly AmdProduct[] = cpuid === null ? ['Milan', 'Genoa'] : ofCpu === null ? [] : [ofCpu]
  return products.map((product) => {
    const hwId = toHex(product === 'Turin' ? chipId.subarray(0, 8) : chipId)
    return { kind: 'vcek', product, hwId, tcb: toHex(reportedTcb) }
  })
}

/** Sizes of the encrypted PPID by type; then CPUSVN (16), PCESVN (2), PCEID (2). PCS takes RSA-3072 alone. */
const TAIL_SIZE = 20
const PPID_SIZE: Readonly<Record<number, number>> = {
  [CERTIFICATION.ppidPlain]: 16,
  [CERTIFICATION.ppidRsa2048]: 256,
  [CERTIFICATION.ppidRsa3072]: 384,
}

function pckQuestion({ certificationType, certificationData: data, header }: Quote): Question | null {
  const size = PPID_SIZE[certificationType]
  if (size === undefined || data.length !== size + TAIL_SIZE) return null
  const tail = data.subarray(size)
  const ppid = certificationType === CERTIFICATION.ppidRsa3072 ? data.subarray(0, size) : new Uint8Array()
  return {
    kind: 'pck',
    encryptedPpid: toHex(ppid),
    ppidDigest: sha256Hex(ppid),
    qeId: toHex(header.userData.subarray(0, 16)),
    cpuSvn: toHex(tail.subarray(0, 16)),
    pceSvn: toHex(tail.subarray(16, 18)),
    pceId: toHex(tail.subarray(18, 20)),
  }
}

/** What else the evidence needs, once the certificate that signed is at hand. */
export async function otherQuestions(
  evidence: Evidence,
  certificates: readonly Item[],
  updates: readonly Update[],
  cache: VerifyCache,
): Promise<readonly Question[]> {
  if (evidence.kind === 'snp') return snpQuestions(evidence.report, certificates)
  const pck = await findPck(evidence.quote, certificates, cache)
  if (pck === null) return []
  const { fmspc } = parsePckExtension(pck)
  const ca = /SGX PCK (Platform|Processor) CA/.exec(pck.issuer.commonName ?? '')?.[1]?.toLowerCase() as PckCa | undefined
  const { tee } = evidence.quote
  return [
    ...updates.flatMap((update): Question[] => [
      { kind: 'tcb-info', tee, fmspc, update },
      { kind: 'qe-identity', tee, update },
    ]),
    ...(ca === undefined ? [] : [{ kind: 'pck-crl', ca } as const]),
    { kind: 'root-crl' },
  ]
}

/** One product by the report, or by the certificates where the report does not say. */
export function snpProduct({ cpuid }: SnpReport, certificates: readonly Item[]): AmdProduct | null {
  if (cpuid !== null) return productOf(cpuid)
  const name = certificates.flatMap((item) => item.names).find((n) => n.startsWith('amd/'))
  return (/\/(Milan|Genoa|Turin)(?:\/|$)/.exec(name ?? '')?.[1] as AmdProduct | undefined) ?? null
}

function snpQuestions(report: SnpReport, certificates: readonly Item[]): readonly Question[] {
  const product = snpProduct(report, certificates)
  if (product === null || report.signingKey === null) return []
  return [{ kind: 'amd-crl', signer: report.signingKey === 'VLEK' ? 'vlek' : 'vcek', product }]
}

/** The PCK certificate whose key signed the QE report. */
async function findPck(quote: Quote, items: readonly Item[], cache: VerifyCache): Promise<KnownCertificate | null> {
  const pieces = items.filter((item) => item.pck !== null).map(({ bytes, sha256 }) => ({ name: sha256, bytes }))
  const { certificates } = await loadCollateral(pieces, cache)
  for (const certificate of certificates.filter(isPck)) if (await hasSigned(quote, certificate, cache)) return certificate
  return null
}

async function hasSigned(quote: Quote, certificate: KnownCertificate, cache: VerifyCache): Promise<boolean> {
  try {
    const key = await importKey(cache, 'ecdsa-p256-sha256', certificate)
    return await crypto.verify(key, quote.qeReportSignature, quote.qeReport)
  } catch (error) {
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return false
    throw error
  }
}
