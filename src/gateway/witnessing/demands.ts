import type { Policy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { encodeNote, type LogTrust, parseCheckpoint, verifyCheckpoint } from '../../verify/tlog/index.ts'

/** A quorum that a policy demands. */
export interface Demand {
  readonly log: LogTrust & { readonly witnessing: Policy['witnessing'] & { readonly mode: 'quorum' } }
  /** Seconds since the epoch: the quorum's time must not be earlier. */
  readonly notBefore: number
}

/** The quorums that policies demand. @param after - Checkpoints that must not be the younger ones. */
export async function demandsOf(policies: readonly Policy[], after: readonly string[]): Promise<readonly Demand[]> {
  const demands: Demand[] = []
  for (const { log, witnessing } of policies) {
    if (witnessing.mode === 'none') continue
    const trust = { ...log, witnessing }
    demands.push({
      log: trust,
      notBefore: Math.max(0, ...(await Promise.all(after.map((note) => verifyCheckpoint(note, trust)))).map((c) => c.time)),
    })
  }
  return demands
}

/** Whether a checkpoint is cosigned as every demand wants. */
export async function satisfies(note: string, demands: readonly Demand[]): Promise<boolean> {
  for (const { log, notBefore } of demands) {
    try {
      if ((await verifyCheckpoint(note, log)).time < notBefore) return false
    } catch (error) {
      if (error instanceof AttestError && error.code === 'LOG_CHECKPOINT_INVALID') return false
      throw error
    }
  }
  return true
}

/** A checkpoint with more signature lines. */
export function withLines(note: string, lines: readonly Parameters<typeof encodeNote>[0]['signatures'][number][]): string {
  const { text, signatures } = parseCheckpoint(note).note
  return encodeNote({ text, signatures: [...signatures, ...lines] })
}
