import fc from 'fast-check'
import { expect } from 'vitest'
import { AttestError } from '../../src/verify/errors.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import { verifyEvidence } from '../../src/verify/verify-evidence.ts'

/** Expects a value or an AttestError that the input caused, and nothing else. */
export function expectParsedOrAttestError(parse: () => unknown): void {
  try {
    parse()
  } catch (error) {
    expect(error).toBeInstanceOf(AttestError)
    expect((error as AttestError).code).not.toBe('INTERNAL')
  }
}

/** Any bytes, and a whole input of which a few bytes were replaced, put in or taken out. */
export function damaged(whole: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.tuple(fc.nat(whole.length), fc.nat(3), fc.uint8Array({ maxLength: 4 }))
  const edits = fc
    .array(edit, { minLength: 1, maxLength: 4 })
    .map((all) =>
      all.reduce((bytes, [at, out, put]) => Uint8Array.of(...bytes.subarray(0, at), ...put, ...bytes.subarray(at + out)), whole),
    )
  return fc.oneof(fc.uint8Array({ maxLength: 200 }), edits)
}

/** Cuts evidence off at every length. @returns Codes of the errors, `accepted` and `no error` among them where there is such a length. */
export async function truncationErrors(evidence: Uint8Array, options: VerifyOptions): Promise<readonly string[]> {
  const codes = new Set<string>()
  for (let size = 0; size < evidence.length; size++) {
    const verdict = await verifyEvidence(evidence.subarray(0, size), options)
    codes.add(verdict.decision === 'reject' ? (verdict.error?.code ?? 'no error') : 'accepted')
  }
  return [...codes].sort()
}
