import { crypto } from '#crypto'
import { equal, isZero, toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { Check } from '../../verdict.ts'
import type { VerifyCache } from '../cache.ts'
import { check, type Now, unknown } from '../check.ts'
import type { Collateral, KnownCrl } from '../collateral.ts'
import { type Dated, earliestFirst, type Forecast } from '../forecast.ts'
import { checkRevocation } from '../revocation.ts'
import { importKey } from '../signed-by.ts'
import { checkCertificateWindow } from '../windows.ts'
import { appraiseReport } from './appraise.ts'
import { appraiseSnp } from './appraise-claims.ts'
import { findChain, hasChipId, type SnpChain, type SnpRoot } from './chain.ts'
import { claimsOf, describeReport, describeVek, productFor, type SnpClaims, type SnpParsed } from './claims.ts'
import { cpuidText, productOf, readTcb, tcbLayout, tcbText } from './layout.ts'
import { parseReport, type SnpReport } from './parse.ts'
import type { SnpRequirements } from './requirements.ts'
import type { Vek } from './vek.ts'

/** Everything that {@link verifyReport} needs. Nothing is fetched, no clock is read. */
export interface SnpInput {
  /** ATTESTATION_REPORT, exactly 1184 bytes. */
  readonly report: Uint8Array
  readonly collateral: Collateral
  readonly roots: readonly SnpRoot[]
  readonly now: Now
  readonly nonce: Uint8Array | null
  readonly measurement: Uint8Array | null
  readonly requirements: SnpRequirements
  readonly cache: VerifyCache
}

/** Every rule with its outcome. What was read is put into words when it is asked for: most callers of a gateway never do. */
export class SnpResult {
  readonly checks: readonly Check[]
  readonly notChecked: readonly string[] = []
  readonly #report: SnpReport
  readonly #chain: SnpChain | null
  readonly #crl: KnownCrl | null
  #parsed: SnpParsed | null = null
  #claims: SnpClaims | null = null

  constructor(report: SnpReport, chain: SnpChain | null, crl: KnownCrl | null, checks: readonly Check[]) {
    this.checks = checks
    this.#report = report
    this.#chain = chain
    this.#crl = crl
  }

  get parsed(): SnpParsed {
    this.#parsed ??= describe(this.#report, this.#chain)
    return this.#parsed
  }

  /** Not trusted until the checks are accepted. */
  get claims(): SnpClaims {
    this.#claims ??= claimsOf(this.parsed, this.#chain?.path?.root.simulated === true, this.#crl)
    return this.#claims
  }

  /** What expires when. */
  forecast(): Forecast {
    return { expiries: earliestFirst(datesOf(this.#chain, this.#crl)), early: null }
  }
}

/**
 * Checks an AMD SEV-SNP report in the order of docs/formats/sev-snp.md: form, signer, product, chain, validity, revocation,
 * signature, certificate against report, then what is wanted of it.
 * @throws AttestError `EVIDENCE_*` for bytes that are no report.
 * @see AMD 56860 (report), AMD 57230 (certificates).
 */
export async function verifyReport(input: SnpInput): Promise<SnpResult> {
  const { collateral, roots, now, cache } = input
  const report = parseReport(input.report)
  const chain = await findChain(report, collateral, roots, now.ms, cache)
  const vek = vekOf(chain)
  const revocation = chain?.path == null ? null : await checkRevocation(chain.path.issuer, chain.path.root.ark, collateral, now, cache)
  const checks = [
    check('format.report', true, 'ATTESTATION_REPORT version 2 to 5, reserved bytes zero', `version ${report.version}`),
    ...checkSigner(report, chain),
    ...(chain === null ? [] : checkChain(report, chain, now)),
    ...(revocation?.checks ?? []),
    await checkSignature(report, chain, cache),
    ...(vek === null ? [] : [checkTcb(report, vek), checkChip(report, vek)]),
    ...appraiseReport(report, productFor(report, vek), input),
    // Most callers ask for nothing here, and should not wait for words; a masked CHIP_ID is looked at in any case.
    ...(Object.keys(input.requirements).length === 0 && !isZero(report.chipId)
      ? []
      : appraiseSnp(describe(report, chain), input.requirements)),
  ]
  return new SnpResult(report, chain, revocation?.current ?? null, checks)
}

function describe(report: SnpReport, chain: SnpChain | null): SnpParsed {
  return { ...describeReport(report, vekOf(chain)), vek: chain === null ? null : describeVek(chain.certificate, chain.vek) }
}

function vekOf(chain: SnpChain | null): Vek | null {
  return chain === null || chain.vek instanceof AttestError ? null : chain.vek
}

function datesOf(chain: SnpChain | null, crl: KnownCrl | null): readonly Dated[] {
  if (chain === null) return []
  const { certificate, path } = chain
  const dated: Dated[] = [{ what: 'vek', name: certificate.subject.text, at: certificate.notAfter }]
  if (path !== null) {
    dated.push({ what: 'issuer', name: path.issuer.subject, at: path.issuer.notAfter })
    dated.push({ what: 'root', name: path.root.ark.subject, at: path.root.ark.notAfter })
  }
  if (crl !== null) dated.push({ what: 'crl', name: crl.issuer.text, at: crl.nextUpdate })
  return dated
}

function checkSigner({ signingKey }: SnpReport, chain: SnpChain | null): readonly Check[] {
  const signer = check('chain.signing-key', signingKey !== null, 'VCEK or VLEK', signingKey ?? 'none')
  if (signingKey === null) return [signer]
  const want = `certificate of the ${signingKey} that signed`
  if (chain === null) return [signer, unknown('chain.vek', want, 'none given')]
  const name = `${chain.certificate.subject.commonName} under ${chain.certificate.issuer.commonName}`
  return [signer, check('chain.vek', true, want, name)]
}

function checkChain(report: SnpReport, { certificate, vek, window, path }: SnpChain, now: Now): readonly Check[] {
  const malformed = vek instanceof AttestError ? `${vek.message} (${vek.code})` : null
  const checks = [check('chain.profile', malformed === null, 'VEK certificate as AMD 57230 describes it', malformed ?? 'as described')]
  if (!(vek instanceof AttestError)) checks.push(checkProduct(report, vek))
  const issuer = certificate.issuer.text
  checks.push(
    check('chain.issuer', path !== null, 'signed under a trusted ARK', path === null ? `${issuer} leads to no trusted root` : issuer),
  )
  checks.push(checkCertificateWindow('validity.vek', window, now))
  if (path === null) return checks
  checks.push(
    check('chain.names', leafNameFits(certificate.subject.text, path.issuer.subject), 'names of one hierarchy', certificate.subject.text),
  )
  checks.push(checkCertificateWindow('validity.issuer', path.issuerWindow, now))
  checks.push(checkCertificateWindow('validity.root', path.rootWindow, now))
  return checks
}

/** A VEK bears its issuer's name up to the CN (AMD 57230 section 3). */
function leafNameFits(subject: string, issuer: string): boolean {
  const upToCn = (name: string): string => name.slice(0, name.lastIndexOf('CN='))
  return upToCn(subject) === upToCn(issuer)
}

/** Before version 3 a report does not name its processor: then the chain that signed it says so. */
function checkProduct({ cpuid }: SnpReport, vek: Vek): Check {
  const want = `product of the chain: ${vek.product}`
  if (cpuid === null) return check('chain.product', true, want, `${vek.product}, by its chain`)
  const product = productOf(cpuid)
  return check('chain.product', product === vek.product, want, `${product ?? 'unknown'}, by ${cpuidText(cpuid)}`)
}

async function checkSignature(report: SnpReport, chain: SnpChain | null, cache: VerifyCache): Promise<Check> {
  const rule = 'signature.report'
  const want = 'ECDSA P-384 with SHA-384 over bytes 0x000 to 0x29f'
  if (chain === null)
    return report.signingKey === null ? check(rule, false, want, 'not signed') : unknown(rule, want, 'no key to check it with')
  if (chain.vek instanceof AttestError) return check(rule, false, want, 'certificate cannot be read')
  const holds = await isReportSigned(report, chain, cache)
  return check(rule, holds, want, holds ? `verifies under the ${chain.vek.kind}` : `does not verify under the ${chain.vek.kind}`)
}

async function isReportSigned(report: SnpReport, { certificate }: SnpChain, cache: VerifyCache): Promise<boolean> {
  try {
    const key = await importKey(cache, 'ecdsa-p384-sha384', certificate)
    return await crypto.verify(key, report.signature, report.signed)
  } catch (error) {
    // A point that is not on the curve.
    if (error instanceof AttestError && error.code === 'CERTIFICATE_MALFORMED') return false
    throw error
  }
}

function checkTcb(report: SnpReport, vek: Vek): Check {
  const layout = tcbLayout(vek.product)
  const [want, got] = [vek.tcb, report.reportedTcb].map((raw) => `${toHex(raw)} (${tcbText(readTcb(raw, layout))})`)
  return check('chain.reported-tcb', equal(vek.tcb, report.reportedTcb), `REPORTED_TCB of the certificate: ${want}`, got ?? '')
}

/**
 * A VLEK belongs to a provider, not to a chip. Where the owner masked CHIP_ID there is nothing to compare: that the VCEK of
 * one chip signed is then all that ties the report to it, and whether that will do is for `policy.masked-chip-id` to say.
 */
function checkChip(report: SnpReport, vek: Vek): Check {
  const rule = 'chain.chip-id'
  if (vek.hwId === null) return check(rule, true, 'none: a VLEK names no chip', vek.cspId ?? 'no cspID')
  const want = `CHIP_ID of the certificate: ${toHex(vek.hwId)}`
  if (isZero(report.chipId)) return check(rule, true, want, 'masked by the platform')
  return check(rule, hasChipId(report.chipId, vek.hwId), want, toHex(report.chipId))
}
