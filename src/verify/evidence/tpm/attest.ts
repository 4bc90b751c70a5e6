import { AttestError } from '../../errors.ts'
import { hashById, type TpmHash } from './algorithms.ts'
import { TpmReader } from './reader.ts'

/** PCRs of one bank that a quote is about. */
export interface PcrSelection {
  readonly hash: TpmHash
  /** Ascending. */
  readonly indices: readonly number[]
}

/** TPMS_ATTEST of type quote. Nothing about it is trusted yet. */
export interface TpmQuote {
  /** The signed bytes, without a TPM2B size in front. */
  readonly signed: Uint8Array
  /** Qualified Name of the key that signed. */
  readonly qualifiedSigner: Uint8Array
  /** Data that the caller of TPM2_Quote brought. */
  readonly extraData: Uint8Array
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: boolean
  readonly firmwareVersion: bigint
  readonly selections: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

/** TPM_GENERATED_VALUE and TPM_ST_ATTEST_QUOTE (TPM 2.0 Library part 2, tables 7 and 19). */
const MAGIC = 0xff544347
const QUOTE = 0x8018
/** Largest name: a hash id and a SHA-512 digest. TPM2B_DATA and digests are no longer either. */
const MAX_BUFFER = 66
const MAX_BANKS = 4
/** PC clients have 24 PCRs, so a selection has three bytes; none that is known has more than 32. */
const MAX_SELECT = 4
/** Largest input that is looked at. */
const MAX_SIZE = 1024

/** True for bytes that begin as what a TPM attests to, with or without a TPM2B size in front. */
export function looksLikeAttest(bytes: Uint8Array): boolean {
  return hasMagic(bytes, 0) || (hasMagic(bytes, 2) && sizeInFront(bytes) === bytes.length - 2)
}

/**
 * Reads a TPMS_ATTEST or TPM2B_ATTEST front to back. Magic and type come first: they are what keeps a restricted key from
 * signing a forgery (part 1, section 31.3).
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED` (no quote, unknown bank).
 * @see TPM 2.0 Library part 2, sections 10.12.12 (TPMS_ATTEST), 10.12.1 (TPMS_QUOTE_INFO), 10.9.7 (TPML_PCR_SELECTION).
 */
export function parseAttest(input: Uint8Array): TpmQuote {
  if (input.length > MAX_SIZE) throw new AttestError('EVIDENCE_TRAILING', `larger than ${MAX_SIZE} bytes`, { at: 'tpm.attest' })
  const signed = (!hasMagic(input, 0) && looksLikeAttest(input) ? input.subarray(2) : input).slice()
  const r = new TpmReader('tpm.attest', signed)
  if (r.u32() !== MAGIC) throw r.refuse('magic is not TPM_GENERATED_VALUE')
  const type = r.u16()
  if (type !== QUOTE) throw r.refuse(`attestation of type 0x${type.toString(16)}, want a quote (0x8018)`)
  const [qualifiedSigner, extraData] = [r.sized(MAX_BUFFER), r.sized(MAX_BUFFER)]
  const [clock, resetCount, restartCount, safe] = [r.u64(), r.u32(), r.u32(), r.u8()]
  if (safe > 1) throw r.refuse('safe is neither YES nor NO')
  const firmwareVersion = r.u64()
  const selections = readSelections(r)
  const pcrDigest = r.sized(MAX_BUFFER)
  r.end()
  return {
    signed,
    qualifiedSigner,
    extraData,
    clock,
    resetCount,
    restartCount,
    safe: safe === 1,
    firmwareVersion,
    selections,
    pcrDigest,
  }
}

/** TPML_PCR_SELECTION: bit n of byte m stands for PCR 8m + n. */
function readSelections(r: TpmReader): readonly PcrSelection[] {
  const count = r.u32()
  if (count > MAX_BANKS) throw r.refuse(`${count} PCR banks`)
  const selections: PcrSelection[] = []
  for (let i = 0; i < count; i++) {
    const id = r.u16()
    const hash = hashById(id)
    if (hash === null) throw r.refuse(`PCR bank 0x${id.toString(16)}`)
    if (selections.some((s) => s.hash === hash)) throw r.refuse(`PCR bank ${hash.name} appears twice`)
    const size = r.u8()
    if (size > MAX_SELECT) throw r.refuse(`PCR selection of ${size} bytes`)
    const bitmap = r.bytes(size)
    const indices = Array.from({ length: 8 * size }, (_, n) => n).filter((n) => ((bitmap[n >> 3] ?? 0) >> (n & 7)) % 2 === 1)
    selections.push({ hash, indices })
  }
  return selections
}

function hasMagic(bytes: Uint8Array, offset: number): boolean {
  return bytes.length >= offset + 4 && new DataView(bytes.buffer, bytes.byteOffset + offset, 4).getUint32(0) === MAGIC
}

function sizeInFront(bytes: Uint8Array): number {
  return 256 * (bytes[0] ?? 0) + (bytes[1] ?? 0)
}
