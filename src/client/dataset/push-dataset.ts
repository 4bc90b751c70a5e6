import { createReadStream } from 'node:fs'
import { AttestError } from '../../verify/errors.ts'
import type { Client } from '../client.ts'
import type { Owner } from '../owner.ts'
import { inspectSealed } from './seal-dataset.ts'

export interface PushOptions {
  readonly signal?: AbortSignal
  /** Bytes that are durable at the gateway, of how many. */
  readonly onProgress?: (done: number, total: number) => void
}

/**
 * Uploads a sealed file. Begun uploads are gone on with from what the gateway holds; a second push of the same file is
 * harmless.
 * @throws AttestError `NOT_FOUND` when the keyring has no key for it, `HEADER_INVALID`, `ROOT_MISMATCH`.
 */
export async function pushDataset(client: Client, owner: Owner, path: string, options: PushOptions = {}): Promise<string> {
  const { dataset, header, sizeBytes } = await inspectSealed(path)
  const { root } = await owner.keyring.dataset(dataset)
  const call = options.signal === undefined ? {} : { signal: options.signal }
  const uploadId = await client.beginUpload(header, root, sizeBytes, call)
  const onProgress = (done: number): void => options.onProgress?.(done, sizeBytes)
  const from = (start: number): AsyncIterable<Uint8Array> => createReadStream(path, { start, highWaterMark: 256 * 1024 })
  await client.upload(uploadId, { sizeBytes, from }, { ...call, onProgress })
  const blob = await client.commitUpload(uploadId, call)
  if (blob.blobId !== dataset || blob.root !== root) {
    throw new AttestError('ROOT_MISMATCH', 'the gateway stored something else than was sent', { at: 'upload' })
  }
  return dataset
}
