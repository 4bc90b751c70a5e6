import type { Generated } from 'kysely'

/** Longest answer to a listing: the newest rows that surely fit one message of 4 MiB. */
export const LIST_LIMIT = 500

/** Rows as SQLite keeps them. Instants are milliseconds since the epoch; digests and ids base64url; lists JSON text. */
export interface Tables {
  blobs: BlobRow
  uploads: UploadRow
  grants: GrantRow
  grant_parties: GrantPartyRow
  proven_keys: ProvenKeyRow
  revocations: RevocationRow
  holds: HoldRow
  jobs: JobRow
  job_grants: JobGrantRow
  job_releases: JobReleaseRow
  transitions: TransitionRow
  use_slots: UseSlotRow
  log_leaves: LogLeafRow
  log_nodes: LogNodeRow
  log_tags: LogTagRow
  log_openings: LogOpeningRow
  log_checkpoints: LogCheckpointRow
  log_witnessed: LogWitnessedRow
  witness_pending: WitnessPendingRow
  receipts: ReceiptRow
  hosts: HostRow
  job_inputs: JobInputRow
  grant_datasets: GrantDatasetRow
  erasures: ErasureRow
  log_erased: LogErasedRow
  events: EventRow
}

export type BlobKind = 'dataset' | 'result'

export interface BlobRow {
  /** SHA-256 of the header; name of the file in the blob folder. */
  blob_id: string
  kind: BlobKind
  header: Uint8Array
  /** Merkle root over the ciphertext segments, 32 bytes. */
  root: Uint8Array
  size: number
  /** SHA-256 of the whole file, 32 bytes. */
  digest: Uint8Array
  /** `client:NAME` or `host:NAME`. */
  owner: string
  /** Results only. */
  job_id: string | null
  created_at: number
}

export interface UploadRow {
  upload_id: string
  blob_id: string
  kind: BlobKind
  header: Uint8Array
  root: Uint8Array
  size: number
  owner: string
  job_id: string | null
  /** Bytes that were fsynced. */
  received: number
  committed: 0 | 1
  touched_at: number
}

export interface GrantRow {
  digest: string
  jws: Uint8Array
  policy: Uint8Array
  put_by: string
  created_at: number
}

export type PartyRole = 'owner' | 'releaser' | 'submitter'

/** A key that a grant names, and as what. */
export interface GrantPartyRow {
  grant_digest: string
  role: PartyRole
  thumbprint: string
}

/** The holder of a TLS key has shown that it holds this signing key too. */
export interface ProvenKeyRow {
  /** SHA-256 of its SubjectPublicKeyInfo. */
  tls: string
  thumbprint: string
  created_at: number
}

export interface RevocationRow {
  grant_digest: string
  jws: Uint8Array
  created_at: number
}

/** The newest hold of a grant, or the end of one. */
export interface HoldRow {
  grant_digest: string
  sequence: number
  held: 0 | 1
  jws: Uint8Array
  created_at: number
}

export interface JobRow {
  job_id: string
  digest: string
  contract: Uint8Array
  creator: string
  state: string
  host: string | null
  /** Checkpoint that went into the nonce of the present offer. */
  checkpoint: string | null
  /** JSON form of the evidence bundle. */
  evidence: Uint8Array | null
  /** Canonical JSON: checks and claims of the appraisal. */
  appraisal: Uint8Array | null
  /** JSON list of base64url DER: collateral as used. */
  endorsements: string
  ear: Uint8Array | null
  /** JSON: reasons for and against each host. */
  placement: string
  created_at: number
}

export interface JobGrantRow {
  job_id: string
  position: number
  grant_digest: string
  /** Null until the grant's releaser has joined. */
  nonce: Uint8Array | null
}

/** A release of a job, from the moment that its intent is in the log. */
export interface JobReleaseRow {
  job_id: string
  /** `direct:THUMBPRINT` or `brokered:THUMBPRINT`. */
  releaser: string
  /** JWS. */
  intent: Uint8Array
  /** Place of the intent in the log. */
  log_index: number
  /** ReleaseKeysRequest as received: keys sealed to the enclave. */
  sealed_keys: Uint8Array | null
}

export interface TransitionRow {
  job_id: string
  seq: number
  state: string
  at: number
  reason: string
  code: string
}

export interface UseSlotRow {
  grant_digest: string
  k: number
  job_id: string
}

export interface LogLeafRow {
  idx: number
  leaf: Uint8Array
  hash: Uint8Array
  /** Checkpoint that was signed with this leaf's batch. */
  checkpoint_id: number
}

/** Hash of the complete subtree over leaves [idx·2^level, (idx+1)·2^level). */
export interface LogNodeRow {
  level: number
  idx: number
  hash: Uint8Array
}

export interface LogTagRow {
  tag: string
  idx: number
}

export interface LogOpeningRow {
  idx: number
  salt: Uint8Array
  opening: Uint8Array
}

export interface LogCheckpointRow {
  id: Generated<number>
  size: number
  /** Seconds since the epoch, as cosigned. */
  time: number
  note: string
}

/** The first checkpoint over an entry that was cosigned as its job's policies demand. */
export interface LogWitnessedRow {
  idx: number
  size: number
  note: string
}

/** An ending whose job's policies demand a quorum that was not reached yet. */
export interface WitnessPendingRow {
  /** Place of the ending in the log. */
  idx: number
  job_id: string
}

export interface ReceiptRow {
  job_id: string
  type: string
  /** General JWS. */
  jws: Uint8Array
  log_index: number
  result_blob_id: string | null
}

export interface HostRow {
  name: string
  runners: string
  /** Canonical JSON of the newest appraisal. */
  appraisal: Uint8Array | null
  accepted: 0 | 1
  expires_at: number
  seen_at: number
}

/** The datasets of a job; gone with its records. */
export interface JobInputRow {
  job_id: string
  dataset: string
}

export interface GrantDatasetRow {
  grant_digest: string
  dataset: string
}

/** An owner's order that a dataset be erased: in force with this row, carried out when it has its place in the log. */
export interface ErasureRow {
  dataset: string
  order_jws: Uint8Array
  header: Uint8Array
  /** Exact bytes of the policy that the order names. */
  policy: Uint8Array | null
  put_by: string
  created_at: number
  log_index: number | null
}

/** An entry whose salt and opening were erased, and the entry of the erasure that took them. */
export interface LogErasedRow {
  idx: number
  by_idx: number
}

/** An event that is no job's, with the documents of its receipt. */
export interface EventRow {
  log_index: number
  type: string
  /** Dataset, grant or host. */
  name: string
  /** Who may read it; null: every client. */
  reader: string | null
  /** Canonical JSON of the receipt file, without the proof. */
  body: Uint8Array
}
