import { expect } from 'vitest'
import { fromHex } from '../../../src/verify/bytes/bytes.ts'
import { parseReport } from '../../../src/verify/evidence/sev-snp/parse.ts'
import type { SnpRequirements } from '../../../src/verify/evidence/sev-snp/requirements.ts'
import type { EvidenceVerdict } from '../../../src/verify/verify-evidence.ts'
import type { EvidenceCase } from '../../support/vector-cases.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

/** One entry of the manifest of real SEV-SNP evidence; its README explains the members. */
export interface VectorCase {
  readonly id: string
  readonly kind: 'sev-snp-report' | 'configfs-tsm-report' | 'vek-certificate' | 'amd-crl' | 'derived-negatives'
  readonly evidence_files: Readonly<Record<string, string>>
  readonly collateral_files: Readonly<Record<string, string>>
  readonly verify_at: string
  readonly expected: {
    readonly verdict: 'pass' | 'fail'
    readonly reason: string | null
    readonly parsed?: Readonly<Record<string, unknown>>
    readonly vek?: Readonly<Record<string, unknown>>
  }
  readonly cases?: readonly Mutation[]
}

/** A recipe: the base case with these operations applied and nothing else changed. */
export interface Mutation {
  readonly id: string
  readonly base: string
  readonly ops: readonly Operation[]
  readonly expected: { readonly reason: string }
}

export interface Operation {
  readonly offset?: number
  readonly xor?: string
  readonly truncate_to?: number
  readonly append_hex?: string
  readonly collateral?: string
  readonly replace_with?: string
  readonly verify_at?: string
  readonly policy?: { readonly min_reported_tcb?: { readonly microcode: 'reported+1' }; readonly vmpl?: number }
  readonly decode?: 'pre-turin'
}

/** CRLs that the folder holds: of Milan and Genoa, each current for about a year. */
export const CRL_FILES: readonly string[] = ['crl/ark-genoa-20241023.crl', 'crl/ark-milan-20250506.crl']

export function loadCases(folder: string): readonly VectorCase[] {
  return readManifest<readonly VectorCase[]>(folder)
}

export function evidenceOf(folder: string, vector: VectorCase): Uint8Array {
  const [path = ''] = Object.values(vector.evidence_files)
  return readVector(folder, path)
}

export function collateralOf(folder: string, vector: VectorCase): Uint8Array[] {
  return [...Object.values(vector.collateral_files), ...CRL_FILES].map((path) => readVector(folder, path))
}

export function mutate(bytes: Uint8Array, op: Operation): Uint8Array {
  if (op.truncate_to !== undefined) return bytes.slice(0, op.truncate_to)
  if (op.append_hex !== undefined) return Uint8Array.of(...bytes, ...fromHex(op.append_hex))
  const offset = op.offset ?? 0
  return bytes.map((byte, i) => (i === offset ? byte ^ Number.parseInt(op.xor ?? '00', 16) : byte))
}

/** `report_data` of the manifest is `reportData` here. */
export function camelCase(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(members).map(([key, value]) => {
    const nested = typeof value === 'object' && value !== null && !Array.isArray(value)
    return [key.replace(/_([a-z0-9])/g, (_, c: string) => c.toUpperCase()), nested ? camelCase(value as Record<string, unknown>) : value]
  })
  return Object.fromEntries(entries) as Record<string, unknown>
}

const COMMON = { trustAnchors: [], allowUnknown: ['revocation'] } as const

/** Real reports and the recipes that break them, as questions to `verifyEvidence`. Empty without the vectors. */
export function evidenceCases(): readonly EvidenceCase[] {
  const folder = vectorsFolder('sev-snp')
  if (folder === null) return []
  const cases = loadCases(folder)
  const reports = cases.filter((c) => c.kind === 'sev-snp-report' || c.kind === 'configfs-tsm-report')
  const recipes = cases.flatMap((c) => c.cases ?? []).filter(isQuestion)
  return [...reports.map((vector) => reportCase(folder, vector)), ...recipes.map((recipe) => recipeCase(folder, cases, recipe))]
}

/** Groups in which a real case can fail, by the manifest's reason. */
const REFUSALS: Readonly<Record<string, string>> = { 'debug-enabled': 'debug.guest-policy', 'vek-missing': 'chain.vek' }

function reportCase(folder: string, vector: VectorCase): EvidenceCase {
  const { verdict, reason, parsed, vek } = vector.expected
  return {
    id: vector.id,
    input: evidenceOf(folder, vector),
    options: { ...COMMON, collateral: collateralOf(folder, vector), at: new Date(vector.verify_at) },
    check: (found) => {
      expect(found.decision).toBe(verdict === 'pass' ? 'accept' : 'reject')
      if (found.decision === 'accept') {
        expect(found.claims).toMatchObject({ tee: 'sev-snp', debug: false, simulated: false, tcbStatus: 'not-applicable' })
      } else expect(badRules(found)[0]).toBe(REFUSALS[reason ?? ''])
      if (parsed !== undefined) expect(found.parsed).toMatchObject(camelCase(parsed))
      if (vek !== undefined) expect(found.parsed).toMatchObject({ vek: camelCase(vek) })
      return found.decision
    },
  }
}

function badRules({ checks }: EvidenceVerdict): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
}

/** Roots are built in: a recipe with another issuer, or another way to read a TCB, is no question to `verifyEvidence`. */
export function isQuestion({ ops }: Mutation): boolean {
  return !ops.some((o) => o.decode !== undefined || ['ask', 'asvk', 'ark'].includes(o.collateral ?? ''))
}

/** Rules that may refuse a recipe, by the manifest's reason. Reserved bytes are tested before the signature over them. */
export const RULES: Readonly<Record<string, readonly string[]>> = {
  'report-signature-invalid': ['signature.report', 'format.well-formed'],
  'format-invalid': ['format.well-formed'],
  'signature-algorithm-unsupported': ['format.well-formed'],
  'chain-invalid': ['chain.issuer'],
  'chain-untrusted-root': ['chain.trust-anchor'],
  'cert-expired': ['validity.vek'],
  'cert-not-yet-valid': ['validity.vek'],
  'tcb-below-minimum': ['tcb.minimum'],
  'vmpl-mismatch': ['policy.vmpl'],
  'tcb-mismatch': ['chain.reported-tcb'],
}

/** A recipe: the base case with one thing changed, refused for it. */
function recipeCase(folder: string, cases: readonly VectorCase[], recipe: Mutation): EvidenceCase {
  const base = cases.find((c) => c.id === recipe.base)
  if (base === undefined) throw new Error(`no base case ${recipe.base}`)
  const replaced = new Map(recipe.ops.map((o) => [o.collateral, o.replace_with]))
  const files = Object.entries(base.collateral_files).map(([name, path]) => replaced.get(name) ?? path)
  const at = recipe.ops.find((o) => o.verify_at !== undefined)?.verify_at ?? base.verify_at
  const collateral = files.map((path) => readVector(folder, path))
  return {
    id: recipe.id,
    input: recipe.ops.filter((o) => o.collateral === undefined).reduce(mutate, evidenceOf(folder, base)),
    options: { ...COMMON, collateral, at: new Date(at), sevSnp: requirementsOf(recipe, evidenceOf(folder, base)) },
    check: (found) => {
      expect(found.decision).toBe('reject')
      expect(RULES[recipe.expected.reason]).toContain(found.checks.find((c) => c.outcome === 'fail')?.rule)
      return 'recipe'
    },
  }
}

function requirementsOf({ ops }: Mutation, report: Uint8Array): SnpRequirements {
  const policy = ops.find((o) => o.policy !== undefined)?.policy
  const microcode = parseReport(report).reportedTcb[7] ?? 0
  return {
    ...(policy?.vmpl === undefined ? {} : { vmpl: policy.vmpl }),
    ...(policy?.min_reported_tcb === undefined ? {} : { minimumTcb: { Turin: { microcode: microcode + 1 } } }),
  }
}
