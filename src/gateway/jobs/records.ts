import type { Selectable } from 'kysely'
import { crypto } from '#crypto'
import { releaserText } from '../../verify/appraise/index.ts'
import { equal, toBase64Url } from '../../verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, parseContract } from '../../verify/documents/contract.ts'
import { type DatasetHeader, parseHeader } from '../../verify/documents/header.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../../verify/documents/intent.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { Grants, StoredGrant } from '../grants/grants.ts'
import { grantsNaming } from '../parties/parties.ts'
import type { Caller } from '../server/caller.ts'
import type { Database, Tx } from '../store/open-store.ts'
import { type JobRow, LIST_LIMIT, type TransitionRow } from '../store/tables.ts'
import type { AdmittedJob } from './admit.ts'
import type { ItemProgress } from './item-progress.ts'
import { assertTransition, BEFORE_RELEASE, type JobState } from './states.ts'

/** A document with its digest and exact bytes. */
export interface Stored<T> {
  readonly digest: string
  readonly bytes: Uint8Array
  readonly document: T
}

/** A job with everything that it stands on, each signature and digest checked when it was read. */
export interface JobFacts {
  readonly row: JobRow
  readonly state: JobState
  readonly contract: Contract
  /** Thumbprint of the contract's signer. */
  readonly submitter: string
  /** Sorted by digest. */
  readonly grants: readonly StoredGrant[]
  /** One per grant, in their order; those of grants whose releaser has not joined yet are missing. */
  readonly nonces: readonly Uint8Array[]
  /** Those that stand in the log, in their order there. */
  readonly releases: readonly JobRelease[]
  /** In the order of the contract's policies. */
  readonly policies: readonly Stored<Policy>[]
  /** In the order of the contract's inputs. */
  readonly headers: readonly Stored<DatasetHeader>[]
}

/** A release whose intent is in the log. */
export interface JobRelease {
  /** As the row names it. */
  readonly releaser: string
  readonly intent: ReleaseIntent
  readonly jws: Uint8Array
  readonly index: number
  /** ReleaseKeysRequest as received; null until the keys came, and after a revocation. */
  readonly sealedKeys: Uint8Array | null
}

/** One step of a job. */
export interface Step {
  readonly to: JobState
  /** For people; never holds data of the job. */
  readonly reason: string
  readonly code?: ErrorCode | undefined
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Members of the row that change with it. */
  readonly set?: Partial<JobRow>
}

/**
 * Takes a step that the table of transitions allows, and writes down why. The only place that changes the state of a job.
 * @throws AttestError `JOB_CONFLICT` when the job is no longer in state `from`, or may not go there.
 */
export async function takeStep(tx: Tx, jobId: string, from: JobState, step: Step): Promise<void> {
  assertTransition(from, step.to)
  const changed = await tx
    .updateTable('jobs')
    .set({ ...step.set, state: step.to })
    .where('job_id', '=', jobId)
    .where('state', '=', from)
    .executeTakeFirst()
  if (changed.numUpdatedRows !== 1n) throw new AttestError('JOB_CONFLICT', 'the job has moved on', { at: 'job.state' })
  await writeTransition(tx, jobId, step)
}

/** Writes a new job in its first state. */
export async function insertJob(
  tx: Tx,
  row: JobRow,
  { grants, datasets }: Pick<AdmittedJob, 'grants' | 'datasets'>,
  step: Step,
): Promise<void> {
  await tx.insertInto('jobs').values(row).execute()
  await tx
    .insertInto('job_inputs')
    .values(datasets.map((dataset) => ({ job_id: row.job_id, dataset })))
    .execute()
  const rows = grants.map(({ digest, nonce }, position) => ({ job_id: row.job_id, position, grant_digest: digest, nonce }))
  await tx.insertInto('job_grants').values(rows).execute()
  await writeTransition(tx, row.job_id, step)
}

async function writeTransition(tx: Tx, jobId: string, { to, reason, code, at }: Step): Promise<void> {
  const { steps } = await tx
    .selectFrom('transitions')
    .select((eb) => eb.fn.countAll<number>().as('steps'))
    .where('job_id', '=', jobId)
    .executeTakeFirstOrThrow()
  await tx
    .insertInto('transitions')
    .values({ job_id: jobId, seq: steps, state: to, at, reason, code: code ?? '' })
    .execute()
}

export interface JobView {
  readonly row: Selectable<JobRow>
  readonly transitions: readonly TransitionRow[]
  /** Of an array job that runs, as its host tells it. */
  readonly items?: ItemProgress | null
}

export async function viewJob(db: Database, jobId: string): Promise<JobView> {
  const row = await findJob(db, jobId)
  const transitions = await db.selectFrom('transitions').selectAll().where('job_id', '=', jobId).orderBy('seq').execute()
  return { row, transitions }
}

export async function findJob(db: Database, jobId: string): Promise<JobRow> {
  const row = await db.selectFrom('jobs').selectAll().where('job_id', '=', jobId).executeTakeFirst()
  if (row === undefined) throw unknownJob(jobId)
  return row
}

export function unknownJob(jobId: string): AttestError {
  return new AttestError('NOT_FOUND', `no job ${jobId}`, { at: 'jobs' })
}

/** Jobs that a client may see: those it created, and those under a grant that it put here, owns, or releases under. */
function visible(db: Database, caller: Caller) {
  const granted = db
    .selectFrom('job_grants')
    .innerJoin('grants', 'grants.digest', 'job_grants.grant_digest')
    .select('job_grants.job_id')
    .where('grants.put_by', '=', caller.id)
  const released = db
    .selectFrom('job_grants')
    .select('job_id')
    .where('grant_digest', 'in', grantsNaming(db, caller, ['owner', 'releaser']))
  return db
    .selectFrom('jobs')
    .where((eb) => eb.or([eb('creator', '=', caller.id), eb('job_id', 'in', granted), eb('job_id', 'in', released)]))
}

/** The newest ones, oldest first. */
export async function visibleJobIds(db: Database, caller: Caller): Promise<readonly string[]> {
  const rows = await visible(db, caller).select('job_id').orderBy('created_at', 'desc').limit(LIST_LIMIT).execute()
  return rows.map((row) => row.job_id).reverse()
}

/** Jobs that are not released yet and of which the caller is a releaser, the oldest first. */
export async function waitingReleases(db: Database, caller: Caller): Promise<readonly Pick<JobRow, 'job_id' | 'state'>[]> {
  const under = db
    .selectFrom('job_grants')
    .select('job_id')
    .where('grant_digest', 'in', grantsNaming(db, caller, ['releaser']))
  const rows = db.selectFrom('jobs').select(['job_id', 'state']).where('state', 'in', BEFORE_RELEASE).where('job_id', 'in', under)
  return rows.orderBy('created_at').limit(LIST_LIMIT).execute()
}

/** @throws AttestError `NOT_FOUND` also for a job of somebody else. */
export async function requireVisible(db: Database, caller: Caller, jobId: string): Promise<void> {
  const row =
    caller.role === 'client' ? await visible(db, caller).select('job_id').where('job_id', '=', jobId).executeTakeFirst() : undefined
  if (row === undefined) throw unknownJob(jobId)
}

/** Nothing is kept of a job whose datasets were erased but that it was, and how it ended. */
export function refuseErasedJob({ job_id, contract }: Pick<JobRow, 'job_id' | 'contract'>): void {
  if (contract.length > 0) return
  throw new AttestError('DATASET_ERASED', `the records of job ${job_id} went with its datasets`, { at: 'jobs' })
}

/** Reads a job and everything that it names. @throws AttestError `NOT_FOUND`, `LOG_CORRUPT`, `DATASET_ERASED`. */
export async function loadFacts(db: Database, grants: Grants, jobId: string): Promise<JobFacts> {
  const row = await findJob(db, jobId)
  refuseErasedJob(row)
  const { payload, digest, signers } = await verifyFlattenedJws(row.contract, CONTRACT_TYP, 'contract')
  if (digest !== row.digest) throw new AttestError('LOG_CORRUPT', 'a stored contract is not the one of its name', { at: 'store.jobs' })
  const contract = parseContract(payload)
  const links = await db.selectFrom('job_grants').selectAll().where('job_id', '=', jobId).orderBy('position').execute()
  const held = await Promise.all(links.map((link) => grants.load(link.grant_digest)))
  return {
    row,
    state: row.state as JobState,
    contract,
    submitter: signers[0]?.thumbprint ?? '',
    grants: held,
    nonces: links.flatMap((link) => link.nonce ?? []),
    releases: await loadReleases(db, jobId),
    policies: policiesOf(contract, held),
    headers: await loadHeaders(db, contract),
  }
}

async function loadReleases(db: Database, jobId: string): Promise<readonly JobRelease[]> {
  const rows = await db.selectFrom('job_releases').selectAll().where('job_id', '=', jobId).orderBy('log_index').execute()
  return Promise.all(
    rows.map(async ({ releaser, intent: jws, log_index, sealed_keys }) => {
      const { payload, signers } = await verifyFlattenedJws(jws, INTENT_TYP, 'intent')
      const intent = parseIntent(payload)
      if (releaserText({ mode: intent.mode, thumbprint: signers[0]?.thumbprint ?? '' }) !== releaser) {
        throw new AttestError('LOG_CORRUPT', 'a stored release is not that of its releaser', { at: 'store.job_releases' })
      }
      return { releaser, intent, jws, index: log_index, sealedKeys: sealed_keys }
    }),
  )
}

/** Milliseconds since the epoch by which the first of a job's releases must have its ending; null without a release. */
export function endingDue({ releases }: Pick<JobFacts, 'releases'>): number | null {
  return releases.length === 0 ? null : Math.min(...releases.map(({ intent }) => Date.parse(intent.deadline)))
}

/** @throws AttestError `POLICY_DENIED` for a policy of the contract that no grant brought. */
export function policiesOf(contract: Contract, grants: readonly StoredGrant[]): readonly Stored<Policy>[] {
  return contract.policies.map((digest) => {
    const text = grants.find((g) => g.grant.policy === digest)?.policyText
    if (text === undefined) throw new AttestError('POLICY_DENIED', `no grant names policy ${digest}`, { at: 'contract.policies' })
    return { digest, bytes: text, document: parsePolicy(text) }
  })
}

/** @throws AttestError `NOT_FOUND` for a dataset that is not here, `ROOT_MISMATCH` for one with other ciphertext. */
export async function loadHeaders(db: Database, contract: Contract): Promise<readonly Stored<DatasetHeader>[]> {
  const headers: Stored<DatasetHeader>[] = []
  for (const input of contract.inputs) {
    const row = await db
      .selectFrom('blobs')
      .selectAll()
      .where('blob_id', '=', input.header)
      .where('kind', '=', 'dataset')
      .executeTakeFirst()
    // A job that is about another dataset too outlives an erased one: the order has its header, and there is no ciphertext to compare.
    const order = db.selectFrom('erasures').select('header').where('dataset', '=', input.header)
    const header = row?.header ?? (await order.executeTakeFirst())?.header
    if (header === undefined) throw new AttestError('NOT_FOUND', `dataset ${input.header} is not here`, { at: 'contract.inputs' })
    if (toBase64Url(await crypto.digest('SHA-256', header)) !== input.header) {
      throw new AttestError('LOG_CORRUPT', 'a stored header is not the one of its name', { at: 'store.blobs' })
    }
    if (row !== undefined && toBase64Url(row.root) !== input.root) {
      throw new AttestError('ROOT_MISMATCH', `the ciphertext of ${input.header} has another root than the contract names`, {
        at: 'contract.inputs',
      })
    }
    const document = parseHeader(header)
    if (document.kind !== 'dataset') throw new AttestError('HEADER_INVALID', 'results are no input', { at: 'contract.inputs' })
    headers.push({ digest: input.header, bytes: header, document })
  }
  return headers
}

/** Compares byte strings that may be absent. */
export function sameBytes(a: Uint8Array | null, b: Uint8Array): boolean {
  return a !== null && equal(a, b)
}
