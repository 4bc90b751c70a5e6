import { crypto } from '#crypto'
import { concat, equal, isZero } from '../../bytes/bytes.ts'
import { EC_SPKI } from '../../crypto/ec-spki.ts'
import type { PublicKey } from '../../crypto/types.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import { scopeOf } from '../authority.ts'
import { remember, type VerifyCache } from '../cache.ts'
import { check, unknown } from '../check.ts'
import { type Collateral, type KnownCertificate, readCertificate } from '../collateral.ts'
import { importKey } from '../signed-by.ts'
import type { Window } from '../windows.ts'
import { certificateWindow, findCrls, findPckPath, isPck, type PckPath, type SignedCrls } from './certificates.ts'
import { type Authenticated, contentOf, type DcapFacts, establishFacts } from './collateral.ts'
import { certificatesOf, pemText } from './collateral-json.ts'
import { type EnclaveReport, parseEnclaveReport } from './enclave-report.ts'
import { CERTIFICATION, type Tee } from './layout.ts'
import { type PckExtension, parsePckExtension } from './pck.ts'
import { checkQuotingEnclave, type QeIdentity } from './qe-identity.ts'
import type { Quote } from './quote.ts'
import type { DcapRoot } from './roots.ts'
import type { TcbInfo } from './tcb-info.ts'

/** A PCK certificate, what it says, where it leads, and the CRLs that its issuer signed. */
export interface PckChain {
  readonly leaf: KnownCertificate
  readonly window: Window
  readonly extension: PckExtension
  /** Null: leads to no trusted root. */
  readonly path: PckPath | null
  readonly crls: SignedCrls
}

/** `isMissing`: another certificate may be found. Otherwise the quote brought one that is of no use. */
export interface NoChain {
  readonly leaf: null
  readonly path: null
  readonly isMissing: boolean
  readonly reason: string
}

/** An identity of quoting enclaves and whether this one has it. */
export interface FittedIdentity {
  readonly document: Authenticated<QeIdentity>
  readonly fit: Check
}

/** The quoting enclave of one platform, and the documents that are about it: facts about bytes, true at any time. */
export interface Platform {
  readonly qeReport: EnclaveReport
  readonly chain: PckChain | NoChain
  /** Null: not a point on P-256. */
  readonly attestationKey: PublicKey | null
  /** Null: no root to ask under. */
  readonly facts: DcapFacts | null
  readonly tcbInfos: readonly Authenticated<TcbInfo>[]
  readonly qeIdentities: readonly FittedIdentity[]
  /** Rules that hold or do not, whatever the time. */
  readonly checks: readonly Check[]
}

const SCHEME = 'ecdsa-p256-sha256'
const MAX_CERTIFICATES = 8
const FACTS_SIZE = 64 * 1024
const PLATFORM_SIZE = 8 * 1024

/**
 * Works out who signed a quote's quoting enclave. Kept by the digest of the part of the quote that stays the same for one
 * quoting enclave, once everything about it holds.
 * @throws AttestError for a PEM chain or certificate that cannot be read.
 */
export async function establishPlatform(
  quote: Quote,
  collateral: Collateral,
  roots: readonly DcapRoot[],
  cache: VerifyCache,
): Promise<Platform> {
  const scope = scopeOf(
    collateral,
    roots.map((r) => r.anchor),
  )
  // Short, and the scope beside the value: putting a long key together and looking it up takes as long as the digest.
  const key = `dcap.qe:${quote.version}${quote.tee}${await crypto.digestHex('SHA-256', quote.qeSection)}`
  const known = cache.get(key) as KnownPlatform | undefined
  if (known?.scope === scope) return known.platform
  const platform = await workOut(quote, collateral, roots, scope, cache)
  const holds = platform.attestationKey !== null && platform.checks.every((c) => c.outcome === 'pass')
  if (holds) cache.set(key, { scope, platform } satisfies KnownPlatform, PLATFORM_SIZE + ownFactsSize(collateral))
  return platform
}

/** A platform, and what it was worked out from beside the quote. */
interface KnownPlatform {
  readonly scope: string
  readonly platform: Platform
}

/** The documents that facts hold on to, in bytes of text. */
function documentsSize({ documents }: Collateral): number {
  return documents.reduce((sum, { body }) => sum + body.length, 0)
}

/**
 * A platform keeps the facts that it rests upon. Many share those of a gateway's collateral; but whoever adds documents to
 * his own evidence has facts of his own, and could fill the memory with what nobody counts.
 */
function ownFactsSize(collateral: Collateral): number {
  const size = documentsSize(collateral)
  return size <= FACTS_SIZE ? 0 : 4 * size
}

async function workOut(
  quote: Quote,
  collateral: Collateral,
  roots: readonly DcapRoot[],
  scope: string,
  cache: VerifyCache,
): Promise<Platform> {
  // The cache outlives this quote, so what goes into it must not hold on to the quote's memory.
  const qeReport = parseEnclaveReport(quote.qeReport.slice(), 'quote.qe-report')
  const chain = await findChain(quote, collateral, roots, scope, cache)
  const root = chain.path?.root ?? null
  const facts =
    root === null
      ? null
      : await remember(
          cache,
          `dcap.facts:${scope}:${root.anchor.certificateSha256 ?? root.anchor.spkiSha256}`,
          FACTS_SIZE + 4 * documentsSize(collateral),
          () => establishFacts(collateral, root, cache),
        )
  const attestationKey = await importAttestationKey(quote)
  const isSigned = chain.leaf !== null && (await isReportSigned(quote, chain.leaf, cache))
  const checks = [checkPath(chain), checkReportSignature(chain, isSigned), await checkBinding(quote, qeReport)]
  const documents = facts === null || chain.leaf === null ? null : { facts, extension: chain.extension }
  return {
    qeReport,
    chain,
    attestationKey,
    facts,
    tcbInfos: documents === null ? [] : tcbInfosFor(documents.facts, quote.tee, documents.extension),
    qeIdentities: documents === null ? [] : identitiesFor(documents.facts, quote.tee, qeReport),
    checks,
  }
}

/** TCB info for this kind of quote and this model of platform, authentic or not. */
export function tcbInfosFor(facts: DcapFacts, tee: Tee, pck: PckExtension): readonly Authenticated<TcbInfo>[] {
  return facts.tcbInfos.filter(({ content: c }) => c.tee === tee && c.fmspc === pck.fmspc && c.pceId === pck.pceId)
}

export function identitiesFor(facts: DcapFacts, tee: Tee, qeReport: EnclaveReport): readonly FittedIdentity[] {
  return facts.qeIdentities
    .filter(({ content }) => content.tee === tee)
    .map((document) => ({ document, fit: checkQuotingEnclave(qeReport, contentOf(document)) }))
}

async function findChain(
  quote: Quote,
  collateral: Collateral,
  roots: readonly DcapRoot[],
  scope: string,
  cache: VerifyCache,
): Promise<PckChain | NoChain> {
  const type = quote.certificationType
  if (type === CERTIFICATION.pckLeaf || type === CERTIFICATION.pckChain) {
    const data = quote.certificationData
    const key = `dcap.pck:${scope}:${await crypto.digestHex('SHA-256', data)}`
    return remember(cache, key, 4 * data.length, async () => {
      const certificates = await readChain(data, cache)
      const [leaf, second] = certificates.filter(isPck)
      if (leaf === undefined) return noChain(false, `no PCK certificate among the ${certificates.length} of the quote`)
      if (second !== undefined) return noChain(false, 'more than one PCK certificate in the quote')
      return openChain(leaf, [...certificates, ...collateral.certificates], collateral, roots, cache)
    })
  }
  // Types 1 to 3 only name the platform; the signature says which certificate is its own.
  for (const leaf of collateral.certificates.filter(isPck).slice(0, MAX_CERTIFICATES)) {
    if (await isReportSigned(quote, leaf, cache)) return openChain(leaf, collateral.certificates, collateral, roots, cache)
  }
  return noChain(true, `certification data of type ${type} holds no certificate, and none given beside it signed the QE report`)
}

function noChain(isMissing: boolean, reason: string): NoChain {
  return { leaf: null, path: null, isMissing, reason }
}

/** Authorities are the same in every quote: read once. */
async function readChain(data: Uint8Array, cache: VerifyCache): Promise<readonly KnownCertificate[]> {
  const at = 'quote.pck'
  const ders = certificatesOf(pemText(data), at)
  if (ders.length > MAX_CERTIFICATES) throw new AttestError('CERTIFICATE_MALFORMED', `more than ${MAX_CERTIFICATES} certificates`, { at })
  const certificates: KnownCertificate[] = []
  for (const der of ders) certificates.push(await readCertificate(der, at, cache))
  return certificates
}

async function openChain(
  leaf: KnownCertificate,
  certificates: readonly KnownCertificate[],
  { crls }: Collateral,
  roots: readonly DcapRoot[],
  cache: VerifyCache,
): Promise<PckChain> {
  const path = await findPckPath(leaf, certificates, roots, cache)
  const none = { issuer: leaf.issuer.text, signed: [], isForged: false }
  return {
    leaf,
    window: certificateWindow(leaf),
    extension: parsePckExtension(leaf),
    path,
    crls: path === null ? none : await findCrls(crls, path.issuer.subject.text, path.issuer, cache),
  }
}

function checkPath(chain: PckChain | NoChain): Check {
  const rule = 'chain.pck'
  const want = 'PCK certificate under a trusted SGX Root CA'
  if (chain.leaf === null) return chain.isMissing ? unknown(rule, want, chain.reason) : check(rule, false, want, chain.reason)
  const issuer = chain.leaf.issuer.commonName ?? chain.leaf.issuer.text
  return check(rule, chain.path !== null, want, chain.path === null ? `${issuer} leads to no trusted root` : issuer)
}

function checkReportSignature(chain: PckChain | NoChain, holds: boolean): Check {
  const want = 'QE report signed by the PCK key'
  if (chain.leaf === null) return unknown('signature.qe-report', want, 'no PCK certificate to check it with')
  return check('signature.qe-report', holds, want, holds ? 'verifies' : 'does not verify')
}

async function isReportSigned(quote: Quote, leaf: KnownCertificate, cache: VerifyCache): Promise<boolean> {
  try {
    const key = await importKey(cache, SCHEME, leaf)
    return await crypto.verify(key, quote.qeReportSignature, quote.qeReport)
  } catch (error) {
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return false
    throw error
  }
}

/** QVL 4.1.2.5.14, here with the second half as well: the digest fills 32 bytes, and zeros the rest. */
async function checkBinding({ attestationKey, qeAuthData }: Quote, { reportData }: EnclaveReport): Promise<Check> {
  const digest = await crypto.digestParts('SHA-256', [attestationKey, qeAuthData])
  const holds = equal(digest, reportData.subarray(0, 32)) && isZero(reportData.subarray(32))
  const want = 'QE report data = SHA-256(attestation key, authentication data)'
  return check('signature.qe-binding', holds, want, holds ? 'equal' : 'not equal')
}

async function importAttestationKey({ attestationKey }: Quote): Promise<PublicKey | null> {
  try {
    return await crypto.importPublicKey(SCHEME, concat(EC_SPKI['P-256'].prefix, attestationKey))
  } catch (error) {
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return null
    throw error
  }
}
