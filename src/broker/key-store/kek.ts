import { AttestError } from '../../verify/errors.ts'
import { encodeCanonical } from '../../verify/formats/canonical-json.ts'

/** What a wrapped key is, and whose: one row of the store. A key that is moved to another row does not open there. */
export interface WrapContext {
  readonly purpose: 'dataset-key' | 'use-key' | 'intent-key' | 'kem-key'
  /** Digest of the dataset's header or of the grant; thumbprint or digest of the broker's own public key. */
  readonly subject: string
}

/** When a key-encryption key is gone: at once, or at an instant that a KMS names. */
export type Destruction = { readonly kind: 'done' } | { readonly kind: 'scheduled'; readonly for: string }

/** A key-encryption key. Whatever holds it, the key itself is in no row of the store. */
export interface Kek {
  /** Names it where it is kept. Never used for another key again. */
  readonly id: string
  readonly epoch: number
  /**
   * Encrypts a short secret and authenticates its context. Never the same bytes twice.
   * @throws AttestError `KEYSTORE_*`, `KEK_DESTROYED`.
   */
  wrap(plaintext: Uint8Array, context: WrapContext): Promise<Uint8Array>
  /**
   * Opens what {@link wrap} made, in the same context under the same key. The answer is secret: wipe it.
   * @throws AttestError `UNWRAP_FAILED`; `KEYSTORE_*`, `KEK_DESTROYED`.
   */
  unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array>
  /** Destroys the key where it is kept; this object opens nothing afterwards. Once more does nothing. */
  destroy(): Promise<Destruction>
}

/** Where key-encryption keys are kept. */
export interface KekProvider {
  /** Makes a new key. It is there for good when this returns; a crash before that may leave a key that nothing names, which is harmless. */
  create(epoch: number): Promise<Kek>
  /** @throws AttestError `KEK_DESTROYED` where there is no such key; `KEYSTORE_*`. */
  open(id: string, epoch: number): Promise<Kek>
  close(): Promise<void>
}

/** The names and values that a wrapped key is bound to, all of them text: what a KMS calls an encryption context. */
export function boundContext(kek: Pick<Kek, 'id' | 'epoch'>, { purpose, subject }: WrapContext): { readonly [name: string]: string } {
  return { epoch: String(kek.epoch), kek: kek.id, purpose, subject, type: 'sealgate/key-wrap/v1' }
}

/** Associated data of a wrapped key: {@link boundContext} as canonical JSON. */
export function wrapAad(kek: Pick<Kek, 'id' | 'epoch'>, context: WrapContext): Uint8Array {
  return encodeCanonical(boundContext(kek, context))
}

/** Largest secret that is wrapped: keys, and nothing else. */
const MAX_PLAINTEXT = 256

export function assertWrappable(plaintext: Uint8Array): void {
  if (plaintext.length === 0 || plaintext.length > MAX_PLAINTEXT) {
    throw new AttestError('INTERNAL', `${plaintext.length} bytes are not a key`)
  }
}

/** Of AES-GCM as it is stored: nonce (96 bits, SP 800-38D section 8.2), ciphertext, tag (128 bits). */
export const GCM_NONCE_SIZE = 12
export const GCM_TAG_SIZE = 16

/** @throws AttestError `UNWRAP_FAILED` for what no AES-GCM made. */
export function assertGcmFrame(wrapped: Uint8Array): void {
  const size = wrapped.length - GCM_NONCE_SIZE - GCM_TAG_SIZE
  if (size < 1 || size > MAX_PLAINTEXT) throw doesNotOpen(undefined)
}

export function doesNotOpen(cause: unknown): AttestError {
  return new AttestError('UNWRAP_FAILED', 'the wrapped key does not open under this key and in this context', { at: 'key-store', cause })
}

export function kekDestroyed(id: string): AttestError {
  return new AttestError('KEK_DESTROYED', `the key-encryption key ${id} does not exist any more`, { at: 'key-store' })
}

const ID = /^sealgate-kek-\d{1,6}-[A-Za-z0-9_-]{22}$/

/** An id of a new key: the epoch for people, 128 random bits so that no id comes twice. */
export function kekId(epoch: number, random: Uint8Array): string {
  return `sealgate-kek-${epoch}-${Buffer.from(random).toString('base64url')}`
}

/** Ids become file names and labels. @throws AttestError `KEYSTORE_CORRUPT`. */
export function checkKekId(id: string): string {
  if (ID.test(id)) return id
  throw new AttestError('KEYSTORE_CORRUPT', 'this is not the id of a key-encryption key', { at: 'key-store' })
}
