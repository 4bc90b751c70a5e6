import type { VerifyCache } from '../cache.ts'
import { instant } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { type Dated, type EarlyOutlook, type Expiry, earliestFirst, type Forecast } from '../forecast.ts'
import { isWithin } from '../windows.ts'
import type { SignedCrls } from './certificates.ts'
import { chooseDocument, contentOf, establishFacts } from './collateral.ts'
import { explainTcb } from './explain.ts'
import type { Tee } from './layout.ts'
import { identitiesFor, tcbInfosFor } from './platform.ts'
import { evaluateTcb } from './tcb-status.ts'
import { chooseIdentity, type QuoteFindings } from './verify.ts'

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
  const dated: Dated[] = []
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
  return earliestFirst(dated)
}

/** The CRL that answers for now. */
function crlExpiries(what: 'pck-crl' | 'root-crl', { issuer, signed }: SignedCrls, at: number): Dated[] {
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
