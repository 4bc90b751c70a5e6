import type { Cpuid } from '../../verify/evidence/sev-snp/layout.ts'
import { REPORT_SIZE, SIGNED_SIZE } from '../../verify/evidence/sev-snp/layout.ts'
import { signEcdsa } from '../keys.ts'

/** Fields of ATTESTATION_REPORT under the names of AMD 56860 table 23. */
export interface ReportFields {
  readonly version: number
  readonly guestSvn: number
  readonly policy: bigint
  readonly familyId: Uint8Array
  readonly imageId: Uint8Array
  readonly vmpl: number
  readonly signatureAlgo: number
  readonly currentTcb: Uint8Array
  readonly platformInfo: bigint
  readonly keyInfo: number
  readonly reportData: Uint8Array
  readonly measurement: Uint8Array
  readonly hostData: Uint8Array
  readonly idKeyDigest: Uint8Array
  readonly authorKeyDigest: Uint8Array
  readonly reportId: Uint8Array
  readonly reportIdMa: Uint8Array
  readonly reportedTcb: Uint8Array
  /** Left zero before version 3. */
  readonly cpuid: Cpuid
  readonly chipId: Uint8Array
  readonly committedTcb: Uint8Array
  /** build, minor, major. */
  readonly firmware: Uint8Array
  readonly launchTcb: Uint8Array
  /** Left zero before version 5. */
  readonly mitigationVector: bigint
}

/** Lays the fields out as firmware does. The signature is left zero. */
export function encodeReport(fields: ReportFields): Uint8Array {
  const out = new Uint8Array(REPORT_SIZE)
  const view = new DataView(out.buffer)
  view.setUint32(0x000, fields.version, true)
  view.setUint32(0x004, fields.guestSvn, true)
  view.setBigUint64(0x008, fields.policy, true)
  out.set(fields.familyId, 0x010)
  out.set(fields.imageId, 0x020)
  view.setUint32(0x030, fields.vmpl, true)
  view.setUint32(0x034, fields.signatureAlgo, true)
  out.set(fields.currentTcb, 0x038)
  view.setBigUint64(0x040, fields.platformInfo, true)
  view.setUint32(0x048, fields.keyInfo, true)
  out.set(fields.reportData, 0x050)
  out.set(fields.measurement, 0x090)
  out.set(fields.hostData, 0x0c0)
  out.set(fields.idKeyDigest, 0x0e0)
  out.set(fields.authorKeyDigest, 0x110)
  out.set(fields.reportId, 0x140)
  out.set(fields.reportIdMa, 0x160)
  out.set(fields.reportedTcb, 0x180)
  if (fields.version >= 3) out.set([fields.cpuid.family, fields.cpuid.model, fields.cpuid.stepping], 0x188)
  out.set(fields.chipId, 0x1a0)
  out.set(fields.committedTcb, 0x1e0)
  out.set(fields.firmware, 0x1e8)
  out.set(fields.firmware, 0x1ec)
  out.set(fields.launchTcb, 0x1f0)
  if (fields.version >= 5) {
    view.setBigUint64(0x1f8, fields.mitigationVector, true)
    view.setBigUint64(0x200, fields.mitigationVector, true)
  }
  return out
}

/** Signs in place: R and S little-endian, 72 bytes each. @param pkcs8 - P-384 key. */
export function signReport(report: Uint8Array, pkcs8: Uint8Array): void {
  const signature = signEcdsa(report.subarray(0, SIGNED_SIZE), pkcs8, 'P-384')
  report.set(signature.slice(0, 48).reverse(), 0x2a0)
  report.set(signature.slice(48).reverse(), 0x2e8)
}
