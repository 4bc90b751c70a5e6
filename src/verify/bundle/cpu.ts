import { crypto } from '#crypto'
import { fromBase64Url } from '../bytes/bytes.ts'
import type { Binding } from '../documents/binding.ts'
import type { EvidenceBundle } from '../documents/evidence-bundle.ts'
import { AttestError } from '../errors.ts'
import type { VerifyCache } from '../evidence/cache.ts'
import { check } from '../evidence/check.ts'
import { type Collateral, loadCollateral } from '../evidence/collateral.ts'
import { MAX_FIELD_SIZE } from '../evidence/nitro/parse.ts'
import type { Format, VerifyOptions } from '../evidence/types.ts'
import type { Check } from '../verdict.ts'
import { type EvidenceParsed, isCpuFormat } from '../verify-format.ts'

/** Formats whose evidence is not in one piece. */
const IN_PIECES: readonly Format[] = ['tpm', 'azure-cvm']

/** The rules by which a format's verifier says that the report carries what the binding gives. */
const RULES: Readonly<Partial<Record<Format, Readonly<Record<string, Check['rule']>>>>> = {
  nitro: { 'binding.user-data': 'binding.report-data', 'freshness.nonce': 'binding.nonce' },
}
const RULE: Readonly<Record<string, Check['rule']>> = { 'freshness.nonce': 'binding.report-data' }

/** What a service says instead of evidence is for the caller to ask for, not for a bundle. */
export function cpuFormatOf({ cpu: { format } }: EvidenceBundle): Format {
  if (!isCpuFormat(format)) throw new AttestError('EVIDENCE_UNSUPPORTED', `format ${format}`, { at: 'bundle.cpu' })
  return format
}

/** What the CPU's report must carry of the binding, in the words of its verifier (docs/formats/binding.md). */
export async function wantedOfCpu(
  format: Format,
  bundle: EvidenceBundle,
  { nonce, kem }: Binding,
): Promise<Pick<VerifyOptions, 'nonce' | 'nitro'>> {
  if (IN_PIECES.includes(format)) return { nonce: await crypto.digest('SHA-256', bundle.binding) }
  const reportData = await crypto.digest('SHA-512', bundle.binding)
  if (format !== 'nitro') return { nonce: reportData }
  const publicKey = fromBase64Url(kem.publicKey)
  const fits = publicKey.length <= MAX_FIELD_SIZE
  return { nonce: fromBase64Url(nonce), nitro: { userData: reportData, ...(fits ? { publicKey } : {}) } }
}

/**
 * The CPU's checks as those of a bundle: what is a nonce of bare evidence ties the report to the binding here, so there must be
 * a rule that says so, and one that cannot be decided is one that failed.
 */
export function asBound(format: Format, checks: readonly Check[], parsed: EvidenceParsed | null): readonly Check[] {
  const rules = RULES[format] ?? RULE
  const renamed = checks.map((c) => (rules[c.rule] === undefined ? c : { ...c, rule: rules[c.rule] as Check['rule'] }))
  const decided = renamed.map((c) => (c.rule === 'binding.report-data' && c.outcome === 'unknown' ? { ...c, outcome: 'fail' as const } : c))
  const unsaid = parsed !== null && !decided.some((c) => c.rule === 'binding.report-data')
  return [
    ...decided,
    ...(unsaid ? [check('binding.report-data', false, 'digest of the binding', 'none')] : []),
    ...strayKey(format, parsed, checks),
  ]
}

/** A Nitro document has no other key than the binding's, also where that one does not fit. */
function strayKey(format: Format, parsed: EvidenceParsed | null, checks: readonly Check[]): readonly Check[] {
  if (format !== 'nitro' || parsed === null || !('publicKey' in parsed) || checks.some((c) => c.rule === 'binding.public-key')) return []
  return [check('binding.public-key', parsed.publicKey === null, 'none: the KEM key does not fit', parsed.publicKey ?? 'none')]
}

/**
 * What belongs to the CPU's evidence and lies beside it. Only what came with the bundle counts, since its digest names that:
 * companions among the caller's collateral are left out.
 */
export async function withOwnCompanions(
  { cpu }: EvidenceBundle,
  collateral: Collateral,
  cache: VerifyCache,
): Promise<{ readonly collateral: Collateral; readonly checks: readonly Check[] }> {
  const { companions: given = [], format } = cpu
  const own = await loadCollateral(
    given.map((bytes, i) => ({ name: `bundle.cpu.companions[${i}]`, bytes })),
    cache,
  )
  const { companions, unrecognized } = own
  const others = own.certificates.length + own.crls.length + own.documents.length + own.rims.length + own.ocsp.length
  const fit = unrecognized.length === 0 && others === 0 && (given.length === 0 || IN_PIECES.some((f) => f === format))
  const want = 'signatures, keys, PCR values and quotes, of a TPM alone'
  return {
    collateral: { ...collateral, companions },
    checks: given.length === 0 ? [] : [check('format.companions', fit, want, fit ? `${given.length} pieces` : 'something else')],
  }
}
