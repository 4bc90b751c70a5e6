import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type KemKey, Secret, unwrap, unwrapFromKeyring, type Wrapped, wrap, wrapForKeyring } from '../seal/index.ts'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import { blobField, countField, encodeDocument, MAX_DOCUMENT_SIZE, parseDocument, sha256Field } from '../verify/documents/fields.ts'
import { type HpkeSuiteName, hpkeSuiteField } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { destroyFile, exists, fileError, makeFolder, PRIVATE, readBytesIfThere, replaceFile, syncFolder, writeNew } from './files.ts'
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

interface HoldFile {
  readonly v: 1
  readonly type: 'sealgate/keyring-hold/v1'
  readonly held: boolean
  /** The signed hold, or end of one, as it goes to gateways. */
  readonly jws: string
}

interface ErasureFile {
  readonly v: 1
  readonly type: 'sealgate/keyring-erasure/v1'
  /** For people: the name of the file that was sealed. */
  readonly name: string
  /** The signed order, as it goes to gateways. */
  readonly jws: string
  /** Exact bytes of the policy that it names. */
  readonly policy: string | null
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

const holdSchema: z.ZodType<HoldFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/keyring-hold/v1'),
  held: z.boolean(),
  jws: blobField(4096),
})

const erasureSchema: z.ZodType<ErasureFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/keyring-erasure/v1'),
  name: z.string().max(255),
  jws: blobField(4096),
  policy: blobField(MAX_DOCUMENT_SIZE).nullable(),
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

/** A dataset that its owner had erased: the key is gone, or goes with the next call of {@link Keyring.destroyDataset}. */
export interface KeptErasure {
  /** SHA-256 of the header. */
  readonly digest: string
  readonly name: string
  readonly jws: Uint8Array
  readonly policy: Uint8Array | null
}

/** The newest hold of a grant, or end of one, that was made here. */
export interface KeptHold {
  readonly sequence: number
  readonly held: boolean
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

  /** @throws AttestError `NOT_FOUND` for a dataset whose key is not in this keyring, `DATASET_ERASED`. */
  async dataset(digest: string): Promise<KeptDataset> {
    return keptDataset(digest, await this.#readDataset(digest))
  }

  /** The dataset's key; the caller wipes it. */
  async datasetKey(digest: string): Promise<Secret> {
    const { header, wrapped } = await this.#readDataset(digest)
    return unwrapFromKeyring(this.#key, fromBase64Url(header), fromJson(wrapped))
  }

  async datasets(): Promise<readonly KeptDataset[]> {
    const erased = await this.#names('erased-')
    const names = (await this.#names('dataset-')).filter((digest) => !erased.includes(digest))
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

  /**
   * Remembers a hold of a grant, or its end, with or without a word of its gateway. Each has a file of its own, so of two processes
   * that make the same sequence at once one fails. Durable when it returns; a crash before costs the owner this one call, and
   * leaves the grant as it was, or held.
   * @throws AttestError `ALREADY_EXISTS` for a sequence that is here.
   */
  async putHold(digest: string, { sequence, held }: KeptHold, jws: Uint8Array): Promise<void> {
    const file = { v: 1, type: 'sealgate/keyring-hold/v1', held, jws: toBase64Url(jws) } as const
    await makeFolder(this.#folder)
    await writeNew(this.#holdPath(digest, sequence), encodeDocument('keyring', holdSchema, file), PRIVATE)
    await syncFolder(this.#folder)
  }

  /** Null for a grant that was never held here. One whose newest file cannot be read is held. */
  async hold(digest: string): Promise<KeptHold | null> {
    const names = await this.#names(`hold-${checkDigest(digest)}-`)
    const sequence = Math.max(0, ...names.filter((n) => /^[1-9]\d{0,9}$/.test(n)).map(Number))
    if (sequence === 0) return null
    try {
      const bytes = await readBytesIfThere(this.#holdPath(digest, sequence), MAX_FILE_SIZE)
      const held = bytes === null || parseDocument('keyring', holdSchema, bytes, MAX_FILE_SIZE).held
      return { sequence, held }
    } catch (error) {
      if (error instanceof AttestError) return { sequence, held: true }
      throw error
    }
  }

  /**
   * Remembers that a dataset is erased. From now on nobody gets its key from here, also where it is still on the disk: see
   * {@link destroyDataset}. Durable when it returns; a crash before costs the owner this one call. There is no way back.
   */
  async putErasure({ digest, name, jws, policy }: KeptErasure): Promise<void> {
    const file = {
      v: 1,
      type: 'sealgate/keyring-erasure/v1',
      name,
      jws: toBase64Url(jws),
      policy: policy === null ? null : toBase64Url(policy),
    } as const
    await makeFolder(this.#folder)
    await replaceFile(this.#erasurePath(digest), encodeDocument('keyring', erasureSchema, file), PRIVATE)
    await syncFolder(this.#folder)
  }

  /** Null for a dataset that was not erased here. @throws AttestError `DOCUMENT_INVALID` for a damaged file: it is erased all the same. */
  async erasure(digest: string): Promise<KeptErasure | null> {
    const bytes = await readBytesIfThere(this.#erasurePath(digest), MAX_FILE_SIZE)
    if (bytes === null) return null
    const { name, jws, policy } = parseDocument('keyring', erasureSchema, bytes, MAX_FILE_SIZE)
    return { digest, name, jws: fromBase64Url(jws), policy: policy === null ? null : fromBase64Url(policy) }
  }

  /** Digests of the datasets that were erased here. */
  erasures(): Promise<readonly string[]> {
    return this.#names('erased-')
  }

  /** Whether a dataset was erased here. That the file is there says so, whatever has become of its content. */
  async isErased(digest: string): Promise<boolean> {
    return exists(this.#erasurePath(digest))
  }

  /**
   * Destroys the key of an erased dataset. Durable when it returns: that the key is gone from this folder. A crash before leaves the
   * key or not, and in either case the memory that it is erased, so the next call does it. Copies of the folder, and what a file
   * system or a disk keeps of overwritten blocks, are out of reach.
   * @throws AttestError `INTERNAL` for a dataset that is not remembered as erased.
   */
  async destroyDataset(digest: string): Promise<void> {
    if (!(await this.isErased(digest))) throw new AttestError('INTERNAL', 'a key is destroyed after the erasure is remembered')
    await destroyFile(this.#datasetPath(digest))
    await syncFolder(this.#folder)
  }

  async #readDataset(digest: string): Promise<DatasetFile> {
    if (await this.isErased(digest)) throw new AttestError('DATASET_ERASED', `you have erased dataset ${digest}`, { at: 'keyring' })
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

  #erasurePath(digest: string): string {
    return join(this.#folder, `erased-${checkDigest(digest)}.json`)
  }

  #revocationPath(digest: string): string {
    return join(this.#folder, `revoked-${checkDigest(digest)}.json`)
  }

  #holdPath(digest: string, sequence: number): string {
    return join(this.#folder, `hold-${checkDigest(digest)}-${sequence}.json`)
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
