/** TDATTRIBUTES by name (Intel TDX Module ABI specification, ATTRIBUTES). */
export const TD_ATTRIBUTE_BIT = { debug: 0, lass: 27, septVeDisable: 28, migratable: 29, pks: 30, kl: 31, perfmon: 63 } as const

export type TdAttributeName = keyof typeof TD_ATTRIBUTE_BIT

/** @param attributes - 8 bytes, little-endian. */
export function hasTdAttribute(attributes: Uint8Array, name: TdAttributeName): boolean {
  const bit = TD_ATTRIBUTE_BIT[name]
  return (((attributes[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1
}

/**
 * True when anyone may look into the TD. The whole first byte is the group "TD under debug": any bit of it makes the TD
 * untrusted, also those that have no name yet.
 */
export function isUnderDebug(attributes: Uint8Array): boolean {
  return attributes[0] !== 0
}
