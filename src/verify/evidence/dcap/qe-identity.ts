import { equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, unknown } from '../check.ts'
import type { EnclaveReport } from './enclave-report.ts'
import type { JsonValue } from './json.ts'
import { JsonFields } from './json-fields.ts'
import type { Tee } from './layout.ts'
import { parseSvnLevels, type SvnLevel } from './tcb-info.ts'

/** Intel's word on its quoting enclave for SGX (`QE`) or TDX (`TD_QE`), read but not verified. */
export interface QeIdentity {
  readonly tee: Tee
  readonly version: 2
  /** Milliseconds since 1970. */
  readonly issueDate: number
  readonly nextUpdate: number
  readonly tcbEvaluationDataNumber: number
  /** In the byte order of the enclave report. */
  readonly miscSelect: Uint8Array
  readonly miscSelectMask: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  /** Highest first; never empty. */
  readonly tcbLevels: readonly SvnLevel[]
}

const MAX_NUMBER = 0x7fffffff

/**
 * Reads the object that Intel signs, version 2.
 * @throws AttestError `DOCUMENT_INVALID`, naming the member; also for the identity of any other enclave.
 * @see Intel PCS API v4, "Get Quoting Enclave Identity"; QVL EnclaveIdentity.cpp.
 */
export function parseQeIdentity(value: JsonValue, at: string): QeIdentity {
  const json = new JsonFields(value, at)
  const id = json.text('id')
  if (id !== 'QE' && id !== 'TD_QE') throw json.invalid(`id is ${id}, want QE or TD_QE`)
  const version = json.count('version', MAX_NUMBER)
  if (version !== 2) throw json.invalid(`identity version ${version}, want 2`)
  return {
    tee: id === 'QE' ? 'sgx' : 'tdx',
    version,
    issueDate: json.time('issueDate'),
    nextUpdate: json.time('nextUpdate'),
    tcbEvaluationDataNumber: json.count('tcbEvaluationDataNumber', MAX_NUMBER),
    miscSelect: json.hex('miscselect', 4),
    miscSelectMask: json.hex('miscselectMask', 4),
    attributes: json.hex('attributes', 16),
    attributesMask: json.hex('attributesMask', 16),
    mrSigner: json.hex('mrsigner', 32),
    isvProdId: json.count('isvprodid', 0xffff),
    tcbLevels: parseSvnLevels(json),
  }
}

/** QVL EnclaveReportVerifier.cpp (4.1.2.9.5-8). A report that is not of Intel's QE vouches for nothing. */
export function checkQuotingEnclave(report: EnclaveReport, identity: QeIdentity | null): Check {
  const rule = 'chain.quoting-enclave'
  const want = 'quoting enclave as its identity says: MISCSELECT, ATTRIBUTES, MRSIGNER, ISVPRODID'
  if (identity === null) return unknown(rule, want, 'no QE identity that is authentic')
  const differing = [
    isMasked(report.miscSelect, identity.miscSelect, identity.miscSelectMask) ? null : `MISCSELECT ${toHex(report.miscSelect)}`,
    isMasked(report.attributes, identity.attributes, identity.attributesMask) ? null : `ATTRIBUTES ${toHex(report.attributes)}`,
    equal(report.mrSigner, identity.mrSigner) ? null : `MRSIGNER ${toHex(report.mrSigner)}`,
    report.isvProdId === identity.isvProdId ? null : `ISVPRODID ${report.isvProdId}`,
  ].filter((d) => d !== null)
  return check(rule, differing.length === 0, want, differing.length === 0 ? 'all equal' : `other ${differing.join(', ')}`)
}

function isMasked(value: Uint8Array, want: Uint8Array, mask: Uint8Array): boolean {
  return value.length === want.length && value.every((byte, i) => (byte & (mask[i] ?? 0)) === want[i])
}
