import { fromHex } from '../../../src/verify/bytes/bytes.ts'
import { readManifest, readVector } from '../../support/vectors.ts'

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
