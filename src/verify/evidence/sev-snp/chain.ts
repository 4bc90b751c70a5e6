import { equal, isZero } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { AMD_ROOTS } from '../../trust/amd.ts'
import type { Anchor } from '../../trust/anchor.ts'
import { anchorOf, isAuthority, scopeOf } from '../authority.ts'
import type { VerifyCache } from '../cache.ts'
import type { Collateral, KnownCertificate } from '../collateral.ts'
import { isSignedBy } from '../signed-by.ts'
import { type Window, windowOf } from '../windows.ts'
import { productOf } from './layout.ts'
import type { SnpReport } from './parse.ts'
import { parseVek, type Vek, vekKindOf } from './vek.ts'

/** A root under which VEKs may stand, with the intermediates that are trusted as written down. */
export interface SnpRoot {
  readonly ark: Anchor
  readonly intermediates: readonly Anchor[]
  /** Chosen by the caller, not AMD's: whatever verifies under it proves nothing about hardware. */
  readonly simulated: boolean
}

const VENDOR_ROOTS: readonly SnpRoot[] = AMD_ROOTS.map(({ ark, intermediates }) => ({ ark, intermediates, simulated: false }))

const VENDOR_KEYS: ReadonlySet<string> = new Set(VENDOR_ROOTS.flatMap((r) => [r.ark, ...r.intermediates]).map((a) => a.spkiSha256))

/** Built-in roots first; a caller's root that repeats an AMD key is AMD's and adds nothing. */
export function snpRoots(simulated: readonly Anchor[]): readonly SnpRoot[] {
  if (simulated.length === 0) return VENDOR_ROOTS
  const strangers = simulated.filter((a) => !VENDOR_KEYS.has(a.spkiSha256))
  return [...VENDOR_ROOTS, ...strangers.map((ark) => ({ ark, intermediates: [], simulated: true }))]
}

/** What a VEK certificate says. */
interface ReadVek {
  readonly vek: Vek | AttestError
  readonly window: Window
}

/** Where a VEK leads, with the windows of what it leads over: facts about bytes, true at any time. */
export interface SnpPath {
  readonly issuer: Anchor
  readonly root: SnpRoot
  readonly issuerWindow: Window
  readonly rootWindow: Window
}

/** The certificate chosen for a report. `vek` is the error where its extensions do not fit; `path` is null without a trusted issuer. */
export interface SnpChain extends ReadVek {
  readonly certificate: KnownCertificate
  readonly path: SnpPath | null
}

/**
 * Picks the VEK for a report among the given certificates and leads it to a root. Certificates of other chips and of other
 * TCB levels may lie beside it; one that leads to a root goes before one that does not.
 * @returns Null when no certificate of the kind that signed is there.
 */
export async function findChain(
  report: SnpReport,
  collateral: Collateral,
  roots: readonly SnpRoot[],
  at: number,
  cache: VerifyCache,
): Promise<SnpChain | null> {
  const candidates = collateral.certificates.filter((c) => report.signingKey !== null && vekKindOf(c) === report.signingKey)
  if (candidates.length > 1) {
    const scores = new Map(candidates.map((c) => [c, scoreOf(c, readVek(c, cache).vek, report, at)]))
    candidates.sort((a, b) => (scores.get(b) ?? 0) - (scores.get(a) ?? 0))
  }
  let best: SnpChain | null = null
  for (const certificate of candidates) {
    const chain = await openChain(certificate, collateral, roots, cache)
    if (chain.path !== null) return chain
    best ??= chain
  }
  return best
}

/** The same for every report of one chip. A certificate that leads nowhere is not kept: a stranger could fill the cache with them. */
async function openChain(
  certificate: KnownCertificate,
  collateral: Collateral,
  roots: readonly SnpRoot[],
  cache: VerifyCache,
): Promise<SnpChain> {
  const scope = scopeOf(
    collateral,
    roots.map((r) => r.ark),
  )
  const key = `snp:${certificate.sha256}:${scope}`
  const known = cache.get(key)
  if (known !== undefined) return known as SnpChain
  const chain = { certificate, ...readVek(certificate, cache), path: await findPath(certificate, collateral.certificates, roots, cache) }
  if (chain.path !== null) cache.set(key, chain, CHAIN_SIZE)
  return chain
}

const CHAIN_SIZE = 2048

function readVek(certificate: KnownCertificate, cache: VerifyCache): ReadVek {
  const key = `vek:${certificate.sha256}`
  const known = cache.get(key)
  if (known !== undefined) return known as ReadVek
  const read = { vek: tryParseVek(certificate), window: windowOf(certificate.notBefore, certificate.notAfter) }
  cache.set(key, read, certificate.raw.length)
  return read
}

function tryParseVek(certificate: KnownCertificate): Vek | AttestError {
  try {
    return parseVek(certificate)
  } catch (error) {
    if (error instanceof AttestError) return error
    throw error
  }
}

/** How well a certificate fits a report. Only an order of trial: every one of these facts is checked again later. */
function scoreOf(certificate: KnownCertificate, vek: Vek | AttestError, report: SnpReport, at: number): number {
  if (vek instanceof AttestError) return 0
  const chip = vek.hwId !== null && hasChipId(report.chipId, vek.hwId)
  const tcb = equal(vek.tcb, report.reportedTcb)
  const product = report.cpuid === null || productOf(report.cpuid) === vek.product
  const now = certificate.notBefore <= at && at <= certificate.notAfter
  return 1 + (product ? 16 : 0) + (chip ? 8 : 0) + (tcb ? 4 : 0) + (now ? 2 : 0)
}

/** CHIP_ID is 64 bytes; from Turin on the chip's id fills eight of them and the rest is zero. */
export function hasChipId(chipId: Uint8Array, hwId: Uint8Array): boolean {
  return equal(chipId.subarray(0, hwId.length), hwId) && isZero(chipId.subarray(hwId.length))
}

/** Leads a VEK to a root: through a pinned intermediate, or through a given one that the root signed. */
export async function findPath(
  leaf: KnownCertificate,
  certificates: readonly KnownCertificate[],
  roots: readonly SnpRoot[],
  cache: VerifyCache,
): Promise<SnpPath | null> {
  if (leaf.signatureScheme !== 'rsa-pss-sha384') return null
  for (const root of roots) {
    for (const issuer of await issuersOf(leaf, certificates, root, cache)) {
      if (!(await isSignedBy(cache, leaf, issuer))) continue
      const { ark } = root
      return { issuer, root, issuerWindow: windowOf(issuer.notBefore, issuer.notAfter), rootWindow: windowOf(ark.notBefore, ark.notAfter) }
    }
  }
  return null
}

async function issuersOf(
  leaf: KnownCertificate,
  certificates: readonly KnownCertificate[],
  root: SnpRoot,
  cache: VerifyCache,
): Promise<readonly Anchor[]> {
  const issuers = root.intermediates.filter((a) => a.subject === leaf.issuer.text)
  for (const c of certificates) {
    const fits = c.subject.text === leaf.issuer.text && c.issuer.text === root.ark.subject && c.signatureScheme === 'rsa-pss-sha384'
    const pinned = issuers.some((a) => a.spkiSha256 === c.spkiSha256)
    if (fits && !pinned && isAuthority(c) && (await isSignedBy(cache, c, root.ark))) issuers.push(anchorOf(c))
  }
  return issuers
}
