import { createHash } from 'node:crypto'
import { z } from 'zod'
import { concat, equal, fromBase64Url, toBase64Url } from '../../../verify/bytes/bytes.ts'
import { blobField, instantField } from '../../../verify/documents/fields.ts'
import { AttestError } from '../../../verify/errors.ts'
import {
  assertWrappable,
  boundContext,
  type Destruction,
  doesNotOpen,
  type Kek,
  type KekProvider,
  kekDestroyed,
  type WrapContext,
  wrapAad,
} from '../kek.ts'
import { type KmsHttp, KmsRefusal } from './http-client.ts'

/** Name of a key as the KMS gives it: an ARN, a resource path, a UUID. */
const keyIdField: z.ZodType<string> = z.string().regex(/^[\x21-\x7e]{1,512}$/)
const created = z.strictObject({ keyId: keyIdField })
const encrypted = z.strictObject({ ciphertext: blobField(8192) })
const decrypted = z.strictObject({ plaintext: blobField(512) })
const destroyed = z.strictObject({ destroyed: z.literal(true) }).or(z.strictObject({ scheduledFor: instantField }))

const DIGEST_SIZE = 32

/** Key-encryption keys in a KMS that speaks the protocol of docs/formats/kms-protocol.md. It sees what it wraps. */
export class KmsKeks implements KekProvider {
  readonly #http: KmsHttp

  constructor(http: KmsHttp) {
    this.#http = http
  }

  async create(epoch: number): Promise<Kek> {
    // Not asked again after a failure: the first attempt may have made a key that somebody pays for.
    const { keyId } = read('create-key', created, await this.#http.post('create-key', { epoch }, false))
    return new KmsKek(this.#http, keyId, epoch)
  }

  open(id: string, epoch: number): Promise<Kek> {
    return Promise.resolve(new KmsKek(this.#http, id, epoch))
  }

  close(): Promise<void> {
    this.#http.close()
    return Promise.resolve()
  }
}

class KmsKek implements Kek {
  readonly id: string
  readonly epoch: number
  readonly #http: KmsHttp

  constructor(http: KmsHttp, id: string, epoch: number) {
    this.#http = http
    this.id = id
    this.epoch = epoch
  }

  async wrap(plaintext: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    assertWrappable(plaintext)
    const bound = concat(this.#digest(context), plaintext)
    try {
      const answer = await this.#ask('encrypt', encrypted, { plaintext: toBase64Url(bound), context: boundContext(this, context) })
      return fromBase64Url(answer.ciphertext)
    } finally {
      bound.fill(0)
    }
  }

  async unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    if (wrapped.length === 0) throw doesNotOpen(undefined)
    const answer = await this.#ask('decrypt', decrypted, { ciphertext: toBase64Url(wrapped), context: boundContext(this, context) })
    const bound = fromBase64Url(answer.plaintext)
    try {
      // The KMS holds the context too; one that forgets it must not open the key of another row for us.
      if (bound.length <= DIGEST_SIZE || !equal(bound.subarray(0, DIGEST_SIZE), this.#digest(context))) throw doesNotOpen(undefined)
      return bound.slice(DIGEST_SIZE)
    } finally {
      bound.fill(0)
    }
  }

  async destroy(): Promise<Destruction> {
    try {
      const answer = await this.#ask('destroy-key', destroyed, {})
      return 'scheduledFor' in answer ? { kind: 'scheduled', for: answer.scheduledFor } : { kind: 'done' }
    } catch (error) {
      if (error instanceof AttestError && error.code === 'KEK_DESTROYED') return { kind: 'done' }
      throw error
    }
  }

  async #ask<T>(operation: string, answer: z.ZodType<T>, question: object): Promise<T> {
    try {
      return read(operation, answer, await this.#http.post(operation, { keyId: this.id, ...question }, true))
    } catch (error) {
      if (!(error instanceof KmsRefusal)) throw error
      if (error.reason === 'key-destroyed' || error.reason === 'key-not-found') throw kekDestroyed(this.id)
      if (error.reason === 'decrypt-failed') throw doesNotOpen(error)
      throw error
    }
  }

  #digest(context: WrapContext): Uint8Array {
    return new Uint8Array(createHash('sha256').update(wrapAad(this, context)).digest())
  }
}

function read<T>(operation: string, want: z.ZodType<T>, answer: unknown): T {
  const result = want.safeParse(answer)
  if (result.success) return result.data
  throw new AttestError('KEYSTORE_UNAVAILABLE', "the KMS's answer is not of the protocol", { at: `kms.${operation}` })
}
