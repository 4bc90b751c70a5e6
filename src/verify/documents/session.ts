import * as z from 'zod'
import { crypto } from '#crypto'
import { concat, fromBase64Url, toBase64Url, u32be, utf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { encodeCanonical, type Json } from '../formats/canonical-json.ts'
import { blobField, bytesField, countField, encodeDocument, parseDocument, sha256Field } from './fields.ts'

/** JWS `typ` of a session record, signed by the job key. */
export const SESSION_TYP = 'sealgate-session-v1+jws'

/** Exchanges of one record. */
export const MAX_RECORD_EXCHANGES = 512
/** Records of one session file. */
const MAX_FILE_RECORDS = 64
/** Largest session file, in bytes. */
export const MAX_SESSION_FILE_SIZE: number = 32 * 1024 * 1024
/** Sizes are told as powers of two, at most this one. */
const MAX_SIZE_BITS = 53

/** One request and its answer: commitments and rounded numbers, nothing that tells a content. */
export interface Exchange {
  /** Counts the requests of a session from 0, in the order in which they came. Records list them in the order in which they ended. */
  readonly n: number
  /** See {@link exchangeCommitment}. */
  readonly request: string
  readonly response: string
  /** Bits of the number of body bytes: b says that there are less than 2^b, and 2^(b-1) at least; 0 says none. */
  readonly requestBits: number
  readonly responseBits: number
  /** First digit of the HTTP status; 0 where no answer came. */
  readonly status: number
  /** False: it was cut off, and the commitments are over what had passed until then. */
  readonly complete: boolean
}

/** Whose exchanges these are. */
export interface SessionSubject {
  /** Job digest. */
  readonly job: string
  /** Random, 16 bytes. */
  readonly session: string
  /** SHA-256 of the SPKI of the client's TLS key. */
  readonly client: string
}

/** A stretch of a session's hash chain, from `before` to `head`. */
export interface SessionRecord extends SessionSubject {
  readonly v: 1
  /** How many exchanges stand before this stretch. */
  readonly first: number
  readonly before: string
  readonly exchanges: readonly Exchange[]
  readonly head: string
}

/** What a client keeps of a session. The secret opens the commitments, so the file is as private as the exchanges. */
export interface SessionFile {
  readonly v: 1
  readonly type: 'sealgate/session-file/v1'
  /** Flattened JWS of each record, base64url, in order. */
  readonly records: readonly string[]
  readonly secret: string
}

const bits = countField(MAX_SIZE_BITS)
const exchangeSchema: z.ZodType<Exchange> = z.strictObject({
  n: countField(2 ** 32 - 1),
  request: sha256Field,
  response: sha256Field,
  requestBits: bits,
  responseBits: bits,
  status: countField(5),
  complete: z.boolean(),
})

const recordSchema: z.ZodType<SessionRecord> = z.strictObject({
  v: z.literal(1),
  job: sha256Field,
  session: bytesField(16),
  client: sha256Field,
  first: countField(2 ** 32 - 1),
  before: sha256Field,
  exchanges: z.array(exchangeSchema).max(MAX_RECORD_EXCHANGES),
  head: sha256Field,
})

const fileSchema: z.ZodType<SessionFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/session-file/v1'),
  records: z
    .array(blobField(512 * 1024))
    .min(1)
    .max(MAX_FILE_RECORDS),
  secret: bytesField(32),
})

export function parseSessionRecord(bytes: Uint8Array): SessionRecord {
  return parseDocument('session', recordSchema, bytes)
}

export function encodeSessionRecord(record: SessionRecord): Uint8Array {
  return encodeDocument('session', recordSchema, record)
}

export function parseSessionFile(bytes: Uint8Array): SessionFile {
  return parseDocument('session-file', fileSchema, bytes, MAX_SESSION_FILE_SIZE)
}

export function encodeSessionFile(file: SessionFile): Uint8Array {
  return encodeDocument('session-file', fileSchema, file)
}

const sha256 = async (...parts: readonly Uint8Array[]): Promise<string> => toBase64Url(await crypto.digest('SHA-256', concat(...parts)))

/** Where the chain of a session begins. */
export function sessionStart({ job, session, client }: SessionSubject): Promise<string> {
  return sha256(utf8('sealgate/session/v1'), encodeCanonical({ client, job, session }))
}

/** The chain's head after one more exchange: SHA-256(head ‖ SHA-256(canonical exchange)). */
export async function nextHead(head: string, exchange: Exchange): Promise<string> {
  const link = await crypto.digest('SHA-256', encodeCanonical({ ...exchange } satisfies Json))
  return sha256(fromBase64Url(head), link)
}

/**
 * Commits to a digest without giving a guess at its content away: SHA-256("sealgate/exchange/v1" ‖ salt ‖ digest) with
 * salt = HMAC-SHA256(secret, "request" or "response" ‖ u32be(n)).
 * @param secret - 32 bytes that enclave and client of the session know.
 */
export async function exchangeCommitment(secret: Uint8Array, side: 'request' | 'response', n: number, digest: Uint8Array): Promise<string> {
  const salt = await crypto.hmacSha256(secret, concat(utf8(side), u32be(n)))
  return sha256(utf8('sealgate/exchange/v1'), salt, digest)
}

/** See {@link Exchange.requestBits}. */
export function sizeBits(bytes: number): number {
  return bytes === 0 ? 0 : Math.min(MAX_SIZE_BITS, bytes.toString(2).length)
}

/**
 * Walks the chain of records that follow each other.
 * @throws AttestError `RECEIPT_INCONSISTENT` where they do not: another session, a gap, a head that its exchanges do not give.
 */
export async function verifySessionChain(records: readonly SessionRecord[]): Promise<void> {
  const [first] = records
  if (first === undefined) throw broken('no record')
  let [head, count] = [first.before, first.first]
  if (count === 0 && head !== (await sessionStart(first))) throw broken('the chain does not begin where its session does')
  const seen = new Set<number>()
  for (const record of records) {
    const same = record.job === first.job && record.session === first.session && record.client === first.client
    if (!same) throw broken('records of different sessions')
    if (record.first !== count || record.before !== head) throw broken('a record does not follow the one before')
    for (const exchange of record.exchanges) {
      if (seen.has(exchange.n)) throw broken(`exchange ${exchange.n} stands there twice`)
      seen.add(exchange.n)
      head = await nextHead(head, exchange)
    }
    count += record.exchanges.length
    if (record.head !== head) throw broken('a head is not what its exchanges give')
  }
}

function broken(message: string): AttestError {
  return new AttestError('RECEIPT_INCONSISTENT', message, { at: 'session' })
}
