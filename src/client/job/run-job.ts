import { releaserOf, unixSeconds } from '../../verify/appraise/index.ts'
import type { ArrayTerms } from '../../verify/documents/array.ts'
import type { Contract, ImageRef, Limits, ServiceTerms } from '../../verify/documents/contract.ts'
import type { DatasetHeader } from '../../verify/documents/header.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { parsePolicy } from '../../verify/documents/policy.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Client } from '../client.ts'
import { refuseErased } from '../dataset/erase-dataset.ts'
import { type CheckedGrant, digestOf } from '../grants.ts'
import { isFinal, type JobView } from '../job-view.ts'
import type { KeptDataset } from '../keyring.ts'
import type { LogMemory } from '../log-memory.ts'
import type { Owner } from '../owner.ts'
import { untilWitnessed } from '../patience.ts'
import type { TrustedEnclave } from '../release/check-evidence.ts'
import { checkShares, ownShares } from '../release/check-share.ts'
import { beginRelease, type ReleasedShares, type ReleaseEvent, releaseShares } from '../release/release-shares.ts'
import { Slots } from '../release/slots.ts'
import { type JobTerms, parseDatasetHeader } from '../release/terms.ts'
import { ownerKeys } from '../releaser-keys.ts'
import { findGrants, namedGrants } from './choose-grants.ts'
import { ANY_MACHINE, DEFAULT_LIMITS, type MachineDemands, type SignedContract, signContract } from './contract.ts'
import { type CheckedReceipt, checkReceipt } from './receipt.ts'
import { fetchResults, type OpenedResults } from './results.ts'

/** What happens during a job, in order, each event after the checks that belong to it have passed. */
export type JobEvent =
  | { readonly kind: 'created'; readonly job: JobView; readonly contract: SignedContract; readonly grants: readonly CheckedGrant[] }
  | { readonly kind: 'state'; readonly job: JobView }
  | ReleaseEvent
  | { readonly kind: 'receipt'; readonly receipt: CheckedReceipt }
  | { readonly kind: 'download'; readonly done: number; readonly total: number }

export interface JobRequest {
  readonly client: Client
  readonly owner: Owner
  readonly trust: TrustFile
  readonly memory: LogMemory
  readonly image: ImageRef
  /** See {@link JobTerms}. */
  readonly imageSource?: string | undefined
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  /** Datasets by header digest, one's own or others', each with its file name under /in. */
  readonly inputs: readonly { readonly name: string; readonly dataset: string }[]
  readonly purpose: string
  readonly limits?: Limits
  /** Absent: a batch job. */
  readonly service?: ServiceTerms
  /** Absent: the image runs once. */
  readonly array?: ArrayTerms | undefined
  /** Default {@link ANY_MACHINE}. */
  readonly machine?: MachineDemands
  /** Default: the runner's usual one. */
  readonly isolation?: IsolationName | undefined
  /** What the job shares its machine with; default: nothing (`host`). */
  readonly exclusive?: Contract['exclusive'] | undefined
  /** Grant digests; empty: the client looks for one of each owner. */
  readonly grants: readonly string[]
  /** Folder to make for the results; null leaves them at the gateway. */
  readonly folder: string | null
  readonly signal?: AbortSignal
  readonly onEvent?: (event: JobEvent) => void
  /** The client's clock. */
  readonly now: () => Date
}

export interface JobReport {
  readonly job: JobView
  readonly receipt: CheckedReceipt
  /** Null where this client released nothing. */
  readonly enclave: TrustedEnclave | null
  readonly results: OpenedResults | null
}

/** How long to try to take back a job that is given up. */
const CANCEL_TIMEOUT_MS = 5000

/**
 * Takes a job the whole way: contract, evidence, log entry, release, receipt, results. Under the submitter's own grants it
 * releases itself; what others own, their releasers release. Believes the gateway nothing: no key is sealed before evidence and
 * log entry have been verified under the owners' policies and the own trust file, and no result is shown before the receipt
 * has. A job that ended badly is a report too, as long as its receipt verifies.
 * @throws AttestError naming what does not hold. A job that was not released by then is cancelled.
 */
export async function runJob(request: JobRequest): Promise<JobReport> {
  const { job: attested, contract, release } = await startJob(request)
  try {
    const job = isFinal(attested.state) ? attested : await waitFor(request, contract.contract.jobId, () => false)
    return await finish(request, job, contract, release)
  } catch (error) {
    await giveUp(request.client, contract.contract.jobId)
    throw error
  }
}

/** A job of which every key that is released here is with its enclave, or that has ended before. */
export interface StartedJob {
  readonly job: JobView
  readonly contract: SignedContract
  readonly grants: readonly CheckedGrant[]
  /** Null: nothing is released here, or the job has ended. */
  readonly release: ReleasedShares | null
}

/** The first half of {@link runJob}: up to the release. */
export async function startJob(request: JobRequest): Promise<StartedJob> {
  const { client, owner, trust, signal, onEvent } = request
  const nowSeconds = (): number => unixSeconds(request.now())
  const options = signal === undefined ? {} : { signal }
  const keys = ownerKeys(owner)
  await refuseErased(
    keys,
    request.inputs.map(({ dataset }) => dataset),
  )
  const kept = new Map((await owner.keyring.datasets()).map((dataset) => [dataset.digest, dataset]))
  if (request.inputs.some(({ dataset }) => !kept.has(dataset))) {
    // Only whom a grant names is shown it, and what the data of others is.
    await client.proveKey(owner.submitKey, options)
    await client.proveKey(keys.intentKey, options)
  }
  const named = request.grants.length === 0 ? null : await namedGrants(client, owner, trust.owners, request.grants)
  const datasets = await Promise.all(request.inputs.map(({ dataset }) => describeDataset(client, kept.get(dataset), dataset)))
  const inputs = request.inputs.map(({ name }, i) => ({ name, dataset: datasets[i] as Described }))
  const need = {
    datasets: new Map(datasets.map((d) => [d.digest, d.header.owner])),
    image: request.image,
    purpose: request.purpose,
    clients: request.service?.clients ?? [],
    items: request.array?.items,
    now: nowSeconds(),
  }
  const grants = named ?? (await findGrants(client, owner, trust.owners, need))
  const contract = await signContract(
    owner,
    {
      image: request.image,
      imageSource: request.imageSource,
      argv: request.argv,
      env: request.env,
      inputs,
      purpose: request.purpose,
      limits: request.limits ?? DEFAULT_LIMITS,
      machine: request.machine ?? ANY_MACHINE,
      isolation: request.isolation,
      exclusive: request.exclusive,
      policies: grants.map((g) => g.grant.policy),
      release: [...new Set(grants.map((g) => releaserOf(g).mode))].sort(),
      recipients: [],
      service: request.service ?? null,
      array: request.array,
    },
    nowSeconds(),
  )
  const terms = termsOf(contract, owner, grants, datasets)
  // What is released here is held against the own rules before anybody hears of the job.
  const isReleaser = ownShares(terms, keys.thumbprint).length > 0
  if (isReleaser) await checkShares(terms, keys, nowSeconds())
  const progress = beginRelease(terms, keys.thumbprint)
  const jobId = contract.contract.jobId
  try {
    const grantIds = grants.map((g) => g.grantId)
    const nonces = grantIds.map((grant) => progress.nonces.get(grant) ?? new Uint8Array())
    const created = await client.createJob(contract.jws, grantIds, nonces, options)
    onEvent?.({ kind: 'created', job: created, contract, grants })
    const attested = await waitFor(request, jobId, (job) => job.state === 'attested')
    if (!isReleaser) return { job: attested, contract, grants, release: null }
    const means = { ...request, keys, slots: new Slots(keys) }
    const release = isFinal(attested.state) ? null : await releaseShares(means, terms, progress, onEvent)
    return { job: attested, contract, grants, release }
  } catch (error) {
    await giveUp(client, jobId)
    throw error
  }
}

/** A dataset as a contract names it. */
interface Described {
  readonly digest: string
  readonly root: string
  readonly header: DatasetHeader
}

/** One's own from the keyring, where nothing comes from the gateway; others' from the gateway, as far as their digest goes. */
async function describeDataset(client: Client, kept: KeptDataset | undefined, digest: string): Promise<Described> {
  if (kept !== undefined) return { digest, root: kept.root, header: parseDatasetHeader(kept.header) }
  const { header, root } = await client.getBlob(digest).catch((error: unknown) => {
    if (!(error instanceof AttestError) || error.code !== 'NOT_FOUND') throw error
    throw new AttestError('GRANT_DENIED', `dataset ${digest} is not yours, and no valid grant names you for it`, { at: 'inputs' })
  })
  if ((await digestOf(header)) !== digest) {
    throw new AttestError('HEADER_INVALID', 'the gateway answered with another dataset', { at: 'header' })
  }
  return { digest, root, header: parseDatasetHeader(header) }
}

function termsOf(signed: SignedContract, owner: Owner, grants: readonly CheckedGrant[], datasets: readonly Described[]): JobTerms {
  const texts = new Map(grants.map((g) => [g.grant.policy, parsePolicy(g.policy)]))
  return {
    contract: signed.contract,
    jobDigest: signed.jobDigest,
    submitter: owner.submitThumbprint,
    grants: grants.map(({ grant, grantId, signer }) => ({ grant, digest: grantId, signer })),
    policies: [...texts].map(([digest, document]) => ({ digest, document })),
    headers: new Map(datasets.map((d) => [d.digest, d.header])),
  }
}

/** The job when it first satisfies `until` or has ended. */
export async function waitFor({ client, signal, onEvent }: JobRequest, jobId: string, until: (job: JobView) => boolean): Promise<JobView> {
  for await (const job of client.watchJob(jobId, signal === undefined ? {} : { signal })) {
    onEvent?.({ kind: 'state', job })
    if (until(job) || isFinal(job.state)) return job
  }
  throw new AttestError('GATEWAY_UNREACHABLE', 'the gateway stopped telling about the job')
}

async function finish(request: JobRequest, job: JobView, contract: SignedContract, release: ReleasedShares | null): Promise<JobReport> {
  const { client, owner, memory, trust, folder, signal, onEvent } = request
  const options = signal === undefined ? {} : { signal }
  const { jobId } = contract.contract
  const expected = { jobId, contractJws: contract.jws, intents: (release?.logged ?? []).map((logged) => logged.intentJws) }
  const receipt = await checkReceipt(await untilWitnessed(() => client.receipt(jobId, options), signal), trust, expected)
  for (const log of trust.logs) {
    const { checkpoint } = receipt.file.log.ending
    if (checkpoint.startsWith(`${log.origin}\n`)) {
      await memory.accept(log, checkpoint, 'any', (from, to) => client.consistencyProof(from, to, options))
    }
  }
  onEvent?.({ kind: 'receipt', receipt })
  const progress = (done: number, total: number): void => onEvent?.({ kind: 'download', done, total })
  const results =
    folder === null ? null : await fetchResults({ client, owner, statement: receipt.statement, folder, onProgress: progress, ...options })
  return { job, receipt, enclave: release?.enclave ?? null, results }
}

/** Best effort: the host should not wait for a release that will not come, nor work for nobody. */
export async function giveUp(client: Client, jobId: string): Promise<void> {
  await client.cancelJob(jobId, { timeoutMs: CANCEL_TIMEOUT_MS }).catch(() => undefined)
}
