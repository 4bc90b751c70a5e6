import { AttestError } from '../../errors.ts'
import { decodeCbor } from '../../formats/cbor.ts'
import { CborFields } from '../../formats/cbor-fields.ts'
import { type CoseSign1, parseSign1 } from '../../formats/cose.ts'
import { COMMON, HASH_SIZES, MAX_TEXT, readComponents, readImplementationId, readInstanceId, type SoftwareComponent } from './layout.ts'
import { MAX_TOKEN_SIZE } from './parse.ts'

/** A PSA attestation token: a device and its firmware, no confidential VM. Nothing about it is trusted yet. */
export interface PsaToken {
  readonly message: CoseSign1
  readonly profile: string
  readonly nonce: Uint8Array
  readonly clientId: number
  readonly instanceId: Uint8Array
  readonly implementationId: Uint8Array
  readonly lifecycle: number
  readonly bootSeed: Uint8Array | null
  readonly certificationReference: string | null
  readonly softwareComponents: readonly SoftwareComponent[]
  readonly verificationService: string | null
  readonly strangers: readonly (number | string)[]
}

interface Labels {
  readonly nonce: number
  readonly instanceId: number
  readonly profile: number
  readonly clientId: number
  readonly lifecycle: number
  readonly implementationId: number
  readonly bootSeed: number
  readonly certificationReference: number
  readonly softwareComponents: number
  readonly verificationService: number
}

/** RFC 9783 section 4. */
const CURRENT: Labels = { ...COMMON, clientId: 2394, bootSeed: 2397, certificationReference: 2398 }

/** Of PSA_IOT_PROFILE_1 (RFC 9783 appendix A: labels of the first profile). */
const FIRST: Labels = {
  profile: -75000,
  clientId: -75001,
  lifecycle: -75002,
  implementationId: -75003,
  bootSeed: -75004,
  certificationReference: -75005,
  softwareComponents: -75006,
  nonce: -75008,
  instanceId: -75009,
  verificationService: -75010,
}

const PROFILES: Readonly<Record<string, Labels>> = {
  'http://arm.com/psa/2.0.0': CURRENT,
  'tag:psacertified.org,2023:psa#tfm': CURRENT,
  PSA_IOT_PROFILE_1: FIRST,
}

const HEAD: readonly number[] = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x26]
const MAX_CLIENT_ID = 0x7fffffff
const MAX_LIFECYCLE = 0xffff
const MIN_BOOT_SEED = 8
const MAX_BOOT_SEED = 32

/** COSE_Sign1, tagged, with ES256: Nitro documents have ES384. */
export function looksLikePsa(bytes: Uint8Array): boolean {
  return HEAD.every((byte, i) => bytes[i] === byte)
}

/** @throws AttestError `CBOR_MALFORMED`, `EVIDENCE_*`, `DOCUMENT_INVALID`, `LIMIT_EXCEEDED`. */
export function parsePsaToken(input: Uint8Array): PsaToken {
  const message = parseSign1(input, 'psa', MAX_TOKEN_SIZE)
  const at = 'psa.claims'
  const claims = new CborFields(decodeCbor(message.payload, at, { maxSize: MAX_TOKEN_SIZE }), at)
  const [profile, labels] = readProfile(claims, at)
  const { bootSeed } = labels
  return {
    message,
    profile,
    nonce: claims.bytes(labels.nonce, HASH_SIZES),
    clientId: claims.integer(labels.clientId, -MAX_CLIENT_ID - 1, MAX_CLIENT_ID),
    instanceId: readInstanceId(claims, labels.instanceId),
    implementationId: readImplementationId(claims, labels.implementationId),
    lifecycle: claims.integer(labels.lifecycle, 0, MAX_LIFECYCLE),
    bootSeed: claims.has(bootSeed) ? claims.blob(bootSeed, MIN_BOOT_SEED, MAX_BOOT_SEED) : null,
    certificationReference: claims.optionalText(labels.certificationReference, MAX_TEXT),
    softwareComponents: readComponents(claims, labels.softwareComponents),
    verificationService: claims.optionalText(labels.verificationService, MAX_TEXT),
    strangers: claims.strangers(Object.values(labels)),
  }
}

function readProfile(claims: CborFields, at: string): readonly [string, Labels] {
  const profile = claims.text(claims.has(CURRENT.profile) ? CURRENT.profile : FIRST.profile, MAX_TEXT)
  const labels = Object.hasOwn(PROFILES, profile) ? PROFILES[profile] : undefined
  if (labels === undefined || !claims.has(labels.profile)) throw new AttestError('EVIDENCE_UNSUPPORTED', `profile ${profile}`, { at })
  return [profile, labels]
}
