import { equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import { NVDEC0_INDEX } from './layout.ts'
import type { GoldenMeasurement } from './rim/measurements.ts'
import type { RimSource } from './rim/verify.ts'

/** Golden values and whose they are. */
export interface GoldenSet {
  readonly source: RimSource
  readonly measurements: readonly GoldenMeasurement[]
}

/** A measurement that is none of the values that are due. */
export interface Mismatch {
  readonly index: number
  readonly source: RimSource
  /** Hexadecimal. */
  readonly want: readonly string[]
  readonly got: string | null
}

/** How measurements compare with golden values. Indices count from 0, as in manifests. */
export interface Comparison {
  /** Indices that were compared. */
  readonly compared: readonly number[]
  readonly mismatches: readonly Mismatch[]
  /** Active in more than one manifest: nobody can say which value is due. */
  readonly conflicts: readonly number[]
  /** Not compared, since the unit is disabled. */
  readonly skipped: readonly number[]
}

/**
 * Compares a report's measurements with the active values of its manifests. Inactive and unlisted indices say nothing.
 * @param measurements - The value of measurement block i+1 is at i.
 * @param nvdec0Disabled - The measurement of a disabled NVDEC0 does not count.
 * @see NVIDIA/nvtrust verifier (golden measurement comparison).
 */
export function compareMeasurements(
  measurements: readonly Uint8Array[],
  golden: readonly GoldenSet[],
  nvdec0Disabled: boolean,
): Comparison {
  const owners = new Map<number, RimSource>()
  const [conflicts, skipped]: [number[], number[]] = [[], []]
  const mismatches: Mismatch[] = []
  for (const { source, measurements: values } of golden) {
    for (const { index, active, alternatives } of values) {
      if (!active) continue
      if (index === NVDEC0_INDEX && nvdec0Disabled) {
        skipped.push(index)
        continue
      }
      if (owners.has(index)) conflicts.push(index)
      owners.set(index, source)
      const got = measurements[index]
      if (got !== undefined && alternatives.some((value) => equal(value, got))) continue
      mismatches.push({ index, source, want: alternatives.map(toHex), got: got === undefined ? null : toHex(got) })
    }
  }
  return { compared: [...owners.keys()].sort((a, b) => a - b), mismatches, conflicts, skipped }
}

/** @param allowed - Indices whose mismatch the caller chose to accept. */
export function checkComparison(comparison: Comparison, allowed: readonly number[]): readonly Check[] {
  const { compared, mismatches, conflicts } = comparison
  if (compared.length === 0) return [unknown('reference-values.measurements', 'measurements of the manifests', 'nothing to compare with')]
  const bad = mismatches.filter(({ index }) => !allowed.includes(index))
  const excused = mismatches.filter(({ index }) => allowed.includes(index))
  const differ = (list: readonly Mismatch[]): string => list.map(({ index, source }) => `${index} (${source})`).join(', ')
  const note = excused.length === 0 ? '' : `; differ, but allowed: ${differ(excused)}`
  const same = `${compared.length - mismatches.length} of ${compared.length} equal`
  return [
    check(
      'reference-values.conflicts',
      conflicts.length === 0,
      'each index active in one manifest',
      conflicts.length === 0 ? 'none in two' : `in two: ${conflicts.join(', ')}`,
    ),
    check(
      'reference-values.measurements',
      bad.length === 0,
      `${compared.length} measurements of the manifests${allowed.length === 0 ? '' : ` but for ${allowed.join(', ')}`}`,
      `${same}${bad.length === 0 ? '' : `; differ: ${differ(bad)}`}${note}`,
    ),
  ]
}
