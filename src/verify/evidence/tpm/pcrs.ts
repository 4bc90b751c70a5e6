import { crypto } from '#crypto'
import { fromHex, fromUtf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { isJsonObject, type JsonValue, parseStrictJson } from '../dcap/json.ts'
import { hashBySize, type TpmHash } from './algorithms.ts'
import type { PcrSelection } from './attest.ts'

/** Values of one bank, by index. */
export interface PcrBank {
  readonly hash: TpmHash
  readonly values: ReadonlyMap<number, Uint8Array>
}

const MAX_PCRS = 32
const MAX_SIZE = 16 * 1024

/** True for text that begins as PCR values do: a list or an object of hexadecimal digests. */
export function looksLikePcrs(text: string): boolean {
  return /^\s*(?:\[\s*|\{\s*"\d{1,2}"\s*:\s*)"[0-9a-fA-F]{40,128}"/.test(text)
}

/**
 * Reads PCR values as JSON: a list of hexadecimal digests, the first of PCR 0, or an object of them by index. All are of one
 * bank, which their size names.
 * @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`, `ENCODING_INVALID`.
 */
export function parsePcrs(input: Uint8Array): PcrBank {
  const at = 'tpm.pcrs'
  if (input.length > MAX_SIZE) throw new AttestError('DOCUMENT_INVALID', `larger than ${MAX_SIZE} bytes`, { at })
  const entries = entriesOf(parseStrictJson(fromUtf8(input), at))
  if (entries === null || entries.length === 0 || entries.length > MAX_PCRS)
    throw new AttestError('DOCUMENT_INVALID', `want a list or an object of 1 to ${MAX_PCRS} PCR values`, { at })
  const values = new Map(entries.map(([index, value]) => [readIndex(index, at), readValue(value, `${at}.${index}`)]))
  const sizes = new Set([...values.values()].map((v) => v.length))
  const [size = 0] = sizes
  const hash = hashBySize(size)
  if (sizes.size !== 1 || hash === null) throw new AttestError('DOCUMENT_INVALID', 'values are not digests of one bank', { at })
  return { hash, values }
}

function entriesOf(json: JsonValue): readonly (readonly [string, JsonValue])[] | null {
  if (Array.isArray(json)) return (json as readonly JsonValue[]).map((value, i) => [`${i}`, value])
  return isJsonObject(json) ? [...json.members] : null
}

function readIndex(text: string, at: string): number {
  if (!/^(?:0|[1-9]\d?)$/.test(text) || Number(text) >= MAX_PCRS)
    throw new AttestError('DOCUMENT_INVALID', `PCR index below ${MAX_PCRS} is due`, { at })
  return Number(text)
}

function readValue(value: JsonValue, at: string): Uint8Array {
  if (typeof value !== 'string' || value.length > 128) throw new AttestError('DOCUMENT_INVALID', 'want a hexadecimal digest', { at })
  return fromHex(value)
}

/**
 * Digest of the selected PCRs, in the order of the selections and ascending in each: with the hash of the signing scheme, not
 * that of the bank (TPM 2.0 Library part 3, TPM2_Quote; part 1, section 17.6.1).
 * @returns Null when a selected value is not there.
 */
export async function digestPcrs(
  hash: TpmHash,
  selections: readonly PcrSelection[],
  banks: readonly PcrBank[],
): Promise<Uint8Array | null> {
  const parts: Uint8Array[] = []
  for (const { hash: bankHash, indices } of selections) {
    const bank = banks.find((b) => b.hash === bankHash)
    for (const index of indices) {
      const value = bank?.values.get(index)
      if (value === undefined) return null
      parts.push(value)
    }
  }
  return crypto.digestParts(hash.digest, parts)
}
