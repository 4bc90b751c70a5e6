/** ATTRIBUTES.FLAGS by name (Intel SDM volume 3D, "Bit Fields of ATTRIBUTES"). */
export const SGX_FLAG_BIT = { init: 0, debug: 1, mode64bit: 2, provisionKey: 4, einittokenKey: 5, kss: 7 } as const

export type SgxFlagName = keyof typeof SGX_FLAG_BIT

/** @param attributes - 16 bytes: flags, then XFRM, little-endian. All named flags are in the first byte. */
export function hasSgxFlag(attributes: Uint8Array, name: SgxFlagName): boolean {
  return (((attributes[0] ?? 0) >> SGX_FLAG_BIT[name]) & 1) === 1
}
