import { FieldReader } from '../../bytes/field-reader.ts'
import { ENCLAVE_REPORT_SIZE } from './layout.ts'

/** SGX REPORTBODY: of an application's enclave, or of the quoting enclave itself. Bytes are in the structure's order. */
export interface EnclaveReport {
  readonly raw: Uint8Array
  readonly cpuSvn: Uint8Array
  readonly miscSelect: Uint8Array
  readonly isvExtProdId: Uint8Array
  /** Flags (8 bytes) and XFRM (8 bytes). */
  readonly attributes: Uint8Array
  readonly mrEnclave: Uint8Array
  readonly mrSigner: Uint8Array
  readonly configId: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  readonly configSvn: number
  readonly isvFamilyId: Uint8Array
  readonly reportData: Uint8Array
}

/**
 * Reads an enclave report front to back.
 * @param raw - Exactly 384 bytes.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_RESERVED_NONZERO`.
 * @see Intel SDM volume 3D, table "Layout of REPORT"; QVL QuoteStructures.h `EnclaveReport`.
 */
export function parseEnclaveReport(raw: Uint8Array, at: string): EnclaveReport {
  const r = new FieldReader(at, raw, ENCLAVE_REPORT_SIZE)
  const cpuSvn = r.at(0).bytes(16)
  const miscSelect = r.at(16).bytes(4)
  r.at(20).zeros(12)
  const isvExtProdId = r.at(32).bytes(16)
  const attributes = r.at(48).bytes(16)
  const mrEnclave = r.at(64).bytes(32)
  r.at(96).zeros(32)
  const mrSigner = r.at(128).bytes(32)
  r.at(160).zeros(32)
  const configId = r.at(192).bytes(64)
  const [isvProdId, isvSvn, configSvn] = [r.at(256).u16le(), r.u16le(), r.u16le()]
  r.at(262).zeros(42)
  const isvFamilyId = r.at(304).bytes(16)
  const reportData = r.at(320).bytes(64)
  r.end()
  return {
    raw,
    cpuSvn,
    miscSelect,
    isvExtProdId,
    attributes,
    mrEnclave,
    mrSigner,
    configId,
    isvProdId,
    isvSvn,
    configSvn,
    isvFamilyId,
    reportData,
  }
}
