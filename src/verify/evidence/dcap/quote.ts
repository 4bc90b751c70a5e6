import { equal, fromHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import {
  BODY_TYPE,
  CERTIFICATION,
  ECDSA_P256,
  ENCLAVE_REPORT_SIZE,
  HEADER_SIZE,
  INTEL_QE_VENDOR,
  KEY_SIZE,
  MAX_QUOTE_SIZE,
  QUOTE_VERSIONS,
  SIGNATURE_SIZE,
  TD_REPORT_10_SIZE,
  TD_REPORT_15_SIZE,
  TEE_TYPE,
  type Tee,
} from './layout.ts'

/** Which report the quote carries. */
export type BodyKind = keyof typeof BODY_TYPE

/** The 48 bytes in front of every quote. The SVNs are hints: the QE report and the PCK certificate are what counts. */
export interface QuoteHeader {
  readonly version: number
  readonly attestationKeyType: number
  readonly teeType: number
  readonly qeSvn: number
  readonly pceSvn: number
  readonly qeVendorId: Uint8Array
  readonly userData: Uint8Array
}

/** Where the parts of a quote begin and end. */
interface Cuts {
  readonly version: number
  readonly kind: BodyKind
  readonly bodyStart: number
  /** End of what is signed. */
  readonly bodyEnd: number
  readonly signatureStart: number
  readonly qeReportStart: number
  readonly authStart: number
  readonly authEnd: number
  readonly certificationType: number
  readonly certificationStart: number
  readonly end: number
}

/**
 * A quote whose lengths fit each other to the byte. Nothing is verified. Its parts are views of one private copy, made when
 * they are asked for: a gateway reads few of them, and many quotes.
 */
export class Quote {
  readonly #bytes: Uint8Array
  readonly #cuts: Cuts

  constructor(bytes: Uint8Array, cuts: Cuts) {
    this.#bytes = bytes
    this.#cuts = cuts
  }

  get version(): number {
    return this.#cuts.version
  }

  get tee(): Tee {
    return this.#cuts.kind === 'sgx' ? 'sgx' : 'tdx'
  }

  get header(): QuoteHeader {
    const view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, HEADER_SIZE)
    return {
      version: view.getUint16(0, true),
      attestationKeyType: view.getUint16(2, true),
      teeType: view.getUint32(4, true),
      qeSvn: view.getUint16(8, true),
      pceSvn: view.getUint16(10, true),
      qeVendorId: this.#bytes.subarray(12, 28),
      userData: this.#bytes.subarray(28, HEADER_SIZE),
    }
  }

  get bodyKind(): BodyKind {
    return this.#cuts.kind
  }

  /** SGX enclave report or TD report. */
  get body(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.bodyStart, this.#cuts.bodyEnd)
  }

  /** What the attestation key signs: header and body, in v5 with the body's type and size. */
  get signed(): Uint8Array {
    return this.#bytes.subarray(0, this.#cuts.bodyEnd)
  }

  get signature(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.signatureStart, this.#cuts.signatureStart + SIGNATURE_SIZE)
  }

  /** From the attestation key to the end: the same in every quote of one quoting enclave until it makes a new key. */
  get qeSection(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.signatureStart + SIGNATURE_SIZE, this.#cuts.end)
  }

  /** x‖y. */
  get attestationKey(): Uint8Array {
    const start = this.#cuts.signatureStart + SIGNATURE_SIZE
    return this.#bytes.subarray(start, start + KEY_SIZE)
  }

  get qeReport(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.qeReportStart, this.#cuts.qeReportStart + ENCLAVE_REPORT_SIZE)
  }

  get qeReportSignature(): Uint8Array {
    const start = this.#cuts.qeReportStart + ENCLAVE_REPORT_SIZE
    return this.#bytes.subarray(start, start + SIGNATURE_SIZE)
  }

  get qeAuthData(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.authStart, this.#cuts.authEnd)
  }

  get certificationType(): number {
    return this.#cuts.certificationType
  }

  get certificationData(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.certificationStart, this.#cuts.end)
  }

  get sizeBytes(): number {
    return this.#cuts.end
  }

  /** Bytes after the quote. Platforms hand out zero-padded buffers; anything else has no place there. */
  get padding(): Uint8Array {
    return this.#bytes.subarray(this.#cuts.end)
  }
}

const BODY_SIZE: Readonly<Record<BodyKind, number>> = { sgx: ENCLAVE_REPORT_SIZE, td10: TD_REPORT_10_SIZE, td15: TD_REPORT_15_SIZE }
const VENDOR = fromHex(INTEL_QE_VENDOR)

/**
 * Cuts a quote of version 3, 4 or 5 into its parts. Lengths inside of it must fit each other to the byte.
 * @param input - Raw bytes, at most 16 KiB, padding included.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_RESERVED_NONZERO`, `EVIDENCE_UNSUPPORTED`.
 * @see QVL Quote.cpp `Quote::parse` and `Quote::validate`.
 */
export function parseQuote(input: Uint8Array): Quote {
  if (input.length > MAX_QUOTE_SIZE) throw new AttestError('EVIDENCE_TRAILING', `larger than ${MAX_QUOTE_SIZE} bytes`, { at: 'quote' })
  const bytes = input.slice()
  const cut = new Cutter(bytes)
  const version = cut.u16('version')
  const tee = readHeader(cut, version, bytes)
  const kind = version === 5 ? readBodyKind(cut, tee) : tee === 'tdx' ? 'td10' : 'sgx'
  const bodyStart = cut.skip(BODY_SIZE[kind], 'body')
  const bodyEnd = cut.position

  const size = cut.u32('signature data length')
  cut.limitTo(size, 'signature data')
  const signatureStart = cut.skip(SIGNATURE_SIZE, 'signature')
  cut.skip(KEY_SIZE, 'attestation key')
  if (version > 3) openQeReportData(cut)
  const qeReportStart = cut.skip(ENCLAVE_REPORT_SIZE, 'QE report')
  cut.skip(SIGNATURE_SIZE, 'QE report signature')
  const authSize = cut.u16('QE authentication data length')
  const authStart = cut.skip(authSize, 'QE authentication data')
  const certificationType = cut.u16('certification data type')
  if (certificationType < CERTIFICATION.ppidPlain || certificationType > CERTIFICATION.pckChain) {
    throw cut.unsupported(`certification data type ${certificationType}`)
  }
  const certificationSize = cut.u32('certification data length')
  const certificationStart = cut.skip(certificationSize, 'certification data')
  const end = cut.end()
  return new Quote(bytes, {
    version,
    kind,
    bodyStart,
    bodyEnd,
    signatureStart,
    qeReportStart,
    authStart,
    authEnd: authStart + authSize,
    certificationType,
    certificationStart,
    end,
  })
}

/** By the first words: a version and key type that DCAP quotes have, or Intel's quoting enclave. Null for anything else. */
export function teeOfQuote(bytes: Uint8Array): Tee | null {
  if (bytes.length < HEADER_SIZE) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE)
  const isQuote = QUOTE_VERSIONS.includes(view.getUint16(0, true)) && view.getUint16(2, true) === ECDSA_P256
  if (!isQuote && !equal(bytes.subarray(12, 28), VENDOR)) return null
  return view.getUint32(4, true) === TEE_TYPE.tdx ? 'tdx' : 'sgx'
}

function readHeader(cut: Cutter, version: number, bytes: Uint8Array): Tee {
  if (!QUOTE_VERSIONS.includes(version)) throw cut.unsupported(`quote version ${version}`)
  const keyType = cut.u16('attestation key type')
  if (keyType !== ECDSA_P256) throw cut.unsupported(`attestation key type ${keyType}, want 2 (ECDSA P-256)`)
  const teeType = cut.u32('TEE type')
  if (version === 3 && teeType !== 0)
    throw new AttestError('EVIDENCE_RESERVED_NONZERO', 'reserved bytes must be zero', { at: 'quote@0x004' })
  if (teeType !== TEE_TYPE.sgx && teeType !== TEE_TYPE.tdx) throw cut.unsupported(`TEE type 0x${teeType.toString(16)}`, 4)
  cut.skip(4, 'QE SVN and PCE SVN')
  const vendor = cut.skip(16, 'QE vendor id')
  if (!equal(bytes.subarray(vendor, vendor + 16), VENDOR)) throw cut.unsupported('quoting enclave of another vendor', 16)
  cut.skip(20, 'user data')
  return teeType === TEE_TYPE.tdx ? 'tdx' : 'sgx'
}

/** v5: the body says its type and size; both must be those of one report of this TEE. */
function readBodyKind(cut: Cutter, tee: Tee): BodyKind {
  const type = cut.u16('body type')
  const kind = (Object.keys(BODY_TYPE) as BodyKind[]).find((k) => BODY_TYPE[k] === type)
  if (kind === undefined) throw cut.unsupported(`body type ${type}`)
  if ((kind === 'sgx') !== (tee === 'sgx')) throw cut.unsupported(`body type ${type} in a quote of ${tee.toUpperCase()}`)
  const size = cut.u32('body size')
  if (size !== BODY_SIZE[kind]) throw cut.unsupported(`body size ${size}, want ${BODY_SIZE[kind]}`, 4)
  return kind
}

/** v4 and v5 wrap the QE report and what certifies it into certification data of type 6. */
function openQeReportData(cut: Cutter): void {
  const type = cut.u16('certification data type')
  if (type !== CERTIFICATION.qeReport) throw cut.unsupported(`certification data type ${type}, want 6`)
  const size = cut.u32('QE certification data length')
  if (size !== cut.left) throw cut.misfit(`QE certification data of ${size} bytes, ${cut.left} left`, size)
}

/** Walks over the parts of a quote, front to back, and says where it stands when something is wrong. */
class Cutter {
  readonly #view: DataView
  #end: number
  #position = 0

  constructor(input: Uint8Array) {
    this.#view = new DataView(input.buffer, input.byteOffset, input.byteLength)
    this.#end = input.length
  }

  get position(): number {
    return this.#position
  }

  get left(): number {
    return this.#end - this.#position
  }

  /** @returns Where the part begins. */
  skip(size: number, what: string): number {
    if (size > this.left) throw this.misfit(`${what} of ${size} bytes, ${this.left} left`, size)
    const start = this.#position
    this.#position += size
    return start
  }

  u16(what: string): number {
    return this.#view.getUint16(this.skip(2, what), true)
  }

  u32(what: string): number {
    return this.#view.getUint32(this.skip(4, what), true)
  }

  /** From here on there are only `size` bytes. */
  limitTo(size: number, what: string): void {
    if (size > this.left) throw this.misfit(`${what} of ${size} bytes, ${this.left} left`, size)
    this.#end = this.#position + size
  }

  end(): number {
    if (this.left > 0) throw this.misfit(`${this.left} bytes after the last part`, 0)
    return this.#position
  }

  /** A length that does not fit what is there: too long, or not long enough. */
  misfit(message: string, size: number): AttestError {
    return new AttestError(size > this.left ? 'EVIDENCE_TRUNCATED' : 'EVIDENCE_TRAILING', message, { at: this.#place(0) })
  }

  /** @param back - How many bytes before the cursor the offending value begins. */
  unsupported(message: string, back = 2): AttestError {
    return new AttestError('EVIDENCE_UNSUPPORTED', message, { at: this.#place(back) })
  }

  #place(back: number): string {
    return `quote@0x${(this.#position - back).toString(16).padStart(3, '0')}`
  }
}
