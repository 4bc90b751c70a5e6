import { describe, expect, it } from 'vitest'
import { toHex } from '../../../../src/verify/bytes/bytes.ts'
import { FieldReader } from '../../../../src/verify/bytes/field-reader.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const eight = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

function errorOf(work: () => unknown): AttestError {
  try {
    work()
  } catch (error) {
    if (error instanceof AttestError) return error
  }
  throw new Error('no AttestError')
}

describe('a field reader', () => {
  it('reads little-endian integers and bytes, front to back', () => {
    const r = new FieldReader('x', Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0), 16)
    expect([r.u8(), r.u16le(), r.at(3).u32le()]).toEqual([1, 0x0302, 0x07060504])
    expect(r.u64le()).toBe(0x0f0e0d0c0b0a0908n)
    r.zeros(1)
    r.end()
    expect(r.cursor).toBe(16)
  })

  it('reads views of a larger buffer', () => {
    const r = new FieldReader('x', eight.subarray(2, 6), 4)
    expect(toHex(r.bytes(2))).toBe('0304')
    expect(r.u16le()).toBe(0x0605)
  })

  it('rejects an input of another size', async () => {
    expect(await outcomeOf(() => new FieldReader('x', eight, 9))).toBe('EVIDENCE_TRUNCATED')
    expect(await outcomeOf(() => new FieldReader('x', eight, 7))).toBe('EVIDENCE_TRAILING')
  })

  it('names the place of a reserved byte that is set', () => {
    const error = errorOf(() => new FieldReader('snp.report', Uint8Array.of(0, 0, 1, 0), 4).zeros(4))
    expect([error.code, error.at]).toEqual(['EVIDENCE_RESERVED_NONZERO', 'snp.report@0x002'])
  })

  it('calls a layout that has drifted a defect', () => {
    expect(errorOf(() => new FieldReader('x', eight, 8).at(4)).code).toBe('INTERNAL')
    expect(errorOf(() => new FieldReader('x', eight, 8).end()).code).toBe('INTERNAL')
  })

  it('does not read past the end', async () => {
    expect(await outcomeOf(() => new FieldReader('x', eight, 8).bytes(9))).toBe('EVIDENCE_TRUNCATED')
  })
})
