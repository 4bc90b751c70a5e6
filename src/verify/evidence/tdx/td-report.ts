import { AttestError } from '../../errors.ts'
import { TD_REPORT_10_SIZE, TD_REPORT_15_SIZE } from '../dcap/layout.ts'

/**
 * Offsets and sizes of a TD report's fields (Intel TDX Module ABI specification, TEE_TCB_INFO and TDINFO; QVL
 * QuoteStructures.h `TDReport10`, `TDReport15`). They lie side by side, no byte between them.
 */
export const TD_REPORT_FIELDS = {
  teeTcbSvn: [0, 16],
  mrSeam: [16, 48],
  mrSignerSeam: [64, 48],
  seamAttributes: [112, 8],
  tdAttributes: [120, 8],
  xfam: [128, 8],
  mrTd: [136, 48],
  mrConfigId: [184, 48],
  mrOwner: [232, 48],
  mrOwnerConfig: [280, 48],
  rtmr0: [328, 48],
  rtmr1: [376, 48],
  rtmr2: [424, 48],
  rtmr3: [472, 48],
  reportData: [520, 64],
  teeTcbSvn2: [584, 16],
  mrServiceTd: [600, 48],
} as const

export type TdReportField = keyof typeof TD_REPORT_FIELDS

/** Body of a TD quote: TDX 1.0 (584 bytes) or 1.5 (648 bytes). Bytes are in the structure's order, and views. */
export class TdReport {
  readonly #raw: Uint8Array

  /**
   * @param raw - Exactly 584 or 648 bytes.
   * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`.
   */
  constructor(raw: Uint8Array) {
    if (raw.length !== TD_REPORT_10_SIZE && raw.length !== TD_REPORT_15_SIZE) {
      const code = raw.length > TD_REPORT_10_SIZE ? 'EVIDENCE_TRAILING' : 'EVIDENCE_TRUNCATED'
      throw new AttestError(code, `${raw.length} bytes, want ${TD_REPORT_10_SIZE} or ${TD_REPORT_15_SIZE}`, { at: 'quote.td-report' })
    }
    this.#raw = raw
  }

  get is15(): boolean {
    return this.#raw.length === TD_REPORT_15_SIZE
  }

  /** SVNs of what launched the TD: [0] module ISVSVN, [1] module version, [2] microcode update loaded late. */
  get teeTcbSvn(): Uint8Array {
    return this.field('teeTcbSvn')
  }

  get mrSignerSeam(): Uint8Array {
    return this.field('mrSignerSeam')
  }

  get seamAttributes(): Uint8Array {
    return this.field('seamAttributes')
  }

  get tdAttributes(): Uint8Array {
    return this.field('tdAttributes')
  }

  /** 1.5: SVNs of what runs now, after an update that kept the TD alive. */
  get teeTcbSvn2(): Uint8Array | null {
    return this.is15 ? this.field('teeTcbSvn2') : null
  }

  /** 1.5: hash of the service TDs that are bound, zero for none. */
  get mrServiceTd(): Uint8Array | null {
    return this.is15 ? this.field('mrServiceTd') : null
  }

  /** Empty for a field of 1.5 in a report of 1.0. */
  field(name: TdReportField): Uint8Array {
    const [offset, size] = TD_REPORT_FIELDS[name]
    return this.#raw.subarray(offset, offset + size)
  }
}
