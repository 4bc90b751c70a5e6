import { fromHex, toHex } from '../../verify/bytes/bytes.ts'

export type IntelTee = 'sgx' | 'tdx'

/** When what Intel signs is valid. */
export interface IntelDates {
  /** Of certificates. */
  readonly notBefore: Date
  readonly notAfter: Date
  /** Of CRLs, TCB info and identities. */
  readonly issued: Date
  readonly nextUpdate: Date
}

export const FMSPC = '00a1b2c3d4e5'
/** MRSIGNER of Intel's quoting enclaves. */
export const QE_SIGNER = 'dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5'
/** SVNs of a platform with everything that there is, and of one a year behind. */
export const LATEST: readonly number[] = [5, 5, 2, 2, 4, 1, 0, 5]
export const EARLIER: readonly number[] = [3, 3, 2, 2, 3, 1, 0, 3]

/** A TCB level as Intel writes it (PCS API v4, TCB info v3). */
export function tcbLevel(
  sgx: readonly number[],
  pcesvn: number,
  tdx: readonly number[],
  tcbStatus: string,
  advisoryIDs: readonly string[] = [],
  tcbDate = '2026-02-01T00:00:00Z',
): object {
  const list = (values: readonly number[]): object[] => Array.from({ length: 16 }, (_, i) => ({ svn: values[i] ?? 0 }))
  return {
    tcb: { sgxtcbcomponents: list(sgx), pcesvn, tdxtcbcomponents: list(tdx) },
    tcbDate,
    tcbStatus,
    ...(advisoryIDs.length === 0 ? {} : { advisoryIDs }),
  }
}

/** A level of an enclave or of the TDX module. */
export function svnLevel(isvsvn: number, tcbStatus: string, advisoryIDs: readonly string[] = [], tcbDate = '2026-02-01T00:00:00Z'): object {
  return { tcb: { isvsvn }, tcbDate, tcbStatus, ...(advisoryIDs.length === 0 ? {} : { advisoryIDs }) }
}

/** TCB info v3 of the simulated platform. @param changes - Members that shall stand there instead. */
export function tcbInfo(tee: IntelTee, dates: IntelDates, changes: object = {}): object {
  const module = { mrsigner: toHex(new Uint8Array(48)), attributes: toHex(new Uint8Array(8)), attributesMask: 'ffffffffffffffff' }
  const forTd = {
    tdxModule: module,
    tdxModuleIdentities: [
      {
        id: 'TDX_01',
        ...module,
        tcbLevels: [svnLevel(6, 'UpToDate'), svnLevel(4, 'OutOfDate', ['INTEL-SA-00003'], '2025-03-01T00:00:00Z'), svnLevel(2, 'Revoked')],
      },
      { id: 'TDX_03', ...module, tcbLevels: [svnLevel(3, 'UpToDate')] },
    ],
  }
  return {
    id: tee.toUpperCase(),
    version: 3,
    ...window(dates),
    fmspc: FMSPC.toUpperCase(),
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 20,
    ...(tee === 'tdx' ? forTd : {}),
    tcbLevels: [
      tcbLevel(LATEST, 13, [6, 0, 3], 'UpToDate'),
      tcbLevel(EARLIER, 13, [5, 0, 2], 'OutOfDate', ['INTEL-SA-00001'], '2025-01-01T00:00:00Z'),
      tcbLevel(EARLIER, 5, [5, 0, 2], 'OutOfDate', ['INTEL-SA-00001', 'INTEL-SA-00002'], '2024-01-01T00:00:00Z'),
    ],
    ...changes,
  }
}

/** Identity v2 of the quoting enclave that signs for `tee`. */
export function qeIdentity(tee: IntelTee, dates: IntelDates, changes: object = {}): object {
  return {
    id: tee === 'sgx' ? 'QE' : 'TD_QE',
    version: 2,
    ...window(dates),
    tcbEvaluationDataNumber: 20,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: '11000000000000000000000000000000',
    attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
    mrsigner: QE_SIGNER.toUpperCase(),
    isvprodid: tee === 'sgx' ? 1 : 2,
    tcbLevels: [svnLevel(8, 'UpToDate'), svnLevel(6, 'OutOfDate', ['INTEL-SA-00004'], '2025-02-01T00:00:00Z'), svnLevel(4, 'Revoked')],
    ...changes,
  }
}

function window({ issued, nextUpdate }: IntelDates): object {
  const text = (at: Date): string => at.toISOString().replace(/\.\d{3}Z$/, 'Z')
  return { issueDate: text(issued), nextUpdate: text(nextUpdate) }
}

/** SVNs as they stand in reports. */
export function svns(...values: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: 16 }, (_, i) => values[i] ?? 0)
}

/** The quoting enclave of the simulated platform, up to date. */
export function quotingEnclave(tee: IntelTee): {
  readonly attributes: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
} {
  return {
    attributes: fromHex('15000000000000000700000000000000'),
    mrSigner: fromHex(QE_SIGNER),
    isvProdId: tee === 'sgx' ? 1 : 2,
    isvSvn: 8,
  }
}
