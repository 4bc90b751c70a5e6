import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import type { EvidenceVerdict } from '../../src/verify/verify-evidence.ts'
import { eventLogOutcome, expectQuote, mutationOutcome } from './dcap-vector-checks.ts'
import { eventLogVectors, mutatedVectors, quoteVectors, sgxFolder, tdxFolder } from './dcap-vectors.ts'

/** One question to `verifyEvidence`, with what the answer must be: the same in Node and in a browser. */
export interface EvidenceCase {
  readonly id: string
  readonly input: Uint8Array
  readonly options: Omit<VerifyOptions, 'cache' | 'collateral'> & { readonly collateral: readonly Uint8Array[] }
  /** Fails where the verdict is not the expected one. @returns What to count it as. */
  readonly check: (verdict: EvidenceVerdict) => string
}

/** Real quotes, recipes that break them, and event logs. Empty without the vectors. */
export function dcapCases(tee: 'tdx' | 'sgx'): readonly EvidenceCase[] {
  if ((tee === 'tdx' ? tdxFolder : sgxFolder) === null) return []
  const common = { format: tee, trustAnchors: [], allowUnknown: [] } as const
  const quotes = quoteVectors(tee).map(({ id, quote, collateral, at, expected }) => ({
    id,
    input: quote,
    options: { ...common, collateral, at },
    check: (verdict: EvidenceVerdict) => {
      expectQuote(tee, verdict, expected)
      return verdict.decision
    },
  }))
  const mutated = mutatedVectors(tee).map(({ id, quote, collateral, at, reason }) => ({
    id,
    input: quote,
    options: { ...common, collateral, at },
    check: (verdict: EvidenceVerdict) => mutationOutcome(verdict, reason),
  }))
  const logs = (tee === 'tdx' ? eventLogVectors() : []).map(({ id, quote, eventLog, expected }) => ({
    id: `event log ${id}`,
    input: quote,
    options: { ...common, collateral: [], at: new Date('2026-01-01T00:00:00Z'), eventLogs: [eventLog] },
    check: (verdict: EvidenceVerdict) => eventLogOutcome(verdict, expected),
  }))
  return [...quotes, ...mutated, ...logs]
}
