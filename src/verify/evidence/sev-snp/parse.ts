import { concat } from '../../bytes/bytes.ts'
import { FieldReader } from '../../bytes/field-reader.ts'
import { AttestError } from '../../errors.ts'
import {
  type Cpuid,
  ECDSA_P384_SHA384,
  POLICY_RESERVED_FROM,
  policyBit,
  REPORT_SIZE,
  REPORT_VERSIONS,
  SIGNED_SIZE,
  type SigningKey,
} from './layout.ts'

/** Version of the SEV firmware. */
export interface FirmwareVersion {
  readonly major: number
  readonly minor: number
  readonly build: number
}

/** ATTESTATION_REPORT as it stands, field by field. Nothing about it is verified. TCB_VERSIONs are their eight bytes. */
export interface SnpReport {
  readonly raw: Uint8Array
  /** The signed part of `raw`. */
  readonly signed: Uint8Array
  /** ECDSA r‖s, 48 bytes each, big-endian. */
  readonly signature: Uint8Array
  readonly version: number
  readonly guestSvn: number
  readonly policy: bigint
  readonly familyId: Uint8Array
  readonly imageId: Uint8Array
  readonly vmpl: number
  readonly signatureAlgo: number
  readonly currentTcb: Uint8Array
  readonly platformInfo: bigint
  /** The 32 bits at 0x048 that hold the next three. */
  readonly keyInfo: number
  readonly authorKeyEn: boolean
  readonly maskChipKey: boolean
  /** Null: signed by none of the two, or not signed. */
  readonly signingKey: SigningKey | null
  readonly reportData: Uint8Array
  readonly measurement: Uint8Array
  readonly hostData: Uint8Array
  readonly idKeyDigest: Uint8Array
  readonly authorKeyDigest: Uint8Array
  readonly reportId: Uint8Array
  readonly reportIdMa: Uint8Array
  readonly reportedTcb: Uint8Array
  /** From version 3 on. */
  readonly cpuid: Cpuid | null
  readonly chipId: Uint8Array
  readonly committedTcb: Uint8Array
  readonly currentVersion: FirmwareVersion
  readonly committedVersion: FirmwareVersion
  readonly launchTcb: Uint8Array
  /** From version 5 on. */
  readonly launchMitVector: Uint8Array | null
  readonly currentMitVector: Uint8Array | null
}

const SCALAR_SIZE = 48

/**
 * Reads a report front to back: exact length, known version and algorithm, every reserved byte zero, the unsigned tail too.
 * @param input - Exactly 1184 bytes, integers little-endian.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, `EVIDENCE_RESERVED_NONZERO`.
 * @see AMD 56860 (SEV-SNP firmware ABI) table 23.
 */
export function parseReport(input: Uint8Array): SnpReport {
  const raw = new Uint8Array(input)
  const r = new FieldReader('snp.report', raw, REPORT_SIZE)
  const version = readVersion(r)
  const guestSvn = r.at(0x004).u32le()
  const policy = readPolicy(r)
  const [familyId, imageId] = [r.at(0x010).bytes(16), r.bytes(16)]
  const vmpl = r.at(0x030).u32le()
  const signatureAlgo = readSignatureAlgo(r)
  const [currentTcb, platformInfo] = [r.at(0x038).bytes(8), r.u64le()]
  const keyInfo = readKeyInfo(r)
  r.at(0x04c).zeros(4)
  const reportData = r.at(0x050).bytes(64)
  const measurement = r.at(0x090).bytes(48)
  const hostData = r.at(0x0c0).bytes(32)
  const [idKeyDigest, authorKeyDigest] = [r.at(0x0e0).bytes(48), r.bytes(48)]
  const [reportId, reportIdMa] = [r.at(0x140).bytes(32), r.bytes(32)]
  const reportedTcb = r.at(0x180).bytes(8)
  const cpuid = readCpuid(r, version)
  r.zeros(0x1a0 - r.cursor)
  const chipId = r.at(0x1a0).bytes(64)
  const committedTcb = r.at(0x1e0).bytes(8)
  const currentVersion = readFirmwareVersion(r)
  const committedVersion = readFirmwareVersion(r)
  const launchTcb = r.at(0x1f0).bytes(8)
  const launchMitVector = version >= 5 ? r.at(0x1f8).bytes(8) : null
  const currentMitVector = version >= 5 ? r.at(0x200).bytes(8) : null
  r.zeros(SIGNED_SIZE - r.cursor)
  const signature = concat(readScalar(r), readScalar(r))
  r.at(0x330).zeros(REPORT_SIZE - 0x330)
  r.end()
  return {
    raw,
    signed: raw.subarray(0, SIGNED_SIZE),
    signature,
    version,
    guestSvn,
    policy,
    familyId,
    imageId,
    vmpl,
    signatureAlgo,
    currentTcb,
    platformInfo,
    ...keyInfo,
    reportData,
    measurement,
    hostData,
    idKeyDigest,
    authorKeyDigest,
    reportId,
    reportIdMa,
    reportedTcb,
    cpuid,
    chipId,
    committedTcb,
    currentVersion,
    committedVersion,
    launchTcb,
    launchMitVector,
    currentMitVector,
  }
}

function readVersion(r: FieldReader): number {
  const at = r.at(0x000).place()
  const version = r.u32le()
  if (!REPORT_VERSIONS.includes(version)) throw new AttestError('EVIDENCE_UNSUPPORTED', `report version ${version}`, { at })
  return version
}

function readPolicy(r: FieldReader): bigint {
  const at = r.at(0x008).place()
  const policy = r.u64le()
  if (!policyBit(policy, 'reserved1')) throw new AttestError('EVIDENCE_UNSUPPORTED', 'POLICY bit 17 must be one', { at })
  if (policy >> POLICY_RESERVED_FROM !== 0n) throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'POLICY bits 63:26 must be zero', { at })
  return policy
}

function readSignatureAlgo(r: FieldReader): number {
  const at = r.at(0x034).place()
  const algorithm = r.u32le()
  if (algorithm !== ECDSA_P384_SHA384) throw new AttestError('EVIDENCE_UNSUPPORTED', `SIGNATURE_ALGO ${algorithm}`, { at })
  return algorithm
}

/** Bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 4:2 SIGNING_KEY: 0 VCEK, 1 VLEK, 7 none, others reserved; 31:5 zero. */
function readKeyInfo(r: FieldReader): Pick<SnpReport, 'keyInfo' | 'authorKeyEn' | 'maskChipKey' | 'signingKey'> {
  const at = r.at(0x048).place()
  const keyInfo = r.u32le()
  if (keyInfo >>> 5 !== 0) throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'key info bits 31:5 must be zero', { at })
  const signer = keyInfo >>> 2
  if (signer > 1 && signer < 7) throw new AttestError('EVIDENCE_UNSUPPORTED', `SIGNING_KEY ${signer} is reserved`, { at })
  const signingKey = signer === 0 ? 'VCEK' : signer === 1 ? 'VLEK' : null
  return { keyInfo, authorKeyEn: (keyInfo & 1) !== 0, maskChipKey: (keyInfo & 2) !== 0, signingKey }
}

/** CPUID_FAM_ID, CPUID_MOD_ID, CPUID_STEP; before version 3 these bytes are reserved. */
function readCpuid(r: FieldReader, version: number): Cpuid | null {
  if (version < 3) return null
  return { family: r.at(0x188).u8(), model: r.u8(), stepping: r.u8() }
}

function readFirmwareVersion(r: FieldReader): FirmwareVersion {
  const [build, minor, major] = [r.u8(), r.u8(), r.u8()]
  r.zeros(1)
  return { major, minor, build }
}

/** R or S: a 72-byte little-endian integer, of which P-384 fills 48. */
function readScalar(r: FieldReader): Uint8Array {
  const scalar = r.bytes(SCALAR_SIZE).reverse()
  r.zeros(72 - SCALAR_SIZE)
  return scalar
}
