import type { Collateral } from './collateral.ts'

/**
 * When the oldest of the dated collateral (CRLs, OCSP answers, Intel's documents) was made, in seconds since 1970; null where none is
 * dated. The oldest, since nobody vouches for the date of what was not needed: adding something can only make it older.
 */
export function oldestTime({ crls, ocsp, documents }: Pick<Collateral, 'crls' | 'ocsp' | 'documents'>): number | null {
  const answers = ocsp.flatMap((response) => response.responses)
  const dates = [...[...crls, ...answers].map((dated) => dated.thisUpdate), ...documents.map((d) => d.content.issueDate)]
  return dates.length === 0 ? null : Math.floor(Math.min(...dates) / 1000)
}
