import { AttestError } from '../../errors.ts'
import type { CborFields } from '../../formats/cbor-fields.ts'

/** Digests by the names of IANA's registry, as the hash-algorithm claims hold them. */
export const HASHES = { 'sha-256': 'SHA-256', 'sha-384': 'SHA-384', 'sha-512': 'SHA-512' } as const
export type HashName = keyof typeof HASHES
export const HASH_SIZES: readonly number[] = [32, 48, 64]

/** Claims that tokens of PSA and of the CCA platform share (RFC 9783 section 4, Arm DEN0137 section A7.2.3.2). */
export const COMMON = {
  nonce: 10,
  instanceId: 256,
  profile: 265,
  lifecycle: 2395,
  implementationId: 2396,
  softwareComponents: 2399,
  verificationService: 2400,
} as const

const IMPLEMENTATION_ID_SIZE = 32
const INSTANCE_ID_SIZE = 33
/** UEID of type RAND (RFC 9711 section 4.2.1). */
const UEID_RAND = 0x01

export const MAX_TEXT = 256
const MAX_COMPONENTS = 64
const COMPONENT = { type: 1, measurement: 2, version: 4, signerId: 5, hashAlgorithm: 6 } as const

/** One measured piece of firmware. */
export interface SoftwareComponent {
  readonly type: string | null
  readonly measurement: Uint8Array
  readonly version: string | null
  readonly signerId: Uint8Array
  readonly hashAlgorithm: string | null
}

export function readInstanceId(claims: CborFields, key: number): Uint8Array {
  const id = claims.bytes(key, [INSTANCE_ID_SIZE])
  if (id[0] !== UEID_RAND) throw claims.invalid(key, 'want an instance ID of type RAND')
  return id
}

export function readImplementationId(claims: CborFields, key: number): Uint8Array {
  return claims.bytes(key, [IMPLEMENTATION_ID_SIZE])
}

export function readComponents(claims: CborFields, key: number): readonly SoftwareComponent[] {
  return claims.list(key, 1, MAX_COMPONENTS).map((component) => ({
    type: component.optionalText(COMPONENT.type, MAX_TEXT),
    measurement: component.bytes(COMPONENT.measurement, HASH_SIZES),
    version: component.optionalText(COMPONENT.version, MAX_TEXT),
    signerId: component.bytes(COMPONENT.signerId, HASH_SIZES),
    hashAlgorithm: component.optionalText(COMPONENT.hashAlgorithm, MAX_TEXT),
  }))
}

/** @throws AttestError `EVIDENCE_UNSUPPORTED` for any other algorithm. */
export function readHashName(claims: CborFields, key: number, at: string): HashName {
  const name = claims.text(key, MAX_TEXT)
  if (!Object.hasOwn(HASHES, name)) throw new AttestError('EVIDENCE_UNSUPPORTED', `hash algorithm ${name}`, { at })
  return name as HashName
}

const LIFECYCLES: readonly string[] = [
  'unknown',
  'assembly and test',
  'provisioning',
  'secured',
  'non-platform debug',
  'recoverable platform debug',
  'decommissioned',
]

/** Bits 15 to 8 say the state, the others are the implementation's own (RFC 9783 section 4.3.1). */
export function lifecycleName(lifecycle: number): string {
  const state = lifecycle >> 8
  return (state & 0x0f) === 0 ? (LIFECYCLES[state >> 4] ?? 'unknown') : 'unknown'
}

export function isSecured(lifecycle: number): boolean {
  return lifecycleName(lifecycle) === 'secured'
}
