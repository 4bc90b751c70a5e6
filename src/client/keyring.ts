import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type KemKey, Secret, unwrap, unwrapFromKeyring, type Wrapped, wrap, wrapForKeyring } from '../seal/index.ts'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import { blobField, countField, encodeDocument, parseDocument, sha256Field } from '../verify/documents/fields.ts'
import { type HpkeSuiteName, hpkeSuiteField } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { exists, fileError, makeFolder, PRIVATE, readBytesIfThere, replaceFile, syncFolder, writeNew } from './files.ts'
import { MAX_FILE_SIZE } from './folder.ts'

interface WrappedJson {
  readonly suite: HpkeSuiteName
  readonly enc: string
  readonly ciphertext: string
}

interface DatasetFile {
  readonly v: 1
  readonly type: 'sealgate/keyring-dataset/v1'
  /** For people: the name of the file that was sealed. */
  readonly name: string
  readonly header: string
  readonly root: string
  readonly wrapped: WrappedJson
}

interface GrantFile {
  readonly v: 1
  readonly type: 'sealgate/keyring-grant/v1'
  /** SHA-256 of the grant. */
  readonly grant: string
  /** The lowest slot that was not used by this client. */
  readonly nextSlot: number
  /** How many slots the grant has: with them and the use key every tag of it is known. */
  readonly uses: number
  readonly wrapped: WrappedJson
}

interface RevocationFile {
  readonly v: 1
  readonly type: 'sealgate/keyring-revocation/v1'
  /** The signed revocation, as it goes to gateways. */
  readonly jws: string
}

const wrappedSchema = z.strictObject({ suite: hpkeSuiteField, enc: blobField(2048), ciphertext: blobField(256) })
const datasetSchema: z.ZodType<DatasetFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/keyring-dataset/v1'),
  name: z.string().max(255),
  header: blobField(64 * 1024),
  root: sha256Field,
  wrapped: wrappedSchema,
})
const grantSchema: z.ZodType<GrantFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/keyring-grant/v1'),
  grant: sha256Field,
  nextSlot: countField(1_000_000),
  uses: countField(1_000_000),
  wrapped: wrappedSchema,
})

const revocationSchema: z.ZodType<RevocationFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/keyring-revocation/v1'),
  jws: blobField(4096),
})

/** The wrapped use key is bound to the grant's digest, as a dataset's key is to its header's. */
const INFO = 'sealgate/keyring/v1'

/** What an owner knows of a dataset that it sealed itself: nothing here comes from the gateway. */
export interface KeptDataset {
  /** SHA-256 of the header. */
  readonly digest: string
  readonly name: string
  /** Canonical bytes. */
  readonly header: Uint8Array
  /** Root over the ciphertext, base64url. */
  readonly root: string
}

export interface KeptGrant {
  readonly useKey: Secret
  readonly nextSlot: number
  readonly uses: number
}

/** The owner's keys of datasets and grants in a folder, each wrapped to the owner's own HPKE key. Nothing is there in clear. */
export class Keyring {
  readonly #folder: string
  readonly #key: KemKey

  constructor(folder: string, key: KemKey) {
    this.#folder = folder
    this.#key = key
  }

  async putDataset(dataset: KeptDataset, dek: Secret): Promise<void> {
    const wrapped = toJson(await wrapForKeyring(this.#key.publicKey, dataset.header, dek))
    const { name, root } = dataset
    const file = { v: 1, type: 'sealgate/keyring-dataset/v1', name, header: toBase64Url(dataset.header), root, wrapped } as const
    await makeFolder(this.#folder)
    await writeNew(this.#datasetPath(dataset.digest), encodeDocument('keyring', datasetSchema, file), PRIVATE)
  }

  /** @throws AttestError `NOT_FOUND` for a dataset whose key is not in this keyring. */
  async dataset(digest: string): Promise<KeptDataset> {
    return keptDataset(digest, await this.#readDataset(digest))
  }

  /** The dataset's key; the caller wipes it. */
  async datasetKey(digest: string): Promise<Secret> {
    const { header, wrapped } = await this.#readDataset(digest)
    return unwrapFromKeyring(this.#key, fromBase64Url(header), fromJson(wrapped))
  }

  async datasets(): Promise<readonly KeptDataset[]> {
    const names = await this.#names('dataset-')
    return Promise.all(names.map((digest) => this.dataset(digest)))
  }

  async putGrant(digest: string, useKey: Secret, uses: number): Promise<void> {
    const wrapped = toJson(await wrap(this.#key.publicKey, INFO, fromBase64Url(digest), useKey.expose()))
    await makeFolder(this.#folder)
    await writeNew(
      this.#grantPath(digest),
      encodeGrantFile({ v: 1, type: 'sealgate/keyring-grant/v1', grant: digest, nextSlot: 0, uses, wrapped }),
      PRIVATE,
    )
  }

  /** Digests of the grants whose use keys are here. */
  grants(): Promise<readonly string[]> {
    return this.#names('grant-')
  }

  /** @throws AttestError `NOT_FOUND` for a grant whose use key is not in this keyring. */
  async grant(digest: string): Promise<KeptGrant> {
    const { wrapped, nextSlot, uses } = await this.#readGrant(digest)
    return { useKey: new Secret(await unwrap(this.#key, INFO, fromBase64Url(digest), fromJson(wrapped))), nextSlot, uses }
  }

  /** Remembers that slots below `nextSlot` are spent. Losing this costs a refused attempt per slot: the log knows too. */
  async spendSlots(digest: string, nextSlot: number): Promise<void> {
    const file = await this.#readGrant(digest)
    if (nextSlot > file.nextSlot) await replaceFile(this.#grantPath(digest), encodeGrantFile({ ...file, nextSlot }), PRIVATE)
  }

  /**
   * Remembers that a grant was taken back, with or without a word of its gateway. Durable when it returns; a crash before costs
   * the owner this one call. There is no way back.
   */
  async putRevocation(digest: string, jws: Uint8Array): Promise<void> {
    const path = this.#revocationPath(digest)
    await makeFolder(this.#folder)
    const file = { v: 1, type: 'sealgate/keyring-revocation/v1', jws: toBase64Url(jws) } as const
    await replaceFile(path, encodeDocument('keyring', revocationSchema, file), PRIVATE)
    await syncFolder(this.#folder)
  }

  /** Whether a grant was taken back here. That the file is there says so, whatever has become of its content. */
  async isRevoked(digest: string): Promise<boolean> {
    return exists(this.#revocationPath(digest))
  }

  async #readDataset(digest: string): Promise<DatasetFile> {
    const bytes = await readBytesIfThere(this.#datasetPath(digest), MAX_FILE_SIZE)
    if (bytes === null) throw new AttestError('NOT_FOUND', `the keyring ${this.#folder} holds no key of dataset ${digest}`)
    return parseDocument('keyring', datasetSchema, bytes, MAX_FILE_SIZE)
  }

  async #readGrant(digest: string): Promise<GrantFile> {
    const bytes = await readBytesIfThere(this.#grantPath(digest), MAX_FILE_SIZE)
    if (bytes === null) throw new AttestError('NOT_FOUND', `the keyring ${this.#folder} holds no use key of grant ${digest}`)
    return parseDocument('keyring', grantSchema, bytes, MAX_FILE_SIZE)
  }

  async #names(prefix: string): Promise<readonly string[]> {
    try {
      const names = (await readdir(this.#folder)).filter((n) => n.startsWith(prefix) && n.endsWith('.json'))
      return names.map((n) => n.slice(prefix.length, -'.json'.length)).sort()
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw fileError(cause, this.#folder)
    }
  }

  #datasetPath(digest: string): string {
    return join(this.#folder, `dataset-${checkDigest(digest)}.json`)
  }

  #revocationPath(digest: string): string {
    return join(this.#folder, `revoked-${checkDigest(digest)}.json`)
  }

  #grantPath(digest: string): string {
    return join(this.#folder, `grant-${checkDigest(digest)}.json`)
  }
}

function keptDataset(digest: string, { name, header, root }: DatasetFile): KeptDataset {
  return { digest, name, header: fromBase64Url(header), root }
}

function encodeGrantFile(file: GrantFile): Uint8Array {
  return encodeDocument('keyring', grantSchema, file)
}

/** Digests become file names, so nothing else may. */
function checkDigest(digest: string): string {
  if (!/^[A-Za-z0-9_-]{43}$/.test(digest)) throw new AttestError('USAGE', `"${digest}" is not a dataset or grant id`)
  return digest
}

function toJson({ suite, enc, ciphertext }: Wrapped): WrappedJson {
  return { suite, enc: toBase64Url(enc), ciphertext: toBase64Url(ciphertext) }
}

function fromJson({ suite, enc, ciphertext }: WrappedJson): Wrapped {
  return { suite, enc: fromBase64Url(enc), ciphertext: fromBase64Url(ciphertext) }
}
