import { toHex } from '../../bytes/bytes.ts'
import type { AmdProduct } from '../../trust/amd.ts'

/** Sizes of ATTESTATION_REPORT in bytes (AMD 56860 table 23): all of it, and the part that is signed. */
export const REPORT_SIZE = 0x4a0
export const SIGNED_SIZE = 0x2a0

/** Versions whose layout is known. 2: first shipped; 3 adds CPUID; 5 adds the mitigation vectors. */
export const REPORT_VERSIONS: readonly number[] = [2, 3, 4, 5]

/** SIGNATURE_ALGO 1: ECDSA P-384 with SHA-384 (AMD 56860 table 148). */
export const ECDSA_P384_SHA384 = 1

/** Which key signed (AMD 56860 table 23, SIGNING_KEY). */
export type SigningKey = 'VCEK' | 'VLEK'

/** Guest policy bits (AMD 56860 section 4.3). */
export const POLICY_BIT = {
  smt: 16,
  reserved1: 17,
  migrateMa: 18,
  debug: 19,
  singleSocket: 20,
  cxlAllow: 21,
  memAes256Xts: 22,
  raplDis: 23,
  ciphertextHidingDram: 24,
  pageSwapDisable: 25,
} as const

/** First policy bit that must be zero. */
export const POLICY_RESERVED_FROM = 26n

export function policyBit(policy: bigint, name: keyof typeof POLICY_BIT): boolean {
  return ((Number(policy & 0xffffffffn) >>> POLICY_BIT[name]) & 1) === 1
}

/** PLATFORM_INFO bits (AMD 56860 table 24). */
export const PLATFORM_INFO_BIT = {
  smt: 0,
  tsme: 1,
  ecc: 2,
  raplDis: 3,
  ciphertextHidingDram: 4,
  aliasCheckComplete: 5,
  tio: 7,
} as const

/** Security patch levels of a TCB_VERSION. `fmc` exists from Turin on. */
export interface TcbVersion {
  readonly fmc?: number
  readonly bootloader: number
  readonly tee: number
  readonly snp: number
  readonly microcode: number
}

/** Position of each level among the eight bytes (AMD 56860 section 2.2; AMD 57230 section 3). Depends on the product alone. */
export type TcbLayout = Readonly<Record<'bootloader' | 'tee' | 'snp' | 'microcode', number> & { fmc?: number }>
const BEFORE_TURIN: TcbLayout = { bootloader: 0, tee: 1, snp: 6, microcode: 7 }
const TURIN: TcbLayout = { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 }

export function tcbLayout(product: AmdProduct): TcbLayout {
  return product === 'Turin' ? TURIN : BEFORE_TURIN
}

/** @param raw - TCB_VERSION, 8 bytes in the order of the report. */
export function readTcb(raw: Uint8Array, layout: TcbLayout): TcbVersion {
  const level = (index: number): number => raw[index] ?? 0
  return {
    ...(layout.fmc === undefined ? {} : { fmc: level(layout.fmc) }),
    bootloader: level(layout.bootloader),
    tee: level(layout.tee),
    snp: level(layout.snp),
    microcode: level(layout.microcode),
  }
}

/** Component by component, never as one number: every level of `a` is at most that of `b`. */
export function tcbAtMost(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((level, i) => level <= (b[i] ?? 0))
}

/** `bootloader 4, tee 0, snp 24, microcode 219`, for people. */
export function tcbText(tcb: TcbVersion): string {
  const fmc = tcb.fmc === undefined ? '' : `fmc ${tcb.fmc}, `
  return `${fmc}bootloader ${tcb.bootloader}, tee ${tcb.tee}, snp ${tcb.snp}, microcode ${tcb.microcode}`
}

/** CPUID of the processor that signed. */
export interface Cpuid {
  readonly family: number
  readonly model: number
  readonly stepping: number
}

/**
 * Product by CPUID family and model (AMD 57230 section 2; models A0h-AFh are Bergamo and Siena of the Genoa line). Null for
 * a processor that is not known here: its TCB layout is not known either.
 */
export function productOf({ family, model }: Cpuid): AmdProduct | null {
  if (family === 0x19 && model <= 0x0f) return 'Milan'
  if (family === 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf))) return 'Genoa'
  if (family === 0x1a && model <= 0x11) return 'Turin'
  return null
}

export function cpuidText({ family, model, stepping }: Cpuid): string {
  return `CPUID ${toHex(Uint8Array.of(family, model, stepping))}`
}
