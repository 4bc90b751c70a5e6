import { toHex } from '../../bytes/bytes.ts'
import type { CommonClaims } from '../types.ts'
import { isSecured, lifecycleName, type SoftwareComponent } from './layout.ts'
import type { CcaToken } from './parse.ts'
import type { PsaToken } from './psa.ts'

/** Byte strings are hexadecimal; null where the token has none. */
export interface SoftwareComponentFields {
  readonly type: string | null
  readonly measurement: string
  readonly version: string | null
  readonly signerId: string
  readonly hashAlgorithm: string | null
}

export interface PlatformFields {
  readonly profile: string
  readonly challenge: string
  readonly implementationId: string
  readonly instanceId: string
  readonly config: string
  readonly lifecycle: number
  readonly lifecycleName: string
  readonly softwareComponents: readonly SoftwareComponentFields[]
  readonly verificationService: string | null
  readonly hashAlgorithm: string
}

export interface RealmFields {
  readonly profile: string | null
  readonly challenge: string
  readonly personalizationValue: string
  readonly hashAlgorithm: string
  readonly publicKey: string
  readonly initialMeasurement: string
  readonly extensibleMeasurements: readonly string[]
  readonly publicKeyHashAlgorithm: string
}

/** What was read, whether or not it verified. */
export interface CcaParsed {
  readonly platform: PlatformFields
  readonly realm: RealmFields
}

/** What an accepted CCA token proves, if its platform's key is what its endorser says. */
export interface CcaClaims extends CommonClaims, CcaParsed {
  readonly tee: 'arm-cca'
  /** Realm initial measurement. */
  readonly measurement: string
}

/** A PSA token as JSON. */
export interface PsaParsed {
  readonly profile: string
  readonly nonce: string
  readonly clientId: number
  readonly instanceId: string
  readonly implementationId: string
  readonly lifecycle: number
  readonly lifecycleName: string
  readonly bootSeed: string | null
  readonly certificationReference: string | null
  readonly softwareComponents: readonly SoftwareComponentFields[]
  readonly verificationService: string | null
}

/** What an accepted PSA token proves: a device's firmware. It is no confidential VM, so `tee` has a name of its own. */
export interface PsaClaims extends CommonClaims, PsaParsed {
  readonly tee: 'arm-psa'
  readonly measurement: null
}

export function describeCca({ platform, realm }: CcaToken): CcaParsed {
  const { claims: p } = platform
  const { claims: r } = realm
  return {
    platform: {
      profile: p.profile,
      challenge: toHex(p.challenge),
      implementationId: toHex(p.implementationId),
      instanceId: toHex(p.instanceId),
      config: toHex(p.config),
      lifecycle: p.lifecycle,
      lifecycleName: lifecycleName(p.lifecycle),
      softwareComponents: p.softwareComponents.map(describeComponent),
      verificationService: p.verificationService,
      hashAlgorithm: p.hashAlgorithm,
    },
    realm: {
      profile: r.profile,
      challenge: toHex(r.challenge),
      personalizationValue: toHex(r.personalizationValue),
      hashAlgorithm: r.hashAlgorithm,
      publicKey: toHex(r.publicKey),
      initialMeasurement: toHex(r.initialMeasurement),
      extensibleMeasurements: r.extensibleMeasurements.map(toHex),
      publicKeyHashAlgorithm: r.publicKeyHashAlgorithm,
    },
  }
}

export function describePsa(token: PsaToken): PsaParsed {
  return {
    profile: token.profile,
    nonce: toHex(token.nonce),
    clientId: token.clientId,
    instanceId: toHex(token.instanceId),
    implementationId: toHex(token.implementationId),
    lifecycle: token.lifecycle,
    lifecycleName: lifecycleName(token.lifecycle),
    bootSeed: token.bootSeed === null ? null : toHex(token.bootSeed),
    certificationReference: token.certificationReference,
    softwareComponents: token.softwareComponents.map(describeComponent),
    verificationService: token.verificationService,
  }
}

function describeComponent({ type, measurement, version, signerId, hashAlgorithm }: SoftwareComponent): SoftwareComponentFields {
  return { type, measurement: toHex(measurement), version, signerId: toHex(signerId), hashAlgorithm }
}

export function ccaClaims(parsed: CcaParsed, simulated: boolean): CcaClaims {
  const { platform, realm } = parsed
  return {
    tee: 'arm-cca',
    measurement: realm.initialMeasurement,
    reportData: realm.challenge,
    debug: !isSecured(platform.lifecycle),
    tcbStatus: 'not-applicable',
    simulated,
    ...parsed,
  }
}

export function psaClaims(parsed: PsaParsed, simulated: boolean): PsaClaims {
  return {
    tee: 'arm-psa',
    measurement: null,
    reportData: parsed.nonce,
    debug: !isSecured(parsed.lifecycle),
    tcbStatus: 'not-applicable',
    simulated,
    ...parsed,
  }
}
