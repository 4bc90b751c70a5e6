import { crypto } from '#crypto'
import { equal, isZero, utf8 } from '../../bytes/bytes.ts'
import { FieldReader } from '../../bytes/field-reader.ts'
import type { Digest } from '../../crypto/types.ts'
import { AttestError } from '../../errors.ts'
import { REPORT_SIZE } from '../sev-snp/layout.ts'

/** What an Azure paravisor keeps in NV index 0x01400001 of the vTPM. Nothing about it is trusted yet. */
export interface HclReport {
  readonly version: number
  readonly requestType: number
  readonly hardware: { readonly tee: 'sev-snp'; readonly report: Uint8Array } | { readonly tee: 'tdx'; readonly tdReport: Uint8Array }
  readonly runtimeVersion: number
  readonly hash: Digest
  /** JSON, exactly the bytes whose hash the hardware report carries. */
  readonly runtimeData: Uint8Array
}

const SIGNATURE = utf8('HCLA')
const VERSIONS: readonly number[] = [1, 2]
const HEADER_SIZE = 0x20
/** Header, hardware report and the five words in front of the runtime data. */
const FIXED_SIZE = HEADER_SIZE + REPORT_SIZE + 20
const RUNTIME_VERSION = 1
const MAX_RUNTIME_DATA = 8 * 1024
/** The NV index holds 2600 bytes today. */
const MAX_SIZE = 16 * 1024
const TD_REPORT_SIZE = 1024
/** REPORTTYPE of a TDREPORT: TEE type 0x81 (TDX), subtype 0 (Intel TDX Module ABI specification, REPORTTYPE). */
const TDX_REPORT_TYPE = 0x81
/** REPORTMACSTRUCT.REPORTDATA, in a TDREPORT. */
const TD_REPORT_DATA = 128
const REPORT_TYPE = { snp: 2, tdx: 4 } as const
const HASHES: Readonly<Record<number, Digest>> = { 1: 'SHA-256', 2: 'SHA-384', 3: 'SHA-512' }

export function looksLikeHclReport(bytes: Uint8Array): boolean {
  return equal(bytes.subarray(0, 4), SIGNATURE)
}

/**
 * Reads an HCL report front to back. Zeros may follow up to 16 KiB, as the NV index has a fixed size.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_RESERVED_NONZERO`, `EVIDENCE_UNSUPPORTED`.
 * @see Azure confidential computing, "Azure Confidential VM Guest attestation: vTPM"; kinvolk azure-cvm-tooling, az-cvm-vtpm hcl.rs.
 */
export function parseHclReport(input: Uint8Array): HclReport {
  if (input.length < FIXED_SIZE)
    throw new AttestError('EVIDENCE_TRUNCATED', `${input.length} bytes, want at least ${FIXED_SIZE}`, { at: 'hcl' })
  if (input.length > MAX_SIZE) throw new AttestError('EVIDENCE_TRAILING', `larger than ${MAX_SIZE} bytes`, { at: 'hcl' })
  const r = new FieldReader('hcl', input, input.length)
  if (!equal(r.bytes(4), SIGNATURE)) throw unsupported(r, 'signature is not HCLA')
  const version = r.u32le()
  if (!VERSIONS.includes(version)) throw unsupported(r, `version ${version}`)
  const reportSize = r.u32le()
  const requestType = r.u32le()
  const status = r.u32le()
  if (status !== 0) throw unsupported(r, `status ${status}`)
  r.zeros(12)
  const report = r.at(HEADER_SIZE).bytes(REPORT_SIZE)
  const dataSize = r.at(0x4c0).u32le()
  const runtimeVersion = r.u32le()
  if (runtimeVersion !== RUNTIME_VERSION) throw unsupported(r, `runtime data of version ${runtimeVersion}`)
  const reportType = r.u32le()
  const hashType = r.u32le()
  const hash = HASHES[hashType]
  if (hash === undefined) throw unsupported(r, `hash type ${hashType}`)
  const size = r.u32le()
  if (size === 0 || size > MAX_RUNTIME_DATA) throw unsupported(r, `runtime data of ${size} bytes`)
  if (dataSize !== size + 20 || reportSize !== FIXED_SIZE + size) throw unsupported(r, 'sizes contradict each other')
  const runtimeData = r.at(FIXED_SIZE).bytes(size)
  if (!isZero(input.subarray(r.cursor))) throw new AttestError('EVIDENCE_TRAILING', 'bytes after the runtime data', { at: r.place() })
  return { version, requestType, hardware: readHardware(reportType, report), runtimeVersion, hash, runtimeData }
}

/** A TDREPORT is shorter than an SNP report: zeros fill up the rest. */
function readHardware(reportType: number, report: Uint8Array): HclReport['hardware'] {
  const at = 'hcl.hardware-report'
  if (reportType === REPORT_TYPE.snp) return { tee: 'sev-snp', report }
  if (reportType !== REPORT_TYPE.tdx) throw new AttestError('EVIDENCE_UNSUPPORTED', `report type ${reportType}`, { at: 'hcl@0x4c8' })
  if (report[0] !== TDX_REPORT_TYPE) throw new AttestError('EVIDENCE_UNSUPPORTED', 'not a TDREPORT', { at })
  if (!isZero(report.subarray(TD_REPORT_SIZE)))
    throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'bytes after the TDREPORT must be zero', { at })
  return { tee: 'tdx', tdReport: report.subarray(0, TD_REPORT_SIZE) }
}

/** REPORTDATA of a TDREPORT: only a quote over it proves anything, since its own MAC can be checked on that machine alone. */
export function reportDataOf(tdReport: Uint8Array): Uint8Array {
  return tdReport.subarray(TD_REPORT_DATA, TD_REPORT_DATA + 64)
}

/** What REPORT_DATA must be for this runtime data: its hash, the rest zero. */
export async function expectedReportData({ hash, runtimeData }: HclReport): Promise<Uint8Array> {
  const out = new Uint8Array(64)
  out.set(await crypto.digest(hash, runtimeData))
  return out
}

function unsupported(r: FieldReader, message: string): AttestError {
  return new AttestError('EVIDENCE_UNSUPPORTED', message, { at: r.place(r.cursor - 4) })
}
