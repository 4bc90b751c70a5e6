import { sealgate } from '../../rpc/index.ts'
import { fromBase64Url } from '../../verify/bytes/bytes.ts'
import { instant } from '../clock.ts'
import type { StoredGrant } from '../grants/grants.ts'
import type { JobState, JobView } from '../jobs/index.ts'
import type { BlobKind, BlobRow, ErasureRow, UploadRow } from '../store/tables.ts'

const { BlobKind: WireBlobKind, JobState: WireJobState } = sealgate.v1

const STATES: Readonly<Record<JobState, sealgate.v1.JobState>> = {
  'awaiting-releasers': WireJobState.JOB_STATE_AWAITING_RELEASERS,
  created: WireJobState.JOB_STATE_CREATED,
  placed: WireJobState.JOB_STATE_PLACED,
  attested: WireJobState.JOB_STATE_ATTESTED,
  logged: WireJobState.JOB_STATE_LOGGED,
  released: WireJobState.JOB_STATE_RELEASED,
  running: WireJobState.JOB_STATE_RUNNING,
  succeeded: WireJobState.JOB_STATE_SUCCEEDED,
  failed: WireJobState.JOB_STATE_FAILED,
  refused: WireJobState.JOB_STATE_REFUSED,
  lost: WireJobState.JOB_STATE_LOST,
  cancelled: WireJobState.JOB_STATE_CANCELLED,
}

const KINDS: Readonly<Record<BlobKind, sealgate.v1.BlobKind>> = {
  dataset: WireBlobKind.BLOB_KIND_DATASET,
  result: WireBlobKind.BLOB_KIND_RESULT,
}

export function jobToWire({ row, transitions, items }: JobView): sealgate.v1.IJob {
  return {
    jobId: row.job_id,
    jobDigest: fromBase64Url(row.digest),
    state: STATES[row.state as JobState],
    host: row.host ?? '',
    transitions: transitions.map((t) => ({ state: STATES[t.state as JobState], at: instant(t.at), reason: t.reason, code: t.code })),
    ...(items == null ? {} : { itemsDone: items.done, items: items.total }),
  }
}

export function stateToWire(state: JobState): sealgate.v1.JobState {
  return STATES[state]
}

export function uploadToWire({ upload_id, size, received }: UploadRow): sealgate.v1.IUpload {
  return { uploadId: upload_id, sizeBytes: size, receivedBytes: received }
}

export function blobToWire({ blob_id, kind, header, root, size }: BlobRow): sealgate.v1.IBlob {
  return { blobId: blob_id, kind: KINDS[kind], header, root, sizeBytes: size }
}

export function erasedToWire(row: Pick<ErasureRow, 'dataset' | 'log_index' | 'created_at'>): sealgate.v1.IErasedDataset {
  const wire = { blobId: row.dataset, orderedAt: instant(row.created_at) }
  return row.log_index === null ? wire : { ...wire, logIndex: row.log_index }
}

/** Null for a kind that nobody knows. */
export function blobKindFromWire(kind: unknown): BlobKind | null {
  if (kind === WireBlobKind.BLOB_KIND_DATASET) return 'dataset'
  return kind === WireBlobKind.BLOB_KIND_RESULT ? 'result' : null
}

/** @param hold - The newest hold of it, or end of one; undefined: there is none. */
export function grantToWire({ digest, jws, policyText }: StoredGrant, revoked: boolean, hold?: Uint8Array): sealgate.v1.IGrant {
  return { grantId: digest, jws, policy: policyText, revoked, hold: hold ?? new Uint8Array() }
}
