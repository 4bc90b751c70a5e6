import { AttestError } from '../verify/errors.ts'

/** A 64-bit integer as protobufjs hands it over: `long` object, number, or absent (0). */
type WireInteger = number | { toNumber(): number; toString(): string } | null | undefined

/**
 * Sizes and indices of the wire as numbers.
 * @throws AttestError `DOCUMENT_INVALID` above 2^53-1.
 */
export function toNumber(value: WireInteger): number {
  const number = value === null || value === undefined ? 0 : typeof value === 'number' ? value : value.toNumber()
  if (!Number.isSafeInteger(number) || number < 0) throw new AttestError('DOCUMENT_INVALID', `${String(value)} is out of range`)
  return number
}
