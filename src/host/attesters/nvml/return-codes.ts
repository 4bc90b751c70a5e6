import { AttestError } from '../../../verify/errors.ts'
import type { NvmlFunction } from './library.ts'

/** `nvmlReturn_t` (NVML API reference, device enumerations). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'UNINITIALIZED'],
  [2, 'INVALID_ARGUMENT'],
  [3, 'NOT_SUPPORTED'],
  [4, 'NO_PERMISSION'],
  [6, 'NOT_FOUND'],
  [7, 'INSUFFICIENT_SIZE'],
  [9, 'DRIVER_NOT_LOADED'],
  [10, 'TIMEOUT'],
  [12, 'LIBRARY_NOT_FOUND'],
  [13, 'FUNCTION_NOT_FOUND'],
  [15, 'GPU_IS_LOST'],
  [16, 'RESET_REQUIRED'],
  [17, 'OPERATING_SYSTEM'],
  [18, 'LIB_RM_VERSION_MISMATCH'],
  [19, 'IN_USE'],
  [20, 'MEMORY'],
  [23, 'INSUFFICIENT_RESOURCES'],
  [25, 'ARGUMENT_VERSION_MISMATCH'],
  [999, 'UNKNOWN'],
])

export const NOT_SUPPORTED = 3

/** What helps, where the name does not say so. */
const MEANINGS: ReadonlyMap<number, string> = new Map([
  [NOT_SUPPORTED, 'confidential computing is off, or the GPU has none'],
  [4, 'root is needed'],
  [13, "the driver's NVML is too old for it"],
  [18, 'the driver and its library differ in version: load the driver again'],
])

/** @throws AttestError `ATTESTER_UNAVAILABLE` unless the call succeeded. */
export function assertSuccess(name: NvmlFunction, code: number): void {
  if (code === 0) return
  const meaning = MEANINGS.get(code)
  const text = `NVML error ${code} ${NAMES.get(code) ?? 'of no known name'}${meaning === undefined ? '' : ` (${meaning})`}`
  throw new AttestError('ATTESTER_UNAVAILABLE', text, { at: `nvml.${name}` })
}
