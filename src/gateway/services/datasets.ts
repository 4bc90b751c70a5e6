import { bytesOf, type DatasetServiceDefinition, toNumber } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { BlobAccess } from '../blobs/access.ts'
import type { Uploads } from '../blobs/uploads.ts'
import type { Erasures } from '../jobs/index.ts'
import { type Methods, unary, unaryForAll } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import { LIST_LIMIT } from '../store/tables.ts'
import { blobKindFromWire, blobToWire, erasedToWire, uploadToWire } from './wire.ts'

export interface DatasetMeans {
  readonly db: Database
  readonly uploads: Uploads
  readonly access: BlobAccess
  readonly erasures: Erasures
}

/** Control of sealed files; their bytes go over HTTPS. Clients bring datasets, hosts bring results. */
export function datasetService({ db, uploads, access, erasures }: DatasetMeans): Methods<DatasetServiceDefinition> {
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
      const erased = await erasures.list(caller)
      const isErased = new Set(erased.map((row) => row.dataset))
      const datasets = (await all.execute()).filter((row) => !isErased.has(row.blob_id))
      return { datasets: datasets.map(blobToWire).reverse(), erased: erased.map(erasedToWire) }
    }),
    eraseDataset: unary(async (request, { caller }) => {
      const policy = bytesOf(request.policy)
      const { index, waiting } = await erasures.erase(caller, bytesOf(request.orderJws), policy.length === 0 ? null : policy)
      return { waitingJobs: waiting, ...(index === null ? {} : { logIndex: index }) }
    }),
  }
}
