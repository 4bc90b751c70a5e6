import { AttestError } from '../../errors.ts'
import { type CborKey, decodeCbor, takeTag } from '../../formats/cbor.ts'
import { CborFields } from '../../formats/cbor-fields.ts'
import { type CoseSign1, parseSign1 } from '../../formats/cose.ts'
import {
  COMMON,
  HASH_SIZES,
  type HashName,
  MAX_TEXT,
  readComponents,
  readHashName,
  readImplementationId,
  readInstanceId,
  type SoftwareComponent,
} from './layout.ts'

/** Claims of the platform token: the machine and its firmware. */
export interface PlatformClaims {
  readonly profile: string
  /** Hash of the realm's public key, as it stands in the realm token. */
  readonly challenge: Uint8Array
  readonly implementationId: Uint8Array
  readonly instanceId: Uint8Array
  /** Bits of the implementation's own. */
  readonly config: Uint8Array
  readonly lifecycle: number
  readonly softwareComponents: readonly SoftwareComponent[]
  readonly verificationService: string | null
  readonly hashAlgorithm: HashName
  /** Claims that are not known here. */
  readonly strangers: readonly CborKey[]
}

/** Claims of the realm token: the confidential VM. */
export interface RealmClaims {
  readonly profile: string | null
  readonly challenge: Uint8Array
  readonly personalizationValue: Uint8Array
  readonly hashAlgorithm: HashName
  /** Claim 44237 exactly as it was carried: a COSE_Key, or without a profile a bare point. */
  readonly publicKey: Uint8Array
  readonly initialMeasurement: Uint8Array
  readonly extensibleMeasurements: readonly Uint8Array[]
  readonly publicKeyHashAlgorithm: HashName
  readonly strangers: readonly CborKey[]
}

/** A CCA attestation token. Nothing about it is trusted yet. */
export interface CcaToken {
  readonly platform: { readonly message: CoseSign1; readonly claims: PlatformClaims }
  readonly realm: { readonly message: CoseSign1; readonly claims: RealmClaims }
}

export const MAX_TOKEN_SIZE: number = 64 * 1024

/** Arm DEN0137 section A7.2.2. */
const TAG_CCA = 399
const PLATFORM_TOKEN = 44234
const REALM_TOKEN = 44241
const PLATFORM = { ...COMMON, config: 2401, hashAlgorithm: 2402 } as const
const REALM = {
  challenge: 10,
  profile: 265,
  personalizationValue: 44235,
  hashAlgorithm: 44236,
  publicKey: 44237,
  initialMeasurement: 44238,
  extensibleMeasurements: 44239,
  publicKeyHashAlgorithm: 44240,
} as const

const PLATFORM_PROFILES: readonly string[] = ['http://arm.com/CCA-SSD/1.0.0', 'tag:arm.com,2023:cca_platform#1.0.0']
const REALM_PROFILE = 'tag:arm.com,2023:realm#1.0.0'
const CHALLENGE_SIZE = 64
const PERSONALIZATION_SIZE = 64
const REMS = 4
const MAX_CONFIG_SIZE = 1024
const MAX_LIFECYCLE = 0xffff
/** A P-384 point, uncompressed. */
const RAW_KEY_SIZE = 97
const MAX_KEY_SIZE = 1024

export function looksLikeCca(bytes: Uint8Array): boolean {
  return bytes[0] === 0xd9 && (((bytes[1] ?? 0) << 8) | (bytes[2] ?? 0)) === TAG_CCA
}

/**
 * Reads a CCA token front to back: tag 399, a map of exactly the platform and the realm token, each a tagged COSE_Sign1.
 * @throws AttestError `CBOR_MALFORMED`, `EVIDENCE_*`, `DOCUMENT_INVALID`, `LIMIT_EXCEEDED`.
 */
export function parseCcaToken(input: Uint8Array): CcaToken {
  const { tag, rest } = takeTag(input, 'cca')
  if (tag !== TAG_CCA) throw new AttestError('EVIDENCE_UNSUPPORTED', `CBOR tag ${tag ?? 'missing'}, want ${TAG_CCA}`, { at: 'cca' })
  const parts = new CborFields(decodeCbor(rest, 'cca', { maxSize: MAX_TOKEN_SIZE }), 'cca')
  const [stranger] = parts.strangers([PLATFORM_TOKEN, REALM_TOKEN])
  if (stranger !== undefined) throw parts.invalid(stranger, 'is no part of a CCA token')
  const platform = parseSign1(parts.blob(PLATFORM_TOKEN, 1, MAX_TOKEN_SIZE), 'cca.platform', MAX_TOKEN_SIZE)
  const realm = parseSign1(parts.blob(REALM_TOKEN, 1, MAX_TOKEN_SIZE), 'cca.realm', MAX_TOKEN_SIZE)
  if (!platform.isTagged || !realm.isTagged) throw new AttestError('DOCUMENT_INVALID', 'want tag 18 (COSE_Sign1)', { at: 'cca' })
  return {
    platform: { message: platform, claims: parsePlatformClaims(platform.payload) },
    realm: { message: realm, claims: parseRealmClaims(realm.payload) },
  }
}

/** @see Arm DEN0137 section A7.2.3.2. */
export function parsePlatformClaims(payload: Uint8Array): PlatformClaims {
  const at = 'cca.platform.claims'
  const claims = new CborFields(decodeCbor(payload, at, { maxSize: MAX_TOKEN_SIZE }), at)
  const profile = claims.text(PLATFORM.profile, MAX_TEXT)
  if (!PLATFORM_PROFILES.includes(profile)) throw new AttestError('EVIDENCE_UNSUPPORTED', `profile ${profile}`, { at })
  return {
    profile,
    challenge: claims.bytes(PLATFORM.nonce, HASH_SIZES),
    implementationId: readImplementationId(claims, PLATFORM.implementationId),
    instanceId: readInstanceId(claims, PLATFORM.instanceId),
    config: claims.blob(PLATFORM.config, 1, MAX_CONFIG_SIZE),
    lifecycle: claims.integer(PLATFORM.lifecycle, 0, MAX_LIFECYCLE),
    softwareComponents: readComponents(claims, PLATFORM.softwareComponents),
    verificationService: claims.optionalText(PLATFORM.verificationService, MAX_TEXT),
    hashAlgorithm: readHashName(claims, PLATFORM.hashAlgorithm, at),
    strangers: claims.strangers(Object.values(PLATFORM)),
  }
}

/** @see Arm DEN0137 section A7.2.3.1. */
export function parseRealmClaims(payload: Uint8Array): RealmClaims {
  const at = 'cca.realm.claims'
  const claims = new CborFields(decodeCbor(payload, at, { maxSize: MAX_TOKEN_SIZE }), at)
  const profile = claims.optionalText(REALM.profile, MAX_TEXT)
  if (profile !== null && profile !== REALM_PROFILE) throw new AttestError('EVIDENCE_UNSUPPORTED', `profile ${profile}`, { at })
  const { publicKey } = REALM
  return {
    profile,
    challenge: claims.bytes(REALM.challenge, [CHALLENGE_SIZE]),
    personalizationValue: claims.bytes(REALM.personalizationValue, [PERSONALIZATION_SIZE]),
    hashAlgorithm: readHashName(claims, REALM.hashAlgorithm, at),
    publicKey: profile === null ? claims.bytes(publicKey, [RAW_KEY_SIZE]) : claims.blob(publicKey, 1, MAX_KEY_SIZE),
    initialMeasurement: claims.bytes(REALM.initialMeasurement, HASH_SIZES),
    extensibleMeasurements: claims.bytesList(REALM.extensibleMeasurements, REMS, REMS, HASH_SIZES),
    publicKeyHashAlgorithm: readHashName(claims, REALM.publicKeyHashAlgorithm, at),
    strangers: claims.strangers(Object.values(REALM)),
  }
}
