import { bytesOf, type DatasetServiceDefinition, toNumber } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { BlobAccess } from '../blobs/access.ts'
import type { Uploads } from '../blobs/uploads.ts'
import { type Methods, unary, unaryForAll } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import { LIST_LIMIT } from '../store/tables.ts'
import { blobKindFromWire, blobToWire, uploadToWire } from './wire.ts'

/** Control of sealed files; their bytes go over HTTPS. Clients bring datasets, hosts bring results. */
export function datasetService(db: Database, uploads: Uploads, access: BlobAccess): Methods<DatasetServiceDefinition> {
  return {
    beginUpload: unaryForAll(async (request, { caller }) => {
      const kind = blobKindFromWire(request.kind)
      if (kind === null) throw new AttestError('DOCUMENT_INVALID', 'want a dataset or a result', { at: 'kind' })
      const upload = await uploads.begin(caller, {
        kind,
        header: bytesOf(request.header),
        size: toNumber(request.sizeBytes),
        root: bytesOf(request.root),
        jobId: request.jobId ? request.jobId : null,
      })
      return { upload: uploadToWire(upload) }
    }),
    getUpload: unaryForAll(async (request, { caller }) => ({ upload: uploadToWire(await uploads.get(caller, request.uploadId ?? '')) })),
    commitUpload: unaryForAll(async (request, { caller }) => ({ blob: blobToWire(await uploads.commit(caller, request.uploadId ?? '')) })),
    getBlob: unaryForAll(async (request, { caller }) => ({ blob: blobToWire(await access.describable(caller, request.blobId ?? '')) })),
    listDatasets: unary(async (_request, { caller }) => {
      const all = db
        .selectFrom('blobs')
        .selectAll()
        .where('owner', '=', caller.id)
        .where('kind', '=', 'dataset')
        .orderBy('created_at', 'desc')
        .limit(LIST_LIMIT)
      return { datasets: (await all.execute()).map(blobToWire).reverse() }
    }),
  }
}
