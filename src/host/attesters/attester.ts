/** One CPU report as its TEE signed it. */
export interface AttesterReport {
  readonly report: Uint8Array
  /** Certificates (DER) that the platform has at hand: hints, never anchors. */
  readonly endorsements: readonly Uint8Array[]
}

/** A source of evidence about this machine. */
export interface Attester {
  readonly format: 'sev-snp' | 'tdx'
  /** True when the reports prove nothing about hardware. */
  readonly simulated: boolean
  /**
   * @param reportData - 64 bytes that the report carries.
   * @throws AttestError `ATTESTER_UNAVAILABLE`.
   */
  attest(reportData: Uint8Array): Promise<AttesterReport>
}

/** Size of REPORT_DATA (AMD 56860 table 23, Intel TDX module 1.5 ABI: REPORTDATA), in bytes. */
export const REPORT_DATA_SIZE = 64
