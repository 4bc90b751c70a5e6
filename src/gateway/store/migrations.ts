import { type Kysely, type Migration, type MigrationProvider, sql } from 'kysely'
import { fromBase64Url, fromUtf8 } from '../../verify/bytes/bytes.ts'

/** Each statement of the first schema. STRICT: SQLite then refuses values of another type. */
const FIRST = [
  `create table blobs (
     blob_id text primary key, kind text not null, header blob not null, root blob not null, size integer not null,
     digest blob not null, owner text not null, job_id text, created_at integer not null) strict, without rowid`,
  `create index blobs_by_owner on blobs (owner, kind)`,
  `create table uploads (
     upload_id text primary key, blob_id text not null, kind text not null, header blob not null, root blob not null,
     size integer not null, owner text not null, job_id text, received integer not null, committed integer not null,
     touched_at integer not null, unique (owner, blob_id)) strict, without rowid`,
  `create table grants (
     digest text primary key, jws blob not null, policy blob not null, put_by text not null, created_at integer not null) strict, without rowid`,
  `create index grants_by_client on grants (put_by)`,
  `create table revocations (grant_digest text primary key, jws blob not null, created_at integer not null) strict, without rowid`,
  `create table jobs (
     job_id text primary key, digest text not null unique, contract blob not null, creator text not null, state text not null,
     host text, checkpoint text, evidence blob, appraisal blob, endorsements text not null, ear blob, intent blob,
     release_index integer, sealed_keys blob, placement text not null, created_at integer not null) strict, without rowid`,
  `create index jobs_by_creator on jobs (creator)`,
  `create index jobs_by_state on jobs (state)`,
  `create table job_grants (
     job_id text not null, position integer not null, grant_digest text not null, nonce blob not null,
     primary key (job_id, position)) strict, without rowid`,
  `create index job_grants_by_grant on job_grants (grant_digest)`,
  `create table transitions (
     job_id text not null, seq integer not null, state text not null, at integer not null, reason text not null, code text not null,
     primary key (job_id, seq)) strict, without rowid`,
  `create table use_slots (
     grant_digest text not null, k integer not null, job_id text not null, primary key (grant_digest, k)) strict, without rowid`,
  `create table log_leaves (
     idx integer primary key, leaf blob not null, hash blob not null, checkpoint_id integer not null) strict`,
  `create unique index log_leaves_by_hash on log_leaves (hash)`,
  `create table log_nodes (
     level integer not null, idx integer not null, hash blob not null, primary key (level, idx)) strict, without rowid`,
  `create table log_tags (tag text primary key, idx integer not null) strict, without rowid`,
  `create table log_openings (idx integer primary key, salt blob not null, opening blob not null) strict`,
  `create table log_checkpoints (id integer primary key, size integer not null, time integer not null, note text not null) strict`,
  `create table receipts (
     job_id text primary key, type text not null, jws blob not null, log_index integer not null, result_blob_id text) strict, without rowid`,
  `create table hosts (
     name text primary key, runners text not null, appraisal blob, accepted integer not null, expires_at integer not null,
     seen_at integer not null) strict, without rowid`,
]

const first: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of FIRST) await sql.raw(statement).execute(db)
  },
}

/** Entries that were cosigned after they were logged, with the checkpoint that they are proven under since; and endings that wait for it. */
const witnessed: Migration = {
  async up(db: Kysely<unknown>) {
    await sql.raw(`create table log_witnessed (idx integer primary key, size integer not null, note text not null) strict`).execute(db)
    await sql.raw(`create table witness_pending (idx integer primary key, job_id text not null) strict`).execute(db)
  },
}

const ERASURE = [
  `create table job_inputs (job_id text not null, dataset text not null, primary key (job_id, dataset)) strict, without rowid`,
  `create index job_inputs_by_dataset on job_inputs (dataset)`,
  `create table grant_datasets (
     grant_digest text not null, dataset text not null, primary key (grant_digest, dataset)) strict, without rowid`,
  `create index grant_datasets_by_dataset on grant_datasets (dataset)`,
  `create table erasures (
     dataset text primary key, order_jws blob not null, header blob not null, policy blob, put_by text not null,
     created_at integer not null, log_index integer) strict, without rowid`,
  `create table log_erased (idx integer primary key, by_idx integer not null) strict`,
  `create table events (log_index integer primary key, type text not null, name text not null, reader text, body blob not null) strict`,
  `create index events_by_name on events (type, name)`,
]

interface Signed {
  readonly digest: string
  readonly jws: Uint8Array
}

/** Erasures, receipts of what is no job, and which datasets jobs and grants are about: those of before say it in their documents. */
const erasure: Migration = {
  async up(db: Kysely<unknown>) {
    for (const statement of ERASURE) await sql.raw(statement).execute(db)
    const jobs = await sql<Signed>`select job_id as digest, contract as jws from jobs`.execute(db)
    for (const { digest, jws } of jobs.rows) {
      for (const { header } of payloadOf<{ readonly inputs: readonly { readonly header: string }[] }>(jws).inputs) {
        await sql`insert into job_inputs values (${digest}, ${header}) on conflict do nothing`.execute(db)
      }
    }
    const grants = await sql<Signed>`select digest, jws from grants`.execute(db)
    for (const { digest, jws } of grants.rows) {
      for (const dataset of payloadOf<{ readonly datasets: readonly string[] }>(jws).datasets) {
        await sql`insert into grant_datasets values (${digest}, ${dataset})`.execute(db)
      }
    }
  },
}

const holds: Migration = {
  async up(db: Kysely<unknown>) {
    const columns =
      'grant_digest text primary key, sequence integer not null, held integer not null, jws blob not null, created_at integer not null'
    await sql.raw(`create table holds (${columns}) strict, without rowid`).execute(db)
  },
}

/** Checked when it was stored, and again whenever it is acted on. */
function payloadOf<T>(jws: Uint8Array): T {
  const { payload } = JSON.parse(fromUtf8(jws)) as { readonly payload: string }
  return JSON.parse(fromUtf8(fromBase64Url(payload))) as T
}

/** Several releasers for one job: a release is a row of its own, a nonce comes when its releaser joins, and keys tell who is who. */
const releasers: Migration = {
  async up(db: Kysely<unknown>) {
    const statements = [
      `create table job_releases (
         job_id text not null, releaser text not null, intent blob not null, log_index integer not null, sealed_keys blob,
         primary key (job_id, releaser)) strict, without rowid`,
      `create table proven_keys (
         tls text not null, thumbprint text not null, created_at integer not null, primary key (tls, thumbprint)) strict, without rowid`,
      `create table grant_parties (
         grant_digest text not null, role text not null, thumbprint text not null,
         primary key (grant_digest, role, thumbprint)) strict, without rowid`,
      `create index grant_parties_by_key on grant_parties (thumbprint, role)`,
      `alter table jobs drop column intent`,
      `alter table jobs drop column release_index`,
      `alter table jobs drop column sealed_keys`,
      `create table joined_grants (
         job_id text not null, position integer not null, grant_digest text not null, nonce blob,
         primary key (job_id, position)) strict, without rowid`,
      `insert into joined_grants select job_id, position, grant_digest, nonce from job_grants`,
      `drop table job_grants`,
      `alter table joined_grants rename to job_grants`,
      `create index job_grants_by_grant on job_grants (grant_digest)`,
    ]
    for (const statement of statements) await sql.raw(statement).execute(db)
  },
}

/** Every schema change, by name, in order. A change is added, never edited. */
export const migrations: MigrationProvider = {
  getMigrations: () =>
    Promise.resolve({
      '0001-first': first,
      '0002-witnessed': witnessed,
      '0003-erasure': erasure,
      '0004-releasers': releasers,
      '0005-holds': holds,
    }),
}
