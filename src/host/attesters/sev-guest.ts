import { access } from 'node:fs/promises'
import { AttestError } from '../../verify/errors.ts'
import { unwrapSnp } from '../../verify/evidence/sev-snp/wrappers.ts'
import type { Attester, AttesterReport } from './attester.ts'
import { carries } from './carries.ts'
import { certificatesOf } from './certificate-table.ts'
import { type Ioctl, type IoctlPointer, iowr, kernelIoctl } from './ioctl.ts'

/** The driver's device (Linux drivers/virt/coco/sev-guest), for kernels before 6.7. */
export const SEV_GUEST = '/dev/sev-guest'

// Structures of Linux include/uapi/linux/sev-guest.h, little-endian, with the alignment of a 64-bit C compiler.

/** `snp_guest_request_ioctl`: msg_version u8, 7 bytes of padding, req_data u64, resp_data u64, fw_error u32, vmm_error u32. */
const CALL = { size: 32, msgVersion: 0, reqData: 8, respData: 16, fwError: 24, vmmError: 28 } as const
/** `snp_report_req`: user_data[64], vmpl u32, rsvd[28]; `snp_ext_report_req` adds certs_address u64, certs_len u32, padding. */
const REQUEST = { size: 96, userData: 0, extendedSize: 112, certsAddress: 96, certsLen: 104 } as const
/** `snp_report_resp`: data[4000]. */
const RESPONSE_SIZE = 4000

export const SNP_GET_REPORT: number = iowr(0x53, 0x0, CALL.size)
export const SNP_GET_EXT_REPORT: number = iowr(0x53, 0x2, CALL.size)

/** SEV_FW_BLOB_MAX_SIZE of the driver: it takes no larger buffer for certificates, and only whole pages. */
const MAX_CERTS_SIZE = 16 * 1024

/** SNP_GUEST_VMM_ERR_*: the hypervisor's word. */
const VMM_INVALID_LEN = 1
const VMM_BUSY = 2
/** SEV_RET_NO_FW_CALL (Linux include/uapi/linux/psp-sev.h): the firmware was never asked. */
const NO_FW_CALL = 0xffffffff

/**
 * Takes SEV-SNP reports from /dev/sev-guest, for VMPL 0. For kernels that have no configfs-tsm; prefer that one.
 * @throws AttestError `ATTESTER_UNAVAILABLE` when the device or the optional package for system calls is missing.
 */
export async function openSevGuest(path: string = SEV_GUEST, ioctl?: Ioctl): Promise<Attester> {
  await access(path).catch((cause: unknown) => {
    throw new AttestError('ATTESTER_UNAVAILABLE', `no SEV-SNP guest device at ${path}`, { at: path, cause })
  })
  const call = ioctl ?? (await kernelIoctl())
  return { format: 'sev-snp', simulated: false, attest: ({ reportData }) => attest(path, call, reportData) }
}

async function attest(path: string, ioctl: Ioctl, reportData: Uint8Array): Promise<AttesterReport> {
  const certs = new Uint8Array(MAX_CERTS_SIZE)
  const extended = await request(path, ioctl, reportData, certs)
  // The host writes the table: one that is too large for the driver must not keep us from a report.
  const tooLong = extended.errno !== null && extended.vmmError === VMM_INVALID_LEN
  const answer = tooLong ? await request(path, ioctl, reportData, null) : extended
  if (answer.errno !== null) throw refusal(path, answer)
  return { report: reportOf(path, answer.response, reportData), endorsements: tooLong ? [] : certificatesOf(certs) }
}

interface Answer {
  readonly errno: string | null
  readonly fwError: number
  readonly vmmError: number
  readonly response: Uint8Array
}

async function request(path: string, ioctl: Ioctl, reportData: Uint8Array, certs: Uint8Array | null): Promise<Answer> {
  const body = new Uint8Array(certs === null ? REQUEST.size : REQUEST.extendedSize)
  body.set(reportData, REQUEST.userData)
  if (certs !== null) new DataView(body.buffer).setUint32(REQUEST.certsLen, certs.length, true)
  const response = new Uint8Array(RESPONSE_SIZE)
  const argument = new Uint8Array(CALL.size)
  argument[CALL.msgVersion] = 1
  const pointers: IoctlPointer[] = [
    { holder: argument, at: CALL.reqData, target: body },
    { holder: argument, at: CALL.respData, target: response },
    ...(certs === null ? [] : [{ holder: body, at: REQUEST.certsAddress, target: certs }]),
  ]
  const errno = await ioctl({ path, request: certs === null ? SNP_GET_REPORT : SNP_GET_EXT_REPORT, argument, pointers })
  const view = new DataView(argument.buffer)
  return { errno, fwError: view.getUint32(CALL.fwError, true), vmmError: view.getUint32(CALL.vmmError, true), response }
}

function refusal(path: string, answer: Answer): AttestError {
  return new AttestError('ATTESTER_UNAVAILABLE', `no SEV-SNP report: ${answer.errno}${reason(answer)}`, { at: path })
}

function reason({ fwError, vmmError }: Answer): string {
  if (fwError === NO_FW_CALL) return ', the firmware was not called'
  if (vmmError === VMM_BUSY) return ', the hypervisor is busy'
  if (vmmError !== 0) return `, hypervisor error ${vmmError}`
  return fwError === 0 ? '' : `, firmware error 0x${fwError.toString(16)}`
}

/** MSG_REPORT_RSP (AMD 56860 table 25) opened. */
function reportOf(path: string, response: Uint8Array, reportData: Uint8Array): Uint8Array {
  const status = new DataView(response.buffer).getUint32(0, true)
  if (status !== 0) throw new AttestError('ATTESTER_UNAVAILABLE', `the firmware refused with status 0x${status.toString(16)}`, { at: path })
  const { report } = unwrapSnp(response)
  if (report.length === response.length)
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the firmware answered without a report', { at: path })
  if (!carries(report, reportData)) throw new AttestError('ATTESTER_UNAVAILABLE', 'the report carries other data than ours', { at: path })
  return report.slice()
}
