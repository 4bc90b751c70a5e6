import { crypto } from '#crypto'
import { isZero } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, nowAt, unknown } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { checkCertificateWindow } from '../windows.ts'
import { checkEvaluationNumber, checkStatus, type DcapRequirements } from './appraise.ts'
import { checkRevocation } from './certificates.ts'
import { type Authenticated, chooseDocument, contentOf, pushDocumentChecks, signerOf } from './collateral.ts'
import { establishPlatform, type FittedIdentity, type PckChain, type Platform } from './platform.ts'
import { checkQuotingEnclave } from './qe-identity.ts'
import type { Quote } from './quote.ts'
import type { DcapRoot } from './roots.ts'
import type { TcbInfo } from './tcb-info.ts'
import { evaluateTcb, type PlatformSvns, type TcbEvaluation } from './tcb-status.ts'
import { checkModule, type SeamReport } from './tdx-module.ts'

export interface DcapInput {
  readonly collateral: Collateral
  readonly roots: readonly DcapRoot[]
  /** Milliseconds since 1970. */
  readonly at: number
  readonly requirements: DcapRequirements
  readonly cache: VerifyCache
}

/** Everything that was found out about the quote, whatever it carries. */
export interface QuoteFindings {
  readonly checks: Check[]
  readonly platform: Platform
  readonly tcbInfo: Authenticated<TcbInfo> | null
  readonly qeIdentity: FittedIdentity | null
  readonly svns: PlatformSvns | null
  /** Null: could not be worked out from authentic documents. */
  readonly evaluation: TcbEvaluation | null
}

/**
 * Checks a DCAP quote in the order of docs/formats/dcap-collateral.md, up to its TCB status: form, PCK chain, quoting enclave,
 * signature, collateral, revocation, TCB. What the quote carries is for the caller to look at.
 * @param seam - Of a TD report; null for SGX.
 * @returns Findings with a list of checks of their own, to which the caller adds.
 * @see QVL QuoteVerifier.cpp `QuoteVerifier::verify`, PckCertVerifier.cpp, TCBInfoVerifier.cpp, EnclaveIdentityVerifier.cpp.
 */
export async function verifyQuote(quote: Quote, seam: SeamReport | null, input: DcapInput): Promise<QuoteFindings> {
  const platform = await establishPlatform(quote, input.collateral, input.roots, input.cache)
  const { attestationKey, chain } = platform
  const isSigned = attestationKey !== null && (await crypto.verify(attestationKey, quote.signature, quote.signed))
  const checks: Check[] = []
  pushFormChecks(checks, quote)
  for (const fixed of platform.checks) checks.push(fixed)
  checks.push(signatureCheck(isSigned, attestationKey !== null))

  if (chain.leaf === null || chain.path === null) {
    pushNotReached(checks)
    return { checks, platform, tcbInfo: null, qeIdentity: null, svns: null, evaluation: null }
  }
  return { checks, platform, ...judge(checks, platform, chain, seam, input) }
}

/** Everything that depends on the time: windows, CRLs, documents and what they say. */
function judge(
  checks: Check[],
  platform: Platform,
  chain: PckChain,
  seam: SeamReport | null,
  { at, requirements }: DcapInput,
): Pick<QuoteFindings, 'tcbInfo' | 'qeIdentity' | 'svns' | 'evaluation'> {
  const now = nowAt(at)
  pushChainWindows(checks, chain, now)
  const tcbInfo = chooseDocument(platform.tcbInfos, at)
  const qeIdentity = chooseIdentity(platform.qeIdentities, at)
  pushDocuments(checks, platform, chain, tcbInfo, qeIdentity?.document ?? null, now)

  const info = contentOf(tcbInfo)
  const identity = contentOf(qeIdentity?.document ?? null)
  checks.push(qeIdentity?.fit ?? checkQuotingEnclave(platform.qeReport, null))
  if (seam !== null) checks.push(checkModule(seam, info))
  const svns = svnsOf(chain, platform, seam)
  const evaluation = info === null || identity === null ? null : evaluateTcb(svns, info, identity)
  checks.push(checkStatus(evaluation, svns, info, identity, requirements))
  const minimum = requirements.minimumTcbEvaluationDataNumber
  if (minimum !== undefined) checks.push(checkEvaluationNumber(minimum, info, identity))
  return { tcbInfo, qeIdentity, svns, evaluation }
}

export function chooseIdentity(identities: readonly FittedIdentity[], at: number): FittedIdentity | null {
  if (identities.length <= 1) return identities[0] ?? null
  const document = chooseDocument(
    identities.map((i) => i.document),
    at,
  )
  return identities.find((i) => i.document === document) ?? null
}

function svnsOf({ extension }: PckChain, { qeReport }: Platform, seam: SeamReport | null): PlatformSvns {
  const { sgx, pceSvn } = extension
  return { sgx, pceSvn, qeIsvSvn: qeReport.isvSvn, teeTcbSvn: seam?.teeTcbSvn ?? null, teeTcbSvn2: seam?.teeTcbSvn2 ?? null }
}

const BODY_NAME = { sgx: 'enclave report', td10: 'TD report 1.0', td15: 'TD report 1.5' } as const

function pushFormChecks(checks: Check[], quote: Quote): void {
  const got = `version ${quote.version}, ${BODY_NAME[quote.bodyKind]}`
  checks.push(check('format.quote', true, 'quote version 3, 4 or 5 of an Intel quoting enclave', got))
  const { padding } = quote
  if (padding.length === 0) return
  const clean = isZero(padding)
  const found = `${padding.length} bytes from 0x${quote.sizeBytes.toString(16)}, ${clean ? 'zero' : 'not zero'}`
  checks.push(check('policy.trailing-bytes', clean, 'nothing but zeros after the quote', found))
}

function signatureCheck(holds: boolean, hasKey: boolean): Check {
  const got = holds ? 'verifies' : hasKey ? 'does not verify' : 'attestation key is not a point on P-256'
  return check('signature.quote', holds, 'quote signed by the attestation key', got)
}

/** What cannot be asked without a platform that is known to be genuine. */
function pushNotReached(checks: Check[]): void {
  const got = 'no PCK certificate that leads to a trusted root'
  checks.push(unknown('validity.tcb-info', 'TCB info for the platform', got))
  checks.push(unknown('validity.qe-identity', 'identity of its quoting enclave', got))
  checks.push(unknown('revocation.pck', 'PCK certificate not revoked', got))
  checks.push(unknown('tcb.status', 'a TCB status', got))
}

function pushChainWindows(checks: Check[], chain: PckChain, now: Now): void {
  checks.push(checkCertificateWindow('validity.pck', chain.window, now))
  if (chain.path === null) return
  checks.push(checkCertificateWindow('validity.pck-issuer', chain.path.issuerWindow, now))
  checks.push(checkCertificateWindow('validity.root', chain.path.rootWindow, now))
}

function pushDocuments(
  checks: Check[],
  { facts }: Platform,
  chain: PckChain,
  tcbInfo: Authenticated<unknown> | null,
  qeIdentity: Authenticated<unknown> | null,
  now: Now,
): void {
  if (facts === null || chain.path === null) return
  const tcbSigner = tcbInfo === null ? null : signerOf(tcbInfo, now)
  const qeSigner = qeIdentity === null ? null : signerOf(qeIdentity, now)
  if (tcbInfo === null) checks.push(missingTcbInfo(facts.tcbInfos, chain))
  else pushDocumentChecks(checks, tcbInfo, tcbSigner, now)
  if (qeIdentity === null)
    checks.push(unknown('validity.qe-identity', 'identity of the quoting enclave', 'none given for this kind of quote'))
  else pushDocumentChecks(checks, qeIdentity, qeSigner, now)
  const { rootCrls } = facts
  checks.push(checkRevocation('revocation.pck-issuer', chain.path.issuer.serial, rootCrls, now))
  if (tcbSigner !== null) checks.push(checkRevocation('revocation.tcb-signer', tcbSigner.certificate.serial, rootCrls, now))
  if (qeSigner !== null && qeSigner !== tcbSigner) {
    checks.push(checkRevocation('revocation.tcb-signer', qeSigner.certificate.serial, rootCrls, now))
  }
  checks.push(checkRevocation('revocation.pck', chain.leaf.serial, chain.crls, now))
}

/** What is wanted and what there is, where nothing fits. */
function missingTcbInfo(given: readonly Authenticated<TcbInfo>[], { extension }: PckChain): Check {
  const others = given.map(({ content: c }) => `${c.tee.toUpperCase()}, FMSPC ${c.fmspc}, PCEID ${c.pceId}`)
  const want = `TCB info for this kind of quote, FMSPC ${extension.fmspc}, PCEID ${extension.pceId}`
  return unknown('validity.tcb-info', want, others.length === 0 ? 'none given' : `only for ${others.join('; ')}`)
}
