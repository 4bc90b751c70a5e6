import { randomBytes } from 'node:crypto'
import { concat } from '../../verify/bytes/bytes.ts'
import type { Cpuid } from '../../verify/evidence/sev-snp/layout.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'
import type { SimulatedPlatform } from './platform.ts'
import { encodeReport, type ReportFields, signReport } from './report.ts'

/** What a simulated guest asks for. Any other field of the report may be set too; it is signed as given. */
export interface AttestRequest extends Partial<ReportFields> {
  /** 64 bytes. */
  readonly reportData: Uint8Array
  /** 48 bytes. */
  readonly measurement: Uint8Array
}

/**
 * Ways to break a report that its fields cannot express. `reserved` and `unsigned-tail` set a byte that must be zero, inside
 * and outside of what is signed; the others speak for themselves.
 */
export type ReportFault = 'signature' | 'signature-padding' | 'reserved' | 'unsigned-tail' | 'truncated' | 'trailing'

/** SIMULATED evidence. It verifies only where the platform's root certificate is named as a trust anchor. */
export interface SimulatedEvidence {
  /** ATTESTATION_REPORT, 1184 bytes. */
  readonly report: Uint8Array
  /** VEK, intermediate and CRL, DER. The root is not among them. */
  readonly endorsements: readonly Uint8Array[]
}

const CPUID: Readonly<Record<AmdProduct, Cpuid>> = {
  Milan: { family: 0x19, model: 0x01, stepping: 0x01 },
  Genoa: { family: 0x19, model: 0x11, stepping: 0x01 },
  Turin: { family: 0x1a, model: 0x02, stepping: 0x01 },
}

/** SMT allowed, reserved bit 17, nothing else (AMD 56860 section 4.3). */
const POLICY = 0x30000n
/** SMT_EN, ECC_EN, ALIAS_CHECK_COMPLETE (AMD 56860 table 24). */
const PLATFORM_INFO = 0x25n

/** Signs a report as the platform's firmware would. */
export function attest(platform: SimulatedPlatform, request: AttestRequest, fault?: ReportFault): SimulatedEvidence {
  const { tcb, product, signingKey } = platform
  const report = encodeReport({
    version: product === 'Turin' ? 5 : 3,
    guestSvn: 0,
    policy: POLICY,
    familyId: new Uint8Array(16),
    imageId: new Uint8Array(16),
    vmpl: 0,
    signatureAlgo: 1,
    currentTcb: tcb,
    platformInfo: PLATFORM_INFO,
    keyInfo: signingKey === 'VLEK' ? 1 << 2 : 0,
    hostData: new Uint8Array(32),
    idKeyDigest: new Uint8Array(48),
    authorKeyDigest: new Uint8Array(48),
    reportId: randomBytes(32),
    reportIdMa: new Uint8Array(32).fill(0xff),
    reportedTcb: tcb,
    cpuid: CPUID[product],
    chipId: signingKey === 'VLEK' ? new Uint8Array(64) : platform.chipId,
    committedTcb: tcb,
    firmware: Uint8Array.of(40, 55, 1),
    launchTcb: tcb,
    mitigationVector: 0x3fn,
    ...request,
  })
  if (fault === 'reserved') report[0x210] = 1
  signReport(report, platform.vek.key)
  return { report: breakReport(report, fault), endorsements: [platform.vek.certificate, platform.intermediate.certificate, platform.crl] }
}

function breakReport(report: Uint8Array, fault: ReportFault | undefined): Uint8Array {
  const flip = (offset: number): Uint8Array => report.map((byte, i) => (i === offset ? byte ^ 1 : byte))
  switch (fault) {
    case 'signature':
      return flip(0x2a0)
    case 'signature-padding':
      return flip(0x2a0 + 48)
    case 'unsigned-tail':
      return flip(0x400)
    case 'truncated':
      return report.subarray(0, report.length - 1)
    case 'trailing':
      return concat(report, new Uint8Array(1))
    case 'reserved':
    case undefined:
      return report
  }
}
