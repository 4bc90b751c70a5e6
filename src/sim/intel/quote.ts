import { concat, fromHex, utf8 } from '../../verify/bytes/bytes.ts'
import { u16, u32 } from '../little-endian.ts'

/** Fields of an enclave report (Intel SGX ECDSA quote library API, appendix A.4); what is not given is zero. */
export interface EnclaveFields {
  readonly cpuSvn?: Uint8Array
  readonly miscSelect?: Uint8Array
  readonly attributes?: Uint8Array
  readonly mrEnclave?: Uint8Array
  readonly mrSigner?: Uint8Array
  readonly configId?: Uint8Array
  readonly isvProdId?: number
  readonly isvSvn?: number
  readonly configSvn?: number
  readonly reportData?: Uint8Array
}

/** Fields of a TD report (Intel TDX DCAP quoting library API, appendix A.3); what is not given is zero. */
export interface TdFields {
  readonly teeTcbSvn?: Uint8Array
  readonly mrSeam?: Uint8Array
  readonly mrSignerSeam?: Uint8Array
  readonly seamAttributes?: Uint8Array
  readonly tdAttributes?: Uint8Array
  readonly xfam?: Uint8Array
  readonly mrTd?: Uint8Array
  readonly mrConfigId?: Uint8Array
  readonly mrOwner?: Uint8Array
  readonly mrOwnerConfig?: Uint8Array
  readonly rtmrs?: readonly Uint8Array[]
  readonly reportData?: Uint8Array
  readonly teeTcbSvn2?: Uint8Array
  readonly mrServiceTd?: Uint8Array
}

const INTEL = fromHex('939a7233f79c4ca9940a0db3957f0607')

export function enclaveReport(fields: EnclaveFields): Uint8Array {
  const out = new Uint8Array(384)
  const view = new DataView(out.buffer)
  place(out, 0, fields.cpuSvn)
  place(out, 16, fields.miscSelect)
  place(out, 48, fields.attributes)
  place(out, 64, fields.mrEnclave)
  place(out, 128, fields.mrSigner)
  place(out, 192, fields.configId)
  view.setUint16(256, fields.isvProdId ?? 0, true)
  view.setUint16(258, fields.isvSvn ?? 0, true)
  view.setUint16(260, fields.configSvn ?? 0, true)
  place(out, 320, fields.reportData)
  return out
}

export function tdReport(fields: TdFields, is15: boolean): Uint8Array {
  const out = new Uint8Array(is15 ? 648 : 584)
  place(out, 0, fields.teeTcbSvn)
  place(out, 16, fields.mrSeam)
  place(out, 64, fields.mrSignerSeam)
  place(out, 112, fields.seamAttributes)
  place(out, 120, fields.tdAttributes)
  place(out, 128, fields.xfam)
  place(out, 136, fields.mrTd)
  place(out, 184, fields.mrConfigId)
  place(out, 232, fields.mrOwner)
  place(out, 280, fields.mrOwnerConfig)
  for (const [i, rtmr] of (fields.rtmrs ?? []).entries()) place(out, 328 + 48 * i, rtmr)
  place(out, 520, fields.reportData)
  if (is15) {
    place(out, 584, fields.teeTcbSvn2)
    place(out, 600, fields.mrServiceTd)
  }
  return out
}

function place(out: Uint8Array, at: number, bytes: Uint8Array | undefined): void {
  if (bytes !== undefined) out.set(bytes, at)
}

/** Header and body, as they are signed. */
export function quoteHead(version: 3 | 4 | 5, tee: 'sgx' | 'tdx', body: Uint8Array): Uint8Array {
  const header = new Uint8Array(48)
  const view = new DataView(header.buffer)
  view.setUint16(0, version, true)
  view.setUint16(2, 2, true)
  view.setUint32(4, tee === 'tdx' ? 0x81 : 0, true)
  header.set(INTEL, 12)
  if (version < 5) return concat(header, body)
  const type = tee === 'sgx' ? 1 : body.length === 584 ? 2 : 3
  return concat(header, u16(type), u32(body.length), body)
}

/** The second half of a quote: what is beside the quote's own signature is of the quoting enclave. */
export interface QeParts {
  readonly attestationKey: Uint8Array
  readonly qeReport: Uint8Array
  readonly qeReportSignature: Uint8Array
  readonly authData: Uint8Array
  readonly certificationType: number
  readonly certificationData: Uint8Array
}

export function assembleQuote(version: 3 | 4 | 5, head: Uint8Array, signature: Uint8Array, qe: QeParts): Uint8Array {
  const inner = concat(
    qe.qeReport,
    qe.qeReportSignature,
    u16(qe.authData.length),
    qe.authData,
    u16(qe.certificationType),
    u32(qe.certificationData.length),
    qe.certificationData,
  )
  const rest = version === 3 ? inner : concat(u16(6), u32(inner.length), inner)
  const data = concat(signature, qe.attestationKey, rest)
  return concat(head, u32(data.length), data)
}

/** PEM as Intel's quoting library writes it: with a zero byte at its end. */
export function pemBytes(text: string): Uint8Array {
  return concat(utf8(text), new Uint8Array(1))
}
