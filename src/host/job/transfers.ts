import { DatasetService, downloadBlob, type GatewayChannel, sealgate, toNumber, uploadBlob } from '../../rpc/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import type { SealedResults } from './outbox.ts'

/** A stored sealed file, as the gateway describes it. */
export interface BlobInfo {
  readonly header: Uint8Array
  readonly sizeBytes: number
}

/** How sealed bytes come and go. Everything that arrives here is untrusted. */
export interface Transfers {
  describe(blobId: string, signal: AbortSignal): Promise<BlobInfo>
  /** Bytes from `offset` to the end of the file. */
  download(blobId: string, sizeBytes: number, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Repeating it is harmless. @returns the blob id. */
  upload(jobId: string, results: SealedResults, from: (offset: number) => AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string>
}

/** Transfers through a gateway: what to move goes over gRPC, the bytes over HTTPS. */
export function gatewayTransfers(channel: GatewayChannel): Transfers {
  return {
    async describe(blobId, signal) {
      const { blob } = await channel.unary(DatasetService.getBlob, { blobId }, { signal })
      if (!blob) throw new AttestError('NOT_FOUND', 'the gateway does not describe the dataset')
      return { header: new Uint8Array(blob.header ?? []), sizeBytes: toNumber(blob.sizeBytes) }
    },

    download: (blobId, sizeBytes, offset, signal) => downloadBlob(channel, blobId, sizeBytes, { offset, signal }),

    async upload(jobId, results, from, signal) {
      const { upload } = await channel.unary(
        DatasetService.beginUpload,
        {
          kind: sealgate.v1.BlobKind.BLOB_KIND_RESULT,
          header: results.header,
          sizeBytes: results.sizeBytes,
          root: fromBase64Url(results.root),
          jobId,
        },
        { signal },
      )
      const uploadId = upload?.uploadId
      if (!uploadId) throw new AttestError('INTERNAL', 'the gateway opened no upload')
      await uploadBlob(channel, uploadId, { sizeBytes: results.sizeBytes, from }, { signal })
      const { blob } = await channel.unary(DatasetService.commitUpload, { uploadId }, { signal })
      if (!blob?.blobId) throw new AttestError('INTERNAL', 'the gateway committed no blob')
      return blob.blobId
    },
  }
}
