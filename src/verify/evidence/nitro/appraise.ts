import { equal, isZero, toHex } from '../../bytes/bytes.ts'
import type { Check } from '../../verdict.ts'
import { check, instant, type Now } from '../check.ts'
import type { NitroDocument } from './parse.ts'

/** PCR values by index that must all be there together. */
export type PcrValues = Readonly<Record<number, Uint8Array>>

/** Rules that a caller may add. */
export interface NitroRequirements {
  /** Images that are wanted, each by its own values: one of them must fit as a whole. Values of different images never mix. */
  readonly pcrs?: readonly PcrValues[]
  /** Hash of the ARN of the parent instance's IAM role. */
  readonly pcr3?: Uint8Array
  /** Hash of the ID of the parent instance. */
  readonly pcr4?: Uint8Array
  /** Hash of the certificate that signed the image. */
  readonly pcr8?: Uint8Array
  readonly moduleId?: string
  readonly userData?: Uint8Array
  readonly publicKey?: Uint8Array
  /** Oldest document that is accepted, in seconds before the time of verification. */
  readonly maxAgeSeconds?: number
}

/** Clocks of the hypervisor and of whoever verifies may differ by this much. */
const MAX_SKEW_MS = 60_000

/** All three registers of the image are zero in debug mode; PCR0 alone decides, since no image measures to zero. */
export function isDebug({ pcr0 }: NitroDocument): boolean {
  return isZero(pcr0)
}

/** What is wanted of a document beyond its being genuine. Does not look at who signed. */
export function appraiseDocument(
  document: NitroDocument,
  now: Now,
  wanted: { readonly nonce: Uint8Array | null; readonly measurement: Uint8Array | null; readonly requirements: NitroRequirements },
): readonly Check[] {
  const { pcrs, pcr3, pcr4, pcr8, moduleId, userData, publicKey, maxAgeSeconds } = wanted.requirements
  const checks = [check('debug.pcr0', !isDebug(document), 'PCR0 is not zero', isDebug(document) ? 'zero: debug mode' : 'not zero')]
  if (wanted.nonce !== null) checks.push(bytesCheck('freshness.nonce', wanted.nonce, document.nonce))
  if (maxAgeSeconds !== undefined) checks.push(ageCheck(document.timestamp, maxAgeSeconds, now))
  if (wanted.measurement !== null) checks.push(bytesCheck('reference-values.measurement', wanted.measurement, document.pcr0))
  if (pcrs !== undefined) checks.push(imageCheck(document, pcrs))
  for (const [index, value] of [
    [3, pcr3],
    [4, pcr4],
    [8, pcr8],
  ] as const) {
    if (value !== undefined) checks.push(registerCheck(document, index, value))
  }
  if (moduleId !== undefined) checks.push(check('policy.module-id', document.moduleId === moduleId, moduleId, document.moduleId))
  if (userData !== undefined) checks.push(bytesCheck('binding.user-data', userData, document.userData))
  if (publicKey !== undefined) checks.push(bytesCheck('binding.public-key', publicKey, document.publicKey))
  return checks
}

function bytesCheck(rule: Check['rule'], want: Uint8Array, got: Uint8Array | null): Check {
  return check(rule, got !== null && equal(want, got), toHex(want), got === null ? 'none' : toHex(got))
}

function ageCheck(timestamp: number, maxAgeSeconds: number, now: Now): Check {
  const age = now.ms - timestamp
  const want = `made within ${maxAgeSeconds} s before ${now.text}`
  return check('freshness.timestamp', age >= -MAX_SKEW_MS && age <= maxAgeSeconds * 1000, want, instant(timestamp))
}

/** An image without values would fit everything. */
function imageCheck({ pcrs }: NitroDocument, images: readonly PcrValues[]): Check {
  const fits = images.some((image) => {
    const values = Object.entries(image)
    const fitsAt = (index: string, want: Uint8Array): boolean => equal(want, pcrs.get(Number(index)) ?? new Uint8Array())
    return values.length > 0 && values.every(([index, want]) => want.length > 0 && fitsAt(index, want))
  })
  return check('reference-values.pcrs', fits, `all registers of one of ${images.length} images`, fits ? 'fits' : 'fits none')
}

/** Zero stands for "not set", so it can be nobody's reference value. */
function registerCheck({ pcrs }: NitroDocument, index: number, want: Uint8Array): Check {
  const got = pcrs.get(index) ?? null
  const holds = got !== null && !isZero(got) && equal(want, got)
  return check(`reference-values.pcr${index}`, holds, toHex(want), got === null ? 'none' : toHex(got))
}
