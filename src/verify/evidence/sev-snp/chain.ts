import { equal, isZero } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { AMD_ROOTS } from '../../trust/amd.ts'
import type { Anchor } from '../../trust/anchor.ts'
import { anchorOf, isAuthority } from '../authority.ts'
import type { VerifyCache } from '../cache.ts'
import type { KnownCertificate } from '../collateral.ts'
import { isSignedBy } from '../signed-by.ts'
import { describeVek, type VekFields } from './claims.ts'
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

/** What a VEK certificate says, for programs and as JSON. */
interface ReadVek {
  readonly vek: Vek | AttestError
  readonly fields: VekFields
}

/** The certificate chosen for a report. `vek` is the error where its extensions do not fit; `path` is null without a trusted issuer. */
export interface SnpChain extends ReadVek {
  readonly certificate: KnownCertificate
  readonly path: { readonly issuer: Anchor; readonly root: SnpRoot } | null
}

/**
 * Picks the VEK for a report among the given certificates and leads it to a root. Certificates of other chips and of other
 * TCB levels may lie beside it; one that leads to a root goes before one that does not.
 * @returns Null when no certificate of the kind that signed is there.
 */
export async function findChain(
  report: SnpReport,
  certificates: readonly KnownCertificate[],
  roots: readonly SnpRoot[],
  at: number,
  cache: VerifyCache,
): Promise<SnpChain | null> {
  const candidates = certificates
    .filter((c) => report.signingKey !== null && vekKindOf(c) === report.signingKey)
    .map((certificate) => ({ certificate, ...readVek(certificate, cache) }))
    .map((c) => ({ ...c, score: scoreOf(c.certificate, c.vek, report, at) }))
    .sort((a, b) => b.score - a.score)
  for (const candidate of candidates) {
    const path = await findPath(candidate.certificate, certificates, roots, cache)
    if (path !== null) return { ...candidate, path }
  }
  const [best] = candidates
  return best === undefined ? null : { ...best, path: null }
}

function readVek(certificate: KnownCertificate, cache: VerifyCache): ReadVek {
  const key = `vek:${certificate.sha256}`
  const known = cache.get(key)
  if (known !== undefined) return known as ReadVek
  const vek = tryParseVek(certificate)
  const read = { vek, fields: describeVek(certificate, vek) }
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
): Promise<SnpChain['path']> {
  if (leaf.signatureScheme !== 'rsa-pss-sha384') return null
  for (const root of roots) {
    for (const issuer of await issuersOf(leaf, certificates, root, cache)) {
      if (await isSignedBy(cache, leaf, issuer)) return { issuer, root }
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
