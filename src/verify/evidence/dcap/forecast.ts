import type { VerifyCache } from '../cache.ts'
import { instant } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import type { SignedCrls } from './certificates.ts'
import { chooseDocument, contentOf, establishFacts } from './collateral.ts'
import { explainTcb } from './explain.ts'
import type { Tee } from './layout.ts'
import { identitiesFor, tcbInfosFor } from './platform.ts'
import { evaluateTcb, type TcbStatus } from './tcb-status.ts'
import { chooseIdentity, type QuoteFindings } from './verify.ts'
import { isWithin } from './windows.ts'

/** One thing that a verdict rests upon and the last instant at which it holds. */
export interface Expiry {
  readonly what: 'pck' | 'pck-issuer' | 'root' | 'tcb-signer' | 'root-crl' | 'pck-crl' | 'tcb-info' | 'qe-identity'
  readonly name: string
  /** RFC 3339. */
  readonly expires: string
}

/** What Intel's early TCB info says, which becomes the standard one later. */
export interface EarlyOutlook {
  readonly status: TcbStatus
  readonly tcbEvaluationDataNumber: number
  /** The status is another one than today's. */
  readonly changes: boolean
  /** Latest instant up to which today's TCB info can still be used: from then on the early word, or a newer one, decides. */
  readonly from: string
  /** What falls short: `SGX component 8 is 5, needs 6`. */
  readonly reasons: readonly string[]
}

/** How long the answer can stand. */
export interface Forecast {
  /** Earliest first. */
  readonly expiries: readonly Expiry[]
  /** Null: no early TCB info for this platform was given. */
  readonly early: EarlyOutlook | null
}

/**
 * Looks ahead from a finished verification: what expires when, and what early TCB info would make of the platform.
 * @param early - Collateral of the PCS with `update=early`; must be authentic and current like any other.
 */
export async function forecast(
  tee: Tee,
  findings: QuoteFindings,
  early: Collateral | null,
  at: number,
  cache: VerifyCache,
): Promise<Forecast> {
  return { expiries: listExpiries(findings, at), early: early === null ? null : await lookAhead(tee, findings, early, at, cache) }
}

function listExpiries({ platform, tcbInfo, qeIdentity }: QuoteFindings, at: number): readonly Expiry[] {
  const dated: (Omit<Expiry, 'expires'> & { readonly at: number })[] = []
  const { chain, facts } = platform
  if (chain.leaf !== null) dated.push({ what: 'pck', name: chain.leaf.subject.text, at: chain.leaf.notAfter })
  if (chain.leaf !== null && chain.path !== null) {
    dated.push({ what: 'pck-issuer', name: chain.path.issuer.subject.text, at: chain.path.issuer.notAfter })
    dated.push({ what: 'root', name: chain.path.root.anchor.subject, at: chain.path.root.anchor.notAfter })
    dated.push(...crlExpiries('pck-crl', chain.crls, at))
  }
  if (facts !== null) dated.push(...crlExpiries('root-crl', facts.rootCrls, at))
  const signers = new Map(
    [...(tcbInfo?.signers ?? []), ...(qeIdentity?.document.signers ?? [])].map((s) => [s.certificate.sha256, s.certificate]),
  )
  for (const signer of signers.values()) dated.push({ what: 'tcb-signer', name: signer.subject.text, at: signer.notAfter })
  if (tcbInfo !== null) {
    const { tee, fmspc, tcbEvaluationDataNumber, nextUpdate } = tcbInfo.content
    dated.push({ what: 'tcb-info', name: `${tee} ${fmspc}, evaluation ${tcbEvaluationDataNumber}`, at: nextUpdate })
  }
  if (qeIdentity !== null) {
    const { tee, tcbEvaluationDataNumber, nextUpdate } = qeIdentity.document.content
    dated.push({ what: 'qe-identity', name: `${tee}, evaluation ${tcbEvaluationDataNumber}`, at: nextUpdate })
  }
  return dated.sort((a, b) => a.at - b.at).map(({ what, name, at: end }) => ({ what, name, expires: instant(end) }))
}

/** The CRL that answers for now. */
function crlExpiries(
  what: 'pck-crl' | 'root-crl',
  { issuer, signed }: SignedCrls,
  at: number,
): { what: 'pck-crl' | 'root-crl'; name: string; at: number }[] {
  const current = signed.find((c) => isWithin(c.window, at))
  return current === undefined ? [] : [{ what, name: issuer, at: current.window.notAfter }]
}

async function lookAhead(
  tee: Tee,
  { platform, tcbInfo, qeIdentity, svns, evaluation }: QuoteFindings,
  early: Collateral,
  at: number,
  cache: VerifyCache,
): Promise<EarlyOutlook | null> {
  const { chain, facts, qeReport } = platform
  if (chain.leaf === null || facts === null || svns === null || tcbInfo === null) return null
  const coming = await establishFacts(early, facts.root, cache)
  const document = chooseDocument(tcbInfosFor(coming, tee, chain.extension), at)
  const info = contentOf(document)
  const identity = contentOf((chooseIdentity(identitiesFor(coming, tee, qeReport), at) ?? qeIdentity)?.document ?? null)
  if (document === null || info === null || identity === null || !isWithin(document.window, at)) return null
  const { status } = evaluateTcb(svns, info, identity)
  return {
    status,
    tcbEvaluationDataNumber: info.tcbEvaluationDataNumber,
    changes: status !== evaluation?.status,
    from: instant(tcbInfo.window.notAfter),
    reasons: explainTcb(svns, info, identity),
  }
}
