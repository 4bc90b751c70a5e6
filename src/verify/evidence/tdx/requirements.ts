import type { BitDemand } from '../check.ts'
import type { DcapRequirements } from '../dcap/appraise.ts'
import type { TdAttributeName } from './attributes.ts'

/** Fields of a TD report that a caller may have reference values for. */
export const TD_REFERENCES = {
  mrTd: 'mr-td',
  mrSeam: 'mr-seam',
  mrConfigId: 'mr-config-id',
  mrOwner: 'mr-owner',
  mrOwnerConfig: 'mr-owner-config',
  rtmr0: 'rtmr0',
  rtmr1: 'rtmr1',
  rtmr2: 'rtmr2',
  rtmr3: 'rtmr3',
} as const

export type TdReferenceName = keyof typeof TD_REFERENCES

/**
 * Rules for TDs that a caller may add to those for the platform, as data: this is also how a policy writes them down. Of a
 * field in {@link TD_REFERENCES}, the values that are allowed: lower-case hexadecimal, 48 bytes; an empty list allows nothing.
 */
export interface TdxRequirements extends DcapRequirements, Readonly<Partial<Record<TdReferenceName, readonly string[]>>> {
  /** The host cannot inject #VE on private pages. */
  readonly septVeDisable?: true
  /** The TD cannot be moved to another machine. */
  readonly notMigratable?: true
  /** No service TD, such as a migration TD, is bound. */
  readonly noServiceTd?: true
  /** Other TDATTRIBUTES. DEBUG is refused whatever stands here. */
  readonly attributes?: BitDemand<TdAttributeName>
  /** Extended features that the TD may use, as a mask `0x…`: no bit beyond these. */
  readonly allowedXfam?: string
}
