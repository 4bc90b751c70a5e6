import { expect } from 'vitest'
import { attest, pcrDigest, pcrsJson, TestAk } from '../support/tpm-maker.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'

/** Quotes by every kind of attestation key, and one of each over other PCR values. */
export function simulatedTpmCases(): readonly EvidenceCase[] {
  const keys = [new TestAk('p256'), new TestAk('p384'), new TestAk('rsassa', 'sha512'), new TestAk('rsapss')]
  return keys.flatMap((ak) => [tpmCase(ak, true), tpmCase(ak, false)])
}

function tpmCase(ak: TestAk, isGenuine: boolean): EvidenceCase {
  const selections = [{ bank: 'sha256', pcrs: [0, 7] }] as const
  const input = attest({ selections, pcrDigest: pcrDigest(isGenuine ? ak.hash : 'sha1', selections) })
  const collateral = [ak.sign(input), pcrsJson(), ak.publicArea()]
  return {
    id: `TPM, ${ak.kind}, ${isGenuine ? 'genuine' : 'forged'}`,
    input,
    options: { collateral, trustAnchors: [ak.spki], at: new Date('2026-06-01T00:00:00Z'), allowUnknown: [] },
    check: ({ decision }) => {
      expect(decision).toBe(isGenuine ? 'accept' : 'reject')
      return decision
    },
  }
}
