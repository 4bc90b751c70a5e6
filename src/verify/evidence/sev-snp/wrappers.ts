import { isZero } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { looksLikeCertificateTable, parseCertificateTable } from './certificate-table.ts'
import { REPORT_SIZE } from './layout.ts'

/** MSG_REPORT_RSP (AMD 56860 table 25): status, report size, 24 reserved bytes, report; the ioctl's buffer is 4000 bytes. */
const RESPONSE_HEADER_SIZE = 0x20
const MAX_RESPONSE_SIZE = 4000

/** Highest version that is taken for a report rather than for something else. */
const MAX_PLAUSIBLE_VERSION = 16

/** A report without its wrapper, and the certificates that came with it. */
export interface SnpWrapped {
  readonly report: Uint8Array
  readonly certificates: readonly Uint8Array[]
}

/** By the first word: a small version number, or the header of a response that holds a report. */
export function looksLikeSnp(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false
  const first = u32(bytes, 0)
  return isResponse(bytes) || (first >= 1 && first <= MAX_PLAUSIBLE_VERSION)
}

function isResponse(bytes: Uint8Array): boolean {
  return bytes.length >= RESPONSE_HEADER_SIZE && u32(bytes, 0) === 0 && u32(bytes, 4) === REPORT_SIZE
}

/**
 * Takes a report out of what a guest gets: the bare report, a response of /dev/sev-guest, or a report followed by its
 * certificate table (extended report). Anything else is passed on as it is, for the parser to refuse.
 * @throws AttestError `EVIDENCE_TRAILING`, `EVIDENCE_RESERVED_NONZERO`, or those of the certificate table.
 */
export function unwrapSnp(bytes: Uint8Array): SnpWrapped {
  if (isResponse(bytes)) return { report: openResponse(bytes), certificates: [] }
  const rest = bytes.subarray(REPORT_SIZE)
  if (looksLikeCertificateTable(rest)) return { report: bytes.subarray(0, REPORT_SIZE), certificates: parseCertificateTable(rest) }
  return { report: bytes, certificates: [] }
}

function openResponse(bytes: Uint8Array): Uint8Array {
  const end = RESPONSE_HEADER_SIZE + REPORT_SIZE
  if (!isZero(bytes.subarray(8, RESPONSE_HEADER_SIZE))) {
    throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'reserved bytes must be zero', { at: 'snp.response@0x008' })
  }
  if (bytes.length > MAX_RESPONSE_SIZE || !isZero(bytes.subarray(end))) {
    throw new AttestError('EVIDENCE_TRAILING', 'bytes after the report', { at: `snp.response@0x${end.toString(16)}` })
  }
  return bytes.subarray(RESPONSE_HEADER_SIZE, end)
}

function u32(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset, true)
}
