import { equal, isZero, utf8 } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'

/** One entry of a TCG crypto-agile event log, as it stands there. */
export interface TcgEvent {
  /** Measurement register of the CCEL: 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. */
  readonly index: number
  readonly type: number
  /** SHA-384. */
  readonly digest: Uint8Array
  readonly data: Uint8Array
}

/** Largest log. Firmware reserves 64 to 256 KiB. */
export const MAX_EVENT_LOG_SIZE: number = 1024 * 1024
const MAX_EVENTS = 4096
const MAX_DIGESTS = 8

const EV_NO_ACTION = 3
const SHA384 = 12
const SIGNATURE = utf8('Spec ID Event03\0')
const END = 0xffffffff
const MAX_INDEX = 4

/** True for bytes that begin as a crypto-agile log does. */
export function looksLikeTcgLog(bytes: Uint8Array): boolean {
  return equal(bytes.subarray(32, 48), SIGNATURE)
}

/**
 * Reads a CCEL: a TCG crypto-agile log with SHA-384 digests, in a buffer that is filled up with FF or 00. The header is not
 * among the events.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, with the offset.
 * @see TCG PC Client Platform Firmware Profile 1.06, section 10.2; UEFI 2.10 section 38.4 (confidential computing).
 */
export function parseTcgLog(bytes: Uint8Array): readonly TcgEvent[] {
  const reader = new LogReader(bytes)
  const sizes = readHeader(reader)
  const events: TcgEvent[] = []
  while (!reader.isAtEnd()) {
    if (events.length >= MAX_EVENTS) throw reader.refuse(`more than ${MAX_EVENTS} events`)
    events.push(readEvent(reader, sizes))
  }
  return events
}

/** The first entry has the older form: register, type, SHA-1, length; then what algorithms follow. */
function readHeader(reader: LogReader): ReadonlyMap<number, number> {
  reader.u32()
  if (reader.u32() !== EV_NO_ACTION) throw reader.refuse('log does not begin with its header')
  reader.bytes(20)
  const event = reader.u32()
  const end = reader.position + event
  if (!equal(reader.bytes(16), SIGNATURE)) throw reader.refuse('log is not crypto-agile')
  reader.bytes(8)
  const count = reader.u32()
  if (count === 0 || count > MAX_DIGESTS) throw reader.refuse(`${count} digest algorithms`)
  const sizes = new Map<number, number>()
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16()
    if (sizes.has(algorithm)) throw reader.refuse(`digest algorithm ${algorithm} appears twice`)
    sizes.set(algorithm, reader.u16())
  }
  reader.bytes(reader.u8())
  if (reader.position !== end) throw reader.refuse('header has another length')
  if (sizes.get(SHA384) !== 48) throw reader.refuse('log has no SHA-384 digests')
  return sizes
}

function readEvent(reader: LogReader, sizes: ReadonlyMap<number, number>): TcgEvent {
  const [index, type] = [reader.u32(), reader.u32()]
  if (index > MAX_INDEX) throw reader.refuse(`measurement register ${index}`)
  const count = reader.u32()
  if (count > MAX_DIGESTS) throw reader.refuse(`${count} digests`)
  const digests = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const algorithm = reader.u16()
    const size = sizes.get(algorithm)
    if (size === undefined || digests.has(algorithm)) throw reader.refuse(`digest algorithm ${algorithm}`)
    digests.set(algorithm, reader.bytes(size))
  }
  const digest = digests.get(SHA384)
  if (digest === undefined) throw reader.refuse('event without SHA-384 digest')
  return { index, type, digest, data: reader.bytes(reader.u32()) }
}

/** Reads a log front to back and says where it stands when something is wrong. */
class LogReader {
  readonly #bytes: Uint8Array
  #pos = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes.slice()
  }

  get position(): number {
    return this.#pos
  }

  bytes(size: number): Uint8Array {
    const end = this.#pos + size
    if (end > this.#bytes.length)
      throw new AttestError('EVIDENCE_TRUNCATED', `field of ${size} bytes passes the end`, { at: this.#place() })
    const out = this.#bytes.subarray(this.#pos, end)
    this.#pos = end
    return out
  }

  u8(): number {
    return this.bytes(1)[0] ?? 0
  }

  u16(): number {
    return this.u8() + 256 * this.u8()
  }

  u32(): number {
    return this.u16() + 65536 * this.u16()
  }

  /** At the end of the buffer, or where nothing but filler follows. */
  isAtEnd(): boolean {
    const rest = this.#bytes.subarray(this.#pos)
    if (rest.length === 0) return true
    if (isZero(rest)) return true
    if (rest.length < 4 || new DataView(rest.buffer, rest.byteOffset).getUint32(0, true) !== END) return false
    if (rest.some((b) => b !== 0xff)) throw new AttestError('EVIDENCE_TRAILING', 'bytes after the end of the log', { at: this.#place() })
    return true
  }

  refuse(message: string): AttestError {
    return new AttestError('EVIDENCE_UNSUPPORTED', message, { at: this.#place() })
  }

  #place(): string {
    return `event-log@0x${this.#pos.toString(16)}`
  }
}
