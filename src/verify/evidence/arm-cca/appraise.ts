import { concat, equal, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check } from '../check.ts'
import { isSecured, lifecycleName, type SoftwareComponent } from './layout.ts'
import type { CcaToken } from './parse.ts'
import type { PsaToken } from './psa.ts'

/** Firmware that is wanted: a measurement and who signed it, and its type where that is given. */
export interface ComponentValue {
  readonly type?: string
  readonly measurement: Uint8Array
  readonly signerId: Uint8Array
}

/** Rules for CCA and PSA tokens that a caller may add. Those about a realm hold for no PSA token. */
export interface CcaRequirements {
  readonly implementationId?: Uint8Array
  readonly instanceId?: Uint8Array
  /** All firmware of the platform, in any order: nothing else may be there, and none of it may be missing. */
  readonly softwareComponents?: readonly ComponentValue[]
  readonly personalizationValue?: Uint8Array
  /** The four extensible measurements; null for one that may be anything. */
  readonly extensibleMeasurements?: readonly (Uint8Array | null)[]
}

type Wanted = { readonly nonce: Uint8Array | null; readonly measurement: Uint8Array | null; readonly requirements: CcaRequirements }

/** What is wanted of a token beyond its being genuine. Does not look at who signed. */
export function appraiseCca({ platform, realm }: CcaToken, wanted: Wanted): readonly Check[] {
  const { personalizationValue, extensibleMeasurements } = wanted.requirements
  const { claims } = realm
  const checks = [lifecycleCheck(platform.claims.lifecycle)]
  if (wanted.nonce !== null) checks.push(nonceCheck(wanted.nonce, claims.challenge))
  if (wanted.measurement !== null) checks.push(bytesCheck('reference-values.measurement', wanted.measurement, claims.initialMeasurement))
  checks.push(...platformChecks(platform.claims, wanted.requirements))
  if (personalizationValue !== undefined)
    checks.push(bytesCheck('policy.personalization-value', personalizationValue, claims.personalizationValue))
  if (extensibleMeasurements !== undefined) checks.push(extensibleCheck(claims.extensibleMeasurements, extensibleMeasurements))
  return checks
}

/** A PSA token has no measurement of a guest and no realm: what asks for one fails. */
export function appraisePsa(token: PsaToken, wanted: Wanted): readonly Check[] {
  const { personalizationValue, extensibleMeasurements } = wanted.requirements
  const checks = [lifecycleCheck(token.lifecycle)]
  if (wanted.nonce !== null) checks.push(nonceCheck(wanted.nonce, token.nonce))
  if (wanted.measurement !== null)
    checks.push(check('reference-values.measurement', false, toHex(wanted.measurement), 'a PSA token measures no guest'))
  checks.push(...platformChecks(token, wanted.requirements))
  const asksForRealm = personalizationValue !== undefined || extensibleMeasurements !== undefined
  if (asksForRealm) checks.push(check('policy.realm', false, 'a realm', 'a PSA token has none'))
  return checks
}

interface Platform {
  readonly implementationId: Uint8Array
  readonly instanceId: Uint8Array
  readonly softwareComponents: readonly SoftwareComponent[]
}

function platformChecks(platform: Platform, { implementationId, instanceId, softwareComponents }: CcaRequirements): readonly Check[] {
  const checks: Check[] = []
  if (implementationId !== undefined) checks.push(bytesCheck('policy.implementation-id', implementationId, platform.implementationId))
  if (instanceId !== undefined) checks.push(bytesCheck('policy.instance-id', instanceId, platform.instanceId))
  if (softwareComponents !== undefined) checks.push(componentCheck(platform.softwareComponents, softwareComponents))
  return checks
}

function lifecycleCheck(lifecycle: number): Check {
  const got = `0x${lifecycle.toString(16)} (${lifecycleName(lifecycle)})`
  return check('debug.lifecycle', isSecured(lifecycle), 'secured: 0x3000 to 0x30ff', got)
}

/** Shorter is zero-padded on the right. */
function nonceCheck(nonce: Uint8Array, challenge: Uint8Array): Check {
  const fits = nonce.length <= challenge.length
  const want = fits ? concat(nonce, new Uint8Array(challenge.length - nonce.length)) : nonce
  return bytesCheck('freshness.nonce', want, challenge)
}

function bytesCheck(rule: Check['rule'], want: Uint8Array, got: Uint8Array): Check {
  return check(rule, equal(want, got), toHex(want), toHex(got))
}

function componentCheck(components: readonly SoftwareComponent[], values: readonly ComponentValue[]): Check {
  const fits = (component: SoftwareComponent, value: ComponentValue): boolean =>
    equal(component.measurement, value.measurement) &&
    equal(component.signerId, value.signerId) &&
    (value.type === undefined || component.type === value.type)
  const stranger = components.find((component) => !values.some((value) => fits(component, value)))
  const missing = values.filter((value) => !components.some((component) => fits(component, value))).length
  const got = stranger === undefined ? `${missing} missing` : `${stranger.type ?? 'unnamed'} ${toHex(stranger.measurement)}`
  const want = `exactly the ${values.length} components that are named`
  return check('reference-values.software-components', stranger === undefined && missing === 0, want, got)
}

function extensibleCheck(rems: readonly Uint8Array[], wanted: readonly (Uint8Array | null)[]): Check {
  const holds = wanted.length === rems.length && rems.every((rem, i) => wanted[i] === null || equal(rem, wanted[i] ?? new Uint8Array()))
  const text = wanted.map((value) => (value === null ? 'any' : toHex(value))).join(', ')
  return check('reference-values.extensible-measurements', holds, text, rems.map(toHex).join(', '))
}
