import type { AmdProduct } from '../../trust/amd.ts'
import type { BitDemand } from '../check.ts'
import type { SnpFloorName } from './floors.ts'
import type { PLATFORM_INFO_BIT, POLICY_BIT, SigningKey, TcbVersion } from './layout.ts'
import type { FirmwareVersion } from './parse.ts'

export type GuestPolicyName = Exclude<keyof typeof POLICY_BIT, 'reserved1'>
export type PlatformInfoName = keyof typeof PLATFORM_INFO_BIT

/** Levels that must be reached, per product and component. A product without an entry reaches none. */
export type TcbFloor = Readonly<Partial<Record<AmdProduct, Readonly<Partial<TcbVersion>>>>>

/**
 * Rules that a caller may add to those that hold for every report, as data: this is also how a policy writes them down. Byte
 * strings are lower-case hexadecimal in the order of the report, lists name what is allowed (an empty one allows nothing),
 * masks are `0x…`. What is not given is not asked.
 */
export interface SnpRequirements {
  readonly products?: readonly AmdProduct[]
  /** Kinds of key that may have signed. */
  readonly signingKeys?: readonly SigningKey[]
  /** cspID of the VLEK that signed. A VCEK names no provider and is not asked. */
  readonly vlekCspIds?: readonly string[]
  /** Lowest REPORTED_TCB. */
  readonly minimumTcb?: TcbFloor
  /** Lowest LAUNCH_TCB: what ran when the guest was started. */
  readonly minimumLaunchTcb?: TcbFloor
  /** Bulletins whose floors REPORTED_TCB must reach; see {@link SNP_FLOORS}. */
  readonly floors?: readonly SnpFloorName[]
  /** Lowest version of the firmware that runs, and of the one below which the platform cannot go back. */
  readonly minimumCurrentVersion?: FirmwareVersion
  readonly minimumCommittedVersion?: FirmwareVersion
  /** Firmware that runs is committed: what is provisional can be rolled back. */
  readonly committedFirmware?: true
  readonly guestPolicy?: BitDemand<GuestPolicyName>
  /** Lowest ABI version that the guest policy asks of the firmware. */
  readonly minimumAbi?: { readonly major: number; readonly minor: number }
  readonly platformInfo?: BitDemand<PlatformInfoName>
  /** Bits that the mitigation vectors must have. Before report version 5 there are none, and the rule fails. */
  readonly launchMitigations?: string
  readonly currentMitigations?: string
  /** VMPL that must have asked for the report. */
  readonly vmpl?: number
  readonly minimumGuestSvn?: number
  readonly measurements?: readonly string[]
  readonly hostData?: readonly string[]
  /** These two, and GUEST_SVN, are the word of whoever signed the ID block: see `idBlock`. */
  readonly familyIds?: readonly string[]
  readonly imageIds?: readonly string[]
  /** Who may have signed the ID block: one of these ID keys, or whichever one of these author keys vouches for (AUTHOR_KEY_EN). */
  readonly idBlock?: { readonly idKeyDigests: readonly string[]; readonly authorKeyDigests: readonly string[] }
  /** 64 bytes each; from Turin on the last 56 are zero. A platform that masks CHIP_ID is none of them. */
  readonly chipIds?: readonly string[]
  /** Accepts that the platform masks CHIP_ID: then the VCEK alone names the chip. */
  readonly acceptMaskedChipId?: true
}
