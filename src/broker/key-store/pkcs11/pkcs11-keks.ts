import { randomBytes } from 'node:crypto'
import { utf8 } from '../../../verify/bytes/bytes.ts'
import { AttestError } from '../../../verify/errors.ts'
import {
  assertGcmFrame,
  assertWrappable,
  checkKekId,
  type Destruction,
  doesNotOpen,
  GCM_NONCE_SIZE,
  GCM_TAG_SIZE,
  type Kek,
  type KekProvider,
  kekDestroyed,
  kekId,
  type WrapContext,
  wrapAad,
} from '../kek.ts'
import {
  type Attribute,
  attributesOf,
  CKA,
  CKK_AES,
  CKM_AES_KEY_GEN,
  CKO_SECRET_KEY,
  gcmMechanism,
  mechanism,
  readUlong,
  ulong,
} from './layout.ts'
import { DOES_NOT_OPEN, TokenError } from './return-codes.ts'
import { findObject, hasFlags, type Session, type Token } from './token.ts'

/** A key that is born in the token and cannot leave it: what is written when it is made, and looked at again whenever it is found. */
const NEVER_LEAVES = [
  [CKA.SENSITIVE, true],
  [CKA.EXTRACTABLE, false],
] as const
const NEVER_LEFT = [
  [CKA.LOCAL, true],
  [CKA.ALWAYS_SENSITIVE, true],
  [CKA.NEVER_EXTRACTABLE, true],
] as const

/** Key-encryption keys in a PKCS #11 token: AES-256, made there, never seen here. */
export class Pkcs11Keks implements KekProvider {
  readonly #token: Token

  constructor(token: Token) {
    this.#token = token
  }

  async create(epoch: number): Promise<Kek> {
    const id = kekId(epoch, randomBytes(16))
    await this.#token.use(async ({ cryptoki, handle }) => {
      const template = [
        ...nameOf(id),
        [CKA.VALUE_LEN, 32],
        [CKA.TOKEN, true],
        [CKA.PRIVATE, true],
        ...NEVER_LEAVES,
        [CKA.ENCRYPT, true],
        [CKA.DECRYPT, true],
        [CKA.WRAP, false],
        [CKA.UNWRAP, false],
      ] as const
      await cryptoki.call('C_GenerateKey', handle, mechanism(CKM_AES_KEY_GEN), attributesOf(cryptoki, template), template.length, ulong())
      // Durable now, as far as the token keeps its word: a key that nothing is wrapped under.
    })
    return this.open(id, epoch)
  }

  async open(id: string, epoch: number): Promise<Kek> {
    const kek = new Pkcs11Kek(this.#token, checkKekId(id), epoch)
    await kek.check()
    return kek
  }

  close(): Promise<void> {
    return this.#token.close()
  }
}

function nameOf(id: string): readonly Attribute[] {
  return [
    [CKA.CLASS, CKO_SECRET_KEY],
    [CKA.KEY_TYPE, CKK_AES],
    [CKA.LABEL, utf8(id)],
    [CKA.ID, utf8(id)],
  ]
}

class Pkcs11Kek implements Kek {
  readonly id: string
  readonly epoch: number
  readonly #token: Token
  /** Good for one session. */
  #found: { readonly session: Session; readonly object: bigint } | null = null

  constructor(token: Token, id: string, epoch: number) {
    this.#token = token
    this.id = id
    this.epoch = epoch
  }

  /** @throws AttestError `KEK_DESTROYED`, `KEYSTORE_CORRUPT` for a key that was ever outside of the token, or could be. */
  async check(): Promise<void> {
    await this.#token.use((session) => this.#object(session))
  }

  async wrap(plaintext: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    assertWrappable(plaintext)
    return this.#token.use(async (session) => {
      const object = await this.#object(session)
      const nonce = new Uint8Array(randomBytes(GCM_NONCE_SIZE))
      const out = new Uint8Array(plaintext.length + GCM_TAG_SIZE)
      await this.#crypt('Encrypt', session, object, [nonce, plaintext, out], context)
      return new Uint8Array(Buffer.concat([nonce, out]))
    })
  }

  async unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    assertGcmFrame(wrapped)
    return this.#token.use(async (session) => {
      const object = await this.#object(session)
      // slice, not subarray: a structure points at the beginning of a buffer.
      const sealed = wrapped.slice(GCM_NONCE_SIZE)
      const out = new Uint8Array(sealed.length)
      try {
        const size = await this.#crypt('Decrypt', session, object, [wrapped.slice(0, GCM_NONCE_SIZE), sealed, out], context)
        if (size !== sealed.length - GCM_TAG_SIZE) throw doesNotOpen(undefined)
        return out.slice(0, size)
      } catch (error) {
        if (error instanceof TokenError && error.at === 'pkcs11.C_Decrypt' && DOES_NOT_OPEN.has(error.rv)) throw doesNotOpen(error)
        throw error
      } finally {
        out.fill(0)
      }
    })
  }

  async destroy(): Promise<Destruction> {
    await this.#token.use(async (session) => {
      this.#found = null
      const object = await findObject(session, nameOf(this.id))
      if (object !== null) await session.cryptoki.call('C_DestroyObject', session.handle, object)
      // Durable now, as far as the token keeps its word. A crash before leaves the key: destroying it again finishes.
    })
    return { kind: 'done' }
  }

  async #crypt(
    way: 'Encrypt' | 'Decrypt',
    { cryptoki, handle }: Session,
    object: bigint,
    [nonce, input, out]: readonly [Uint8Array, Uint8Array, Uint8Array],
    context: WrapContext,
  ): Promise<number> {
    const size = ulong(out.length)
    await cryptoki.call(`C_${way}Init`, handle, gcmMechanism(cryptoki, nonce, wrapAad(this, context)), object)
    await cryptoki.call(`C_${way}`, handle, input, input.length, out, size)
    return Number(readUlong(size))
  }

  async #object(session: Session): Promise<bigint> {
    if (this.#found?.session === session) return this.#found.object
    const object = await findObject(session, nameOf(this.id))
    if (object === null) throw kekDestroyed(this.id)
    if (!(await hasFlags(session, object, [...NEVER_LEAVES, ...NEVER_LEFT]))) {
      throw new AttestError('KEYSTORE_CORRUPT', `the token's key ${this.id} was not made there, or can be taken out`, { at: 'pkcs11' })
    }
    this.#found = { session, object }
    return object
  }
}
