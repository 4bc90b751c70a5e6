import {
  createDatasetHeader,
  encodeFileHead,
  type KeyedHeader,
  openStream,
  type RandomBytes,
  readSealedFile,
  type Secret,
  sealStream,
} from '../../../src/seal/index.ts'
import { concat } from '../../../src/verify/bytes/bytes.ts'
import type { DatasetHeader } from '../../../src/verify/documents/header.ts'
import { AttestError, type ErrorCode } from '../../../src/verify/errors.ts'
import { testBytes } from '../../support/keys.ts'

/** Randomness that is the same in every run. */
export function fixedRandom(label: string): RandomBytes {
  let draws = 0
  return (size) => testBytes(`${label} draw ${draws++}`, size)
}

export function chunked(bytes: Uint8Array, size: number): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
  return chunks
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concat(...parts)
}

export interface Example extends KeyedHeader<DatasetHeader> {
  readonly plaintext: Uint8Array
  /** The encrypted stream alone. */
  readonly stream: Uint8Array
  /** The whole file. */
  readonly file: Uint8Array
}

export const LEGAL: DatasetHeader['legal'] = {
  purposes: ['https://w3id.org/dpv#ResearchAndDevelopment'],
  legalBasis: 'https://w3id.org/dpv/legal/eu/gdpr#A9-2-j',
  categories: ['https://w3id.org/dpv/pd#HealthRecord'],
  jurisdictions: ['DE', 'FR'],
  retention: 'P5Y',
  agreement: 'DPA-2026-017',
}

/** A dataset of `size` bytes, sealed with fixed keys. */
export async function sealedExample(size: number, label = 'example'): Promise<Example> {
  const random = fixedRandom(label)
  const owner = Buffer.from(testBytes('owner', 32)).toString('base64url')
  const keyed = await createDatasetHeader({ content: 'file', plaintextSize: size, owner, legal: LEGAL, random })
  const plaintext = testBytes(label, size)
  const stream = await collect(sealStream([plaintext], { header: keyed.bytes, dek: keyed.dek, random }))
  return { ...keyed, plaintext, stream, file: concat(encodeFileHead(keyed.bytes), stream) }
}

export interface Attempt {
  readonly code: ErrorCode | 'accepted'
  /** Plaintext that was given out, whatever happened afterwards. */
  readonly plaintext: Uint8Array
}

/** Opens a sealed file and tells what came out before it failed, if it did. */
export async function attemptFile(file: Uint8Array, dek: Secret): Promise<Attempt> {
  try {
    const { headerBytes, stream } = await readSealedFile([file])
    return await attemptStream(stream, headerBytes, dek)
  } catch (error) {
    return { code: codeOf(error), plaintext: new Uint8Array(0) }
  }
}

export async function attemptStream(
  stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  header: Uint8Array,
  dek: Secret,
): Promise<Attempt> {
  const given: Uint8Array[] = []
  try {
    for await (const chunk of openStream(stream, { header, dek })) given.push(chunk)
    return { code: 'accepted', plaintext: concat(...given) }
  } catch (error) {
    return { code: codeOf(error), plaintext: concat(...given) }
  }
}

function codeOf(error: unknown): ErrorCode {
  if (error instanceof AttestError && error.code !== 'INTERNAL') return error.code
  throw error
}

export function flipped(bytes: Uint8Array, at: number, mask = 1): Uint8Array {
  const out = bytes.slice()
  out[at] = (out[at] ?? 0) ^ mask
  return out
}
