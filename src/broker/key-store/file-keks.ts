import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { exists, fileError, makeFolder, PRIVATE, readBytes, syncFolder, writeNew } from '../../client/files.ts'
import { type FileSecret, openJwe, sealJwe } from '../../client/jwe-file.ts'
import { Secret } from '../../seal/secret.ts'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { bytesField, countField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
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
} from './kek.ts'

interface KekFile {
  readonly v: 1
  readonly type: 'sealgate/kek/v1'
  readonly id: string
  readonly epoch: number
  readonly key: string
}

const schema: z.ZodType<KekFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/kek/v1'),
  id: z.string(),
  epoch: countField(999_999),
  key: bytesField(32),
})

const TYP = 'sealgate-kek+json'
const MAX_SIZE = 16 * 1024

/** Key-encryption keys in files of a folder, each a JWE under a passphrase or a key file; in clear in memory alone. */
export class FileKeks implements KekProvider {
  readonly #folder: string
  readonly #secret: FileSecret
  readonly #opened = new Set<FileKek>()

  constructor(folder: string, secret: FileSecret) {
    this.#folder = folder
    this.#secret = secret
  }

  async create(epoch: number): Promise<Kek> {
    const id = kekId(epoch, randomBytes(16))
    const key = new Uint8Array(randomBytes(32))
    const plaintext = encodeDocument('kek', schema, { v: 1, type: 'sealgate/kek/v1', id, epoch, key: toBase64Url(key) })
    await makeFolder(this.#folder)
    await writeNew(this.#path(id), await sealJwe(plaintext, this.#secret, TYP), PRIVATE)
    plaintext.fill(0)
    await syncFolder(this.#folder)
    // Durable now: a key that nothing is wrapped under. A crash here costs nothing.
    return this.#keep(id, epoch, key)
  }

  async open(id: string, epoch: number): Promise<Kek> {
    const path = this.#path(id)
    if (!(await exists(path))) {
      await this.#assertFolder()
      throw kekDestroyed(id)
    }
    const plaintext = await this.#decrypt(await readBytes(path, MAX_SIZE))
    try {
      const file = parseDocument('kek', schema, plaintext, MAX_SIZE)
      if (file.id !== id || file.epoch !== epoch) throw new AttestError('KEYSTORE_CORRUPT', `${path} holds another key`, { at: 'kek' })
      return this.#keep(id, epoch, fromBase64Url(file.key))
    } finally {
      plaintext.fill(0)
    }
  }

  close(): Promise<void> {
    for (const kek of this.#opened) kek.forget()
    this.#opened.clear()
    return Promise.resolve()
  }

  async #decrypt(bytes: Uint8Array): Promise<Uint8Array> {
    try {
      return await openJwe(bytes, this.#secret, TYP, 'key-encryption key')
    } catch (cause) {
      if (!(cause instanceof AttestError)) throw cause
      const code = cause.code === 'UNWRAP_FAILED' ? 'KEYSTORE_DENIED' : 'KEYSTORE_CORRUPT'
      throw new AttestError(code, cause.message, { at: 'kek', cause })
    }
  }

  /** A folder that is not mounted is no folder whose keys were destroyed. */
  async #assertFolder(): Promise<void> {
    try {
      await stat(this.#folder)
    } catch (cause) {
      throw new AttestError('KEYSTORE_UNAVAILABLE', `${this.#folder} is not there`, { at: 'kek', cause })
    }
  }

  #keep(id: string, epoch: number, key: Uint8Array): FileKek {
    const kek = new FileKek(id, epoch, new Secret(key), () => this.#erase(this.#path(id)))
    this.#opened.add(kek)
    return kek
  }

  /** Overwritten first, as far as file system and medium let anybody; then its name is gone, durably. */
  async #erase(path: string): Promise<void> {
    if (!(await exists(path))) return
    try {
      const file = await open(path, 'r+')
      try {
        await file.write(randomBytes((await file.stat()).size), 0)
        await file.sync()
      } finally {
        await file.close()
      }
      await rm(path)
    } catch (cause) {
      throw fileError(cause, path)
    }
    await syncFolder(this.#folder)
    // Durable now: the key is gone. A crash before leaves a file that does not open, or the key: destroying it again finishes.
  }

  #path(id: string): string {
    return join(this.#folder, `${checkKekId(id)}.jwe`)
  }
}

class FileKek implements Kek {
  readonly id: string
  readonly epoch: number
  readonly #key: Secret
  readonly #erase: () => Promise<void>
  #gone = false

  constructor(id: string, epoch: number, key: Secret, erase: () => Promise<void>) {
    this.id = id
    this.epoch = epoch
    this.#key = key
    this.#erase = erase
  }

  wrap(plaintext: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    return this.#use((key) => {
      assertWrappable(plaintext)
      const nonce = randomBytes(GCM_NONCE_SIZE)
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_SIZE }).setAAD(wrapAad(this, context))
      return new Uint8Array(Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]))
    })
  }

  unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array> {
    return this.#use((key) => {
      assertGcmFrame(wrapped)
      const nonce = wrapped.subarray(0, GCM_NONCE_SIZE)
      const tag = wrapped.subarray(wrapped.length - GCM_TAG_SIZE)
      const cipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: GCM_TAG_SIZE })
      const plaintext = new Uint8Array(
        cipher
          .setAAD(wrapAad(this, context))
          .setAuthTag(tag)
          .update(wrapped.subarray(GCM_NONCE_SIZE, wrapped.length - GCM_TAG_SIZE)),
      )
      try {
        cipher.final()
        return plaintext
      } catch (cause) {
        plaintext.fill(0)
        throw doesNotOpen(cause)
      }
    })
  }

  async destroy(): Promise<Destruction> {
    await this.#erase()
    this.forget()
    return { kind: 'done' }
  }

  forget(): void {
    this.#gone = true
    this.#key.wipe()
  }

  async #use<T>(work: (key: Uint8Array) => T): Promise<T> {
    if (this.#gone) throw kekDestroyed(this.id)
    return work(this.#key.expose())
  }
}
