import { fromHex } from '../../../bytes/bytes.ts'
import { DIGEST_SIZE, MAX_BLOCKS } from '../layout.ts'
import { plain, type Shape, sha384, swid } from './shape.ts'

/** One measurement as it should be. */
export interface GoldenMeasurement {
  /** 0 to 63. */
  readonly index: number
  /** Inactive ones say nothing. */
  readonly active: boolean
  /** Values of which one is due. */
  readonly alternatives: readonly Uint8Array[]
}

const MAX_ALTERNATIVES = 16
const ATTRIBUTES = ['type', 'index', 'active', 'alternatives', 'name', 'size'].map(plain)
/** `Measurement_9`, `HashedMeasurement_1_FSP`, …: for people. */
const LABEL = /^\w{1,64}$/
const ACTIVE: Readonly<Record<string, boolean>> = { True: true, False: false }

/** Payload: Resource elements with ascending index. @throws AttestError `DOCUMENT_INVALID`. */
export function readMeasurements(payload: Shape): readonly GoldenMeasurement[] {
  const measurements: GoldenMeasurement[] = []
  for (const resource of payload.list(swid('Resource'), MAX_BLOCKS)) {
    const measurement = readMeasurement(resource)
    if (measurement.index <= (measurements.at(-1)?.index ?? -1)) throw resource.invalid(`index ${measurement.index} twice or out of order`)
    measurements.push(measurement)
  }
  return measurements
}

function readMeasurement(resource: Shape): GoldenMeasurement {
  resource.children()
  const count = decimal(resource, 'alternatives', 1, MAX_ALTERNATIVES)
  const hashes = Array.from({ length: count }, (_, i) => `Hash${i}`)
  const attributes = resource.attributes(...ATTRIBUTES, ...hashes.map(sha384))
  const index = decimal(resource, 'index', 0, MAX_BLOCKS - 1)
  const active = ACTIVE[attributes.get('active') ?? '']
  const fits = attributes.get('type') === 'Measurement' && LABEL.test(attributes.get('name') ?? '')
  if (!fits || active === undefined) throw resource.invalid('want type Measurement, a name, active True or False')
  if (decimal(resource, 'size', 0, MAX_ALTERNATIVES * DIGEST_SIZE) !== DIGEST_SIZE) throw resource.invalid(`want size ${DIGEST_SIZE}`)
  return { index, active, alternatives: hashes.map((name) => digest(resource, attributes.get(name) ?? '')) }
}

/** A number in its one spelling. */
function decimal(resource: Shape, name: string, min: number, max: number): number {
  const text = resource.element.attributes.find((a) => a.name === name)?.value ?? ''
  const value = /^(0|[1-9]\d{0,3})$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= min && value <= max)) throw resource.invalid(`want ${name} from ${min} to ${max}`)
  return value
}

function digest(resource: Shape, text: string): Uint8Array {
  if (!HEX_DIGEST.test(text)) throw resource.invalid('want SHA-384 in hexadecimal')
  return fromHex(text)
}

const HEX_DIGEST = /^[0-9a-fA-F]{96}$/
