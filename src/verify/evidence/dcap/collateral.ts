import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now } from '../check.ts'
import type { Collateral } from '../collateral.ts'
import { isSignedBy } from '../signed-by.ts'
import { checkCertificateWindow, checkDocumentWindow, isWithin, type Window, windowOf } from '../windows.ts'
import { findCrls, findTcbSigners, type SignedCrls, type TcbSigner } from './certificates.ts'
import type { IntelDocument } from './collateral-json.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { DcapRoot } from './roots.ts'
import type { TcbInfo } from './tcb-info.ts'

/** A document and the certificates whose key made its signature: none when it is not authentic. */
export interface Authenticated<T> {
  readonly kind: IntelDocument['kind']
  readonly content: T
  readonly window: Window
  readonly signers: readonly TcbSigner[]
  readonly signature: Check
}

/**
 * What collateral proves under one root: facts about bytes, true at any time. Whether they are current is asked of every
 * use anew.
 */
export interface DcapFacts {
  readonly root: DcapRoot
  readonly tcbInfos: readonly Authenticated<TcbInfo>[]
  readonly qeIdentities: readonly Authenticated<QeIdentity>[]
  readonly rootCrls: SignedCrls
}

export async function establishFacts(collateral: Collateral, root: DcapRoot, cache: VerifyCache): Promise<DcapFacts> {
  const signers = await findTcbSigners(collateral.certificates, root, cache)
  const tcbInfos: Authenticated<TcbInfo>[] = []
  const qeIdentities: Authenticated<QeIdentity>[] = []
  for (const document of collateral.documents) {
    const window = windowOf(document.content.issueDate, document.content.nextUpdate)
    const found = await documentSigners(document, signers, cache)
    const common = { kind: document.kind, window, signers: found, signature: signatureCheck(document.kind, found) }
    if (document.kind === 'tcb-info') tcbInfos.push({ ...common, content: document.content })
    else qeIdentities.push({ ...common, content: document.content })
  }
  const rootCrls = await findCrls(collateral.crls, root.anchor.subject, root.anchor, cache)
  return { root, tcbInfos, qeIdentities, rootCrls }
}

/** Those of the certificates whose key made the signature. */
export async function documentSigners(
  { sha256, body, signature }: IntelDocument,
  signers: readonly TcbSigner[],
  cache: VerifyCache,
): Promise<readonly TcbSigner[]> {
  const signed = { sha256, tbs: body, signature, signatureScheme: 'ecdsa-p256-sha256' as const }
  const found: TcbSigner[] = []
  for (const signer of signers) if (await isSignedBy(cache, signed, signer.certificate)) found.push(signer)
  return found
}

function signatureCheck(kind: IntelDocument['kind'], signers: readonly TcbSigner[]): Check {
  const holds = signers.length > 0
  const want = 'signed by an SGX TCB Signing certificate under the same root'
  return check(`signature.${kind}`, holds, want, holds ? 'verifies' : 'no such certificate made this signature')
}

/**
 * The one of several documents that decides: authentic before not, current before not, then the newest evaluation. Older
 * ones that are still current would be the laxer choice.
 */
export function chooseDocument<T extends { readonly issueDate: number; readonly tcbEvaluationDataNumber: number }>(
  candidates: readonly Authenticated<T>[],
  at: number,
): Authenticated<T> | null {
  const [first = null] = candidates
  if (candidates.length <= 1) return first
  const rank = ({ content, window, signers }: Authenticated<T>): readonly number[] => [
    signers.length > 0 ? 1 : 0,
    isWithin(window, at) ? 1 : 0,
    content.tcbEvaluationDataNumber,
    content.issueDate,
  ]
  const isBetter = (a: readonly number[], b: readonly number[]): boolean => {
    const i = a.findIndex((n, k) => n !== b[k])
    return i >= 0 && (a[i] ?? 0) > (b[i] ?? 0)
  }
  return candidates.reduce<Authenticated<T> | null>((best, c) => (best === null || isBetter(rank(c), rank(best)) ? c : best), null)
}

/** Content that Intel signed; null for a document that is not there or not authentic. */
export function contentOf<T>(document: Authenticated<T> | null): T | null {
  return document === null || document.signers.length === 0 ? null : document.content
}

/** Intel renews the signer's certificate and keeps its key, so more than one may fit: a current one, if there is any. */
export function signerOf({ signers }: Authenticated<unknown>, now: Now): TcbSigner | null {
  for (const signer of signers) if (isWithin(signer.window, now.ms)) return signer
  return signers[0] ?? null
}

/** Signature of a document, validity of its signer's certificate, and whether it is current. */
export function pushDocumentChecks(checks: Check[], document: Authenticated<unknown>, signer: TcbSigner | null, now: Now): void {
  checks.push(document.signature)
  if (signer === null) return
  checks.push(checkCertificateWindow(`validity.${document.kind}-signer`, signer.window, now))
  checks.push(checkDocumentWindow(`validity.${document.kind}`, document.window, now))
}
