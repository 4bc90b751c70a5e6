import fc from 'fast-check'
import { expect } from 'vitest'
import { AttestError } from '../../src/verify/errors.ts'

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
