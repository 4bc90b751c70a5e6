import { toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import type { AmdProduct } from '../../trust/amd.ts'
import { instant } from '../check.ts'
import type { KnownCertificate, KnownCrl } from '../collateral.ts'
import type { CommonClaims } from '../types.ts'
import { type Cpuid, PLATFORM_INFO_BIT, POLICY_BIT, productOf, readTcb, type SigningKey, type TcbVersion, tcbLayout } from './layout.ts'
import type { FirmwareVersion, SnpReport } from './parse.ts'
import type { SplName, Vek } from './vek.ts'

/** ATTESTATION_REPORT as JSON. Byte strings are hexadecimal in the order of the report; 64-bit masks are `0x…`. */
export interface SnpFields {
  readonly version: number
  readonly guestSvn: number
  readonly policy: string
  readonly policyBits: Readonly<Record<keyof typeof POLICY_BIT, boolean>> & { readonly abiMinor: number; readonly abiMajor: number }
  readonly familyId: string
  readonly imageId: string
  readonly vmpl: number
  readonly signatureAlgo: number
  readonly currentTcb: TcbVersion
  readonly currentTcbRaw: string
  readonly platformInfo: string
  /** `unnamed`: bits that have no name here. */
  readonly platformInfoBits: Readonly<Record<keyof typeof PLATFORM_INFO_BIT, boolean>> & { readonly unnamed: string }
  readonly keyInfo: string
  readonly authorKeyEn: boolean
  readonly maskChipKey: boolean
  readonly signingKey: SigningKey | null
  readonly reportData: string
  readonly measurement: string
  readonly hostData: string
  readonly idKeyDigest: string
  readonly authorKeyDigest: string
  readonly reportId: string
  readonly reportIdMa: string
  readonly reportedTcb: TcbVersion
  readonly reportedTcbRaw: string
  readonly cpuid: Cpuid | null
  readonly chipId: string
  readonly committedTcb: TcbVersion
  /** `major.minor.build` */
  readonly currentVersion: string
  readonly committedVersion: string
  readonly launchTcb: TcbVersion
  readonly launchMitVector: string | null
  readonly currentMitVector: string | null
  /** Null where neither CPUID nor, before version 3, the VEK's issuer says. */
  readonly product: AmdProduct | null
}

/** A VCEK or VLEK certificate as JSON, levels under AMD's names. */
export interface VekFields extends Readonly<Partial<Record<SplName, number>>> {
  readonly sha256: string
  readonly subjectCn: string
  readonly issuerCn: string
  readonly notBefore: string
  readonly notAfter: string
  readonly productName: string | null
  readonly hwid: string | null
  readonly hwidEncoding: 'raw' | 'OCTET STRING' | null
  readonly cspId: string | null
}

/** What was read, whether or not it verified. */
export interface SnpParsed extends SnpFields {
  readonly vek: VekFields | null
}

/** What an accepted SEV-SNP report proves. */
export interface SnpClaims extends CommonClaims, SnpParsed {
  readonly tee: 'sev-snp'
  readonly measurement: string
  /** When the CRL that decided was made, in seconds since 1970; null when none did. */
  readonly collateralTime: number | null
}

/** By CPUID, before version 3 by the VEK's issuer; null where neither says. */
export function productFor({ cpuid }: SnpReport, vek: Vek | null): AmdProduct | null {
  return cpuid === null ? (vek?.product ?? null) : productOf(cpuid)
}

export function describeReport(report: SnpReport, vek: Vek | null): SnpFields {
  const product = productFor(report, vek)
  // Only the decoding of names needs a layout; a report of an unknown processor is refused whatever is shown here.
  const layout = tcbLayout(product ?? 'Milan')
  return {
    version: report.version,
    guestSvn: report.guestSvn,
    policy: `0x${report.policy.toString(16)}`,
    policyBits: describePolicy(report.policy),
    familyId: toHex(report.familyId),
    imageId: toHex(report.imageId),
    vmpl: report.vmpl,
    signatureAlgo: report.signatureAlgo,
    currentTcb: readTcb(report.currentTcb, layout),
    currentTcbRaw: toHex(report.currentTcb),
    platformInfo: `0x${report.platformInfo.toString(16)}`,
    platformInfoBits: describePlatformInfo(report.platformInfo),
    keyInfo: `0x${report.keyInfo.toString(16)}`,
    authorKeyEn: report.authorKeyEn,
    maskChipKey: report.maskChipKey,
    signingKey: report.signingKey,
    reportData: toHex(report.reportData),
    measurement: toHex(report.measurement),
    hostData: toHex(report.hostData),
    idKeyDigest: toHex(report.idKeyDigest),
    authorKeyDigest: toHex(report.authorKeyDigest),
    reportId: toHex(report.reportId),
    reportIdMa: toHex(report.reportIdMa),
    reportedTcb: readTcb(report.reportedTcb, layout),
    reportedTcbRaw: toHex(report.reportedTcb),
    cpuid: report.cpuid,
    chipId: toHex(report.chipId),
    committedTcb: readTcb(report.committedTcb, layout),
    currentVersion: versionText(report.currentVersion),
    committedVersion: versionText(report.committedVersion),
    launchTcb: readTcb(report.launchTcb, layout),
    launchMitVector: report.launchMitVector === null ? null : toHex(report.launchMitVector),
    currentMitVector: report.currentMitVector === null ? null : toHex(report.currentMitVector),
    product,
  }
}

function describePolicy(policy: bigint): SnpFields['policyBits'] {
  const low = Number(policy & 0xffffffffn)
  const bit = (name: keyof typeof POLICY_BIT): boolean => ((low >>> POLICY_BIT[name]) & 1) === 1
  return {
    abiMinor: low & 0xff,
    abiMajor: (low >>> 8) & 0xff,
    smt: bit('smt'),
    reserved1: bit('reserved1'),
    migrateMa: bit('migrateMa'),
    debug: bit('debug'),
    singleSocket: bit('singleSocket'),
    cxlAllow: bit('cxlAllow'),
    memAes256Xts: bit('memAes256Xts'),
    raplDis: bit('raplDis'),
    ciphertextHidingDram: bit('ciphertextHidingDram'),
    pageSwapDisable: bit('pageSwapDisable'),
  }
}

function describePlatformInfo(info: bigint): SnpFields['platformInfoBits'] {
  const bit = (name: keyof typeof PLATFORM_INFO_BIT): boolean => ((info >> BigInt(PLATFORM_INFO_BIT[name])) & 1n) === 1n
  const named = Object.values(PLATFORM_INFO_BIT).reduce((mask, position) => mask | (1n << BigInt(position)), 0n)
  return {
    smt: bit('smt'),
    tsme: bit('tsme'),
    ecc: bit('ecc'),
    raplDis: bit('raplDis'),
    ciphertextHidingDram: bit('ciphertextHidingDram'),
    aliasCheckComplete: bit('aliasCheckComplete'),
    tio: bit('tio'),
    unnamed: `0x${(info & ~named).toString(16)}`,
  }
}

function versionText({ major, minor, build }: FirmwareVersion): string {
  return `${major}.${minor}.${build}`
}

export function describeVek(certificate: KnownCertificate, vek: Vek | AttestError): VekFields {
  const read = vek instanceof AttestError ? null : vek
  return {
    sha256: certificate.sha256,
    subjectCn: certificate.subject.commonName ?? '',
    issuerCn: certificate.issuer.commonName ?? '',
    notBefore: instant(certificate.notBefore),
    notAfter: instant(certificate.notAfter),
    ...read?.spl,
    productName: read?.productName ?? null,
    hwid: read?.hwId == null ? null : toHex(read.hwId),
    hwidEncoding: read?.hwIdEncoding ?? null,
    cspId: read?.cspId ?? null,
  }
}

export function claimsOf(parsed: SnpParsed, simulated: boolean, crl: KnownCrl | null): SnpClaims {
  return {
    tee: 'sev-snp',
    debug: parsed.policyBits.debug,
    tcbStatus: 'not-applicable',
    simulated,
    collateralTime: crl === null ? null : Math.floor(crl.thisUpdate / 1000),
    ...parsed,
  }
}
