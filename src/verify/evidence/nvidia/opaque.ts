import { isZero } from '../../bytes/bytes.ts'
import { FieldReader } from '../../bytes/field-reader.ts'
import { AttestError } from '../../errors.ts'
import { MODES, type Mode, OPAQUE, type OpaqueName, STATUS } from './layout.ts'

const AT = 'nvidia.opaque'
const HEADER_SIZE = 4
const NAMES: ReadonlyMap<number, OpaqueName> = new Map(Object.entries(OPAQUE).map(([name, type]) => [type, name as OpaqueName]))

/** Opaque fields of a report: type and value, in the order of the report, no type twice. */
export class OpaqueData {
  readonly fields: ReadonlyMap<number, Uint8Array>

  /**
   * @param input - OpaqueData: a row of type (u16), size (u16), value.
   * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_UNSUPPORTED` (a type twice).
   */
  constructor(input: Uint8Array) {
    const fields = new Map<number, Uint8Array>()
    const reader = new FieldReader(AT, input, input.length)
    while (input.length - reader.cursor >= HEADER_SIZE) {
      const [type, size] = [reader.u16le(), reader.u16le()]
      if (fields.has(type)) throw new AttestError('EVIDENCE_UNSUPPORTED', `opaque field ${type} appears twice`, { at: reader.place() })
      fields.set(type, reader.bytes(size))
    }
    if (reader.cursor !== input.length) throw new AttestError('EVIDENCE_TRUNCATED', 'opaque field is cut off', { at: reader.place() })
    this.fields = fields
  }

  has(name: OpaqueName): boolean {
    return this.fields.has(OPAQUE[name])
  }

  /** Types that nobody here knows. Kept, never trusted. */
  get unknownTypes(): readonly number[] {
    return [...this.fields.keys()].filter((type) => !NAMES.has(type))
  }

  /** @throws AttestError `EVIDENCE_UNSUPPORTED` unless it is there with exactly this size. */
  bytes(name: OpaqueName, size: number): Uint8Array {
    const value = this.fields.get(OPAQUE[name])
    if (value?.length !== size) throw unsupported(name, `want ${size} bytes, got ${value?.length ?? 'none'}`)
    return value
  }

  optionalBytes(name: OpaqueName, size: number): Uint8Array | null {
    return this.has(name) ? this.bytes(name, size) : null
  }

  /** ASCII up to the first zero byte, zeros after it. Such a text becomes part of a manifest's name, so few characters are let in. */
  text(name: OpaqueName): string {
    const value = this.fields.get(OPAQUE[name])
    const end = value?.indexOf(0) ?? -1
    const content = end < 0 ? value : value?.subarray(0, end)
    const text = content === undefined ? '' : String.fromCharCode(...content.subarray(0, MAX_TEXT + 1))
    const clean = TEXT.test(text) && (end < 0 || isZero(value?.subarray(end) ?? new Uint8Array()))
    if (!clean) throw unsupported(name, 'want letters, digits, dots and dashes')
    return text
  }

  optionalText(name: OpaqueName): string | null {
    return this.has(name) ? this.text(name) : null
  }

  u16(name: OpaqueName): number | null {
    const value = this.optionalBytes(name, 2)
    return value === null ? null : (value[0] ?? 0) + 256 * (value[1] ?? 0)
  }

  /** Null: the report does not say. @throws AttestError `EVIDENCE_UNSUPPORTED` for a byte that is neither yes nor no. */
  status(name: 'nvdec0Status' | 'protectedPcieStatus'): keyof typeof STATUS | null {
    const value = this.optionalBytes(name, 1)
    if (value === null) return null
    if (value[0] === STATUS.enabled) return 'enabled'
    if (value[0] === STATUS.disabled) return 'disabled'
    throw unsupported(name, 'want aa or 55')
  }

  /** FEATURE_FLAG; older drivers only say whether protected PCIe is on. */
  mode(): Mode {
    const flag = this.u16('featureFlag')
    const isProtected = this.status('protectedPcieStatus') === 'enabled'
    if (flag === null) return isProtected ? 'PPCIE' : 'SPT'
    const mode = MODES[flag]
    if (mode === undefined) throw unsupported('featureFlag', `${flag} has no meaning`)
    if (isProtected && mode !== 'PPCIE') throw unsupported('featureFlag', `${mode}, but protected PCIe is on`)
    return mode
  }
}

const MAX_TEXT = 32
const TEXT = /^[A-Za-z0-9._-]{0,32}$/

/** Name of an opaque field's type, or null. */
export function opaqueName(type: number): OpaqueName | null {
  return NAMES.get(type) ?? null
}

function unsupported(name: OpaqueName, message: string): AttestError {
  return new AttestError('EVIDENCE_UNSUPPORTED', message, { at: `${AT}.${name}` })
}
