import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import {
  type DatasetContent,
  type DatasetHeader,
  encodeHeader,
  type Header,
  type LegalContext,
  type ResultHeader,
  STREAM_SUITE,
  type WrappedKey,
} from '../verify/documents/header.ts'
import { type HpkePublicKey, hpkeKeyDigest } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { type KemKey, unwrap, wrap } from './hpke.ts'
import { checkKeyCommitment, keyCommitment } from './key-commitment.ts'
import { draw, type RandomBytes, Secret } from './secret.ts'

const DEK_SIZE = 32
const SALT_SIZE = 32
const DATASET_ID_SIZE = 16
const RESULT_INFO = 'sealgate/result/v1'

/** A header with the fresh key that it commits to. */
export interface KeyedHeader<H extends Header> {
  readonly header: H
  /** Canonical bytes. */
  readonly bytes: Uint8Array
  /** base64url SHA-256 of the bytes: names the dataset or result everywhere else. */
  readonly digest: string
  /** Data encryption key, 32 bytes. */
  readonly dek: Secret
}

/** base64url SHA-256 of a header's bytes as received. */
export async function headerDigest(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}

export interface NewDataset {
  readonly content: DatasetContent
  readonly plaintextSize: number
  /** Thumbprint of the owner's grant key. */
  readonly owner: string
  readonly legal: LegalContext
  readonly random: RandomBytes
}

/** Makes the header of a new dataset, with a new key. */
export async function createDatasetHeader({
  content,
  plaintextSize,
  owner,
  legal,
  random,
}: NewDataset): Promise<KeyedHeader<DatasetHeader>> {
  const datasetId = toBase64Url(draw(random, DATASET_ID_SIZE))
  const { dek, ...sealed } = await newKey(plaintextSize, random)
  return keyed({ ...sealed, kind: 'dataset', content, datasetId, owner, legal }, dek)
}

export interface NewResult {
  readonly plaintextSize: number
  /** Job digest. */
  readonly job: string
  readonly recipients: readonly HpkePublicKey[]
  readonly random: RandomBytes
}

/** Makes the header of a job's results, with a new key that is wrapped once per recipient. */
export async function createResultHeader({ plaintextSize, job, recipients, random }: NewResult): Promise<KeyedHeader<ResultHeader>> {
  const { dek, ...sealed } = await newKey(plaintextSize, random)
  const wrapped: WrappedKey[] = []
  for (const key of recipients) {
    const recipient = await hpkeKeyDigest(key)
    const { suite, enc, ciphertext } = await wrap(key, RESULT_INFO, await resultAad(job, recipient), dek.expose())
    wrapped.push({ recipient, suite, enc: toBase64Url(enc), ciphertext: toBase64Url(ciphertext) })
  }
  return keyed({ ...sealed, kind: 'result', job, recipients: wrapped }, dek)
}

/**
 * Recovers the key of a result for one of its recipients.
 * @throws AttestError `UNWRAP_FAILED`, `KEY_COMMITMENT_MISMATCH`.
 */
export async function openResultKey(header: ResultHeader, key: KemKey): Promise<Secret> {
  const recipient = await hpkeKeyDigest(key.publicKey)
  const entry = header.recipients.find((r) => r.recipient === recipient)
  if (entry === undefined) throw new AttestError('UNWRAP_FAILED', 'the results are not sealed to this key', { at: 'header.recipients' })
  const wrapped = { suite: entry.suite, enc: fromBase64Url(entry.enc), ciphertext: fromBase64Url(entry.ciphertext) }
  const dek = new Secret(await unwrap(key, RESULT_INFO, await resultAad(header.job, recipient), wrapped))
  await checkKeyCommitment(header, dek)
  return dek
}

async function resultAad(job: string, recipient: string): Promise<Uint8Array> {
  return crypto.digest('SHA-256', encodeCanonical({ job, recipient }))
}

type SealedFields = Pick<Header, 'v' | 'suite' | 'plaintextSize' | 'salt' | 'keyCommitment'>

async function newKey(plaintextSize: number, random: RandomBytes): Promise<SealedFields & { readonly dek: Secret }> {
  const salt = draw(random, SALT_SIZE)
  const dek = new Secret(draw(random, DEK_SIZE))
  const commitment = await keyCommitment(dek, salt)
  return { v: 1, suite: STREAM_SUITE, plaintextSize, salt: toBase64Url(salt), keyCommitment: toBase64Url(commitment), dek }
}

async function keyed<H extends Header>(header: H, dek: Secret): Promise<KeyedHeader<H>> {
  const bytes = encodeHeader(header)
  return { header, bytes, digest: await headerDigest(bytes), dek }
}
