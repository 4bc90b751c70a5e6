import { equal, utf8 } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'

/** One entry of a TCG crypto-agile event log, as it stands there. */
export interface TcgEvent {
  /** Measurement register. In a CCEL 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. */
  readonly index: number
  readonly type: number
  /** Of the profile's algorithm. */
  readonly digest: Uint8Array
  readonly data: Uint8Array
}

/** Largest log. Firmware reserves 64 to 256 KiB. */
export const MAX_EVENT_LOG_SIZE: number = 1024 * 1024
const MAX_EVENTS = 4096
const MAX_DIGESTS = 8
const SHA1_SIZE = 20

/** What is read of a log: digests of one algorithm, for registers up to the highest one. */
export interface LogProfile {
  readonly name: string
  /** TPM_ALG_ID, and size of a digest. */
  readonly algorithm: number
  readonly digestSize: number
  readonly maxIndex: number
}

const CCEL: LogProfile = { name: 'SHA-384', algorithm: 12, digestSize: 48, maxIndex: 4 }

export const EV_NO_ACTION = 3
const SIGNATURE = utf8('Spec ID Event03\0')
const END = 0xffffffff

/** True for bytes that begin as a crypto-agile log does. */
export function looksLikeTcgLog(bytes: Uint8Array): boolean {
  return equal(bytes.subarray(32, 48), SIGNATURE)
}

/**
 * Reads a TCG crypto-agile log in a buffer that is filled up with FF or 00: a CCEL, unless another profile is named. The
 * header is not among the events.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, with the offset.
 * @see TCG PC Client Platform Firmware Profile 1.06, section 10.2; UEFI 2.10 section 38.4 (confidential computing).
 */
export function parseTcgLog(bytes: Uint8Array, profile: LogProfile = CCEL): readonly TcgEvent[] {
  const reader = new LogReader(bytes)
  const sizes = readHeader(reader, profile)
  return readEvents(reader, () => readEvent(reader, sizes, profile))
}

/**
 * Reads a log of the older form, which has SHA-1 digests alone and no header, with the same filler.
 * @param maxIndex - The highest register.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, with the offset.
 * @see TCG PC Client Platform Firmware Profile 1.06, section 10.2.1 (TCG_PCClientPCREvent).
 */
export function parseSha1Log(bytes: Uint8Array, maxIndex: number): readonly TcgEvent[] {
  const reader = new LogReader(bytes)
  return readEvents(reader, () => {
    const [index, type] = [reader.u32(), reader.u32()]
    if (index > maxIndex && !isPlatformNote(index, type)) throw reader.refuse(`measurement register ${index}`)
    return { index, type, digest: reader.bytes(SHA1_SIZE), data: reader.bytes(reader.u32()) }
  })
}

function readEvents(reader: LogReader, next: () => TcgEvent): readonly TcgEvent[] {
  const events: TcgEvent[] = []
  while (!reader.isAtEnd()) {
    if (events.length >= MAX_EVENTS) throw reader.refuse(`more than ${MAX_EVENTS} events`)
    events.push(next())
  }
  return events
}

/** The first entry has the older form: register, type, SHA-1, length; then what algorithms follow. */
function readHeader(reader: LogReader, { name, algorithm, digestSize }: LogProfile): ReadonlyMap<number, number> {
  reader.u32()
  if (reader.u32() !== EV_NO_ACTION) throw reader.refuse('log does not begin with its header')
  reader.bytes(SHA1_SIZE)
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
  if (sizes.get(algorithm) !== digestSize) throw reader.refuse(`log has no ${name} digests`)
  return sizes
}

function readEvent(reader: LogReader, sizes: ReadonlyMap<number, number>, profile: LogProfile): TcgEvent {
  const [index, type] = [reader.u32(), reader.u32()]
  if (index > profile.maxIndex && !isPlatformNote(index, type)) throw reader.refuse(`measurement register ${index}`)
  const count = reader.u32()
  if (count > MAX_DIGESTS) throw reader.refuse(`${count} digests`)
  const digests = new Map<number, Uint8Array>()
  for (let i = 0; i < count; i++) {
    const id = reader.u16()
    const size = sizes.get(id)
    if (size === undefined || digests.has(id)) throw reader.refuse(`digest algorithm ${id}`)
    digests.set(id, reader.bytes(size))
  }
  const digest = digests.get(profile.algorithm)
  if (digest === undefined) throw reader.refuse(`event without ${profile.name} digest`)
  return { index, type, digest, data: reader.bytes(reader.u32()) }
}

/** Notes about the platform stand at no register (PC Client Platform Firmware Profile 1.06, section 10.4.5). */
function isPlatformNote(index: number, type: number): boolean {
  return index === END && type === EV_NO_ACTION
}

/** Reads a log front to back and says where it stands when something is wrong. */
class LogReader {
  readonly #bytes: Uint8Array
  /** From here on there are zeros alone. Looked for once: looking at all that follows each event would take its square in time. */
  readonly #zerosFrom: number
  #pos = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes.slice()
    this.#zerosFrom = this.#bytes.findLastIndex((b) => b !== 0) + 1
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
    if (this.#pos >= this.#zerosFrom) return true
    const rest = this.#bytes.subarray(this.#pos)
    if (rest.length < 4) return false
    const view = new DataView(rest.buffer, rest.byteOffset, rest.length)
    if (view.getUint32(0, true) !== END || (rest.length >= 8 && isPlatformNote(END, view.getUint32(4, true)))) return false
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
