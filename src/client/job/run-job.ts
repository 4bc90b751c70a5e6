import { grantTimeChecks, jobGrantChecks, unixSeconds } from '../../verify/appraise/index.ts'
import type { ImageRef, Limits, ServiceTerms } from '../../verify/documents/contract.ts'
import { type DatasetHeader, parseHeader } from '../../verify/documents/header.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { accepts } from '../../verify/verdict.ts'
import type { Client } from '../client.ts'
import type { OwnGrant } from '../grants.ts'
import { isFinal, type JobView } from '../job-view.ts'
import type { KeptDataset } from '../keyring.ts'
import type { LogMemory } from '../log-memory.ts'
import { type Owner, random } from '../owner.ts'
import { untilWitnessed } from '../patience.ts'
import { checkEvidence, describeFailures, type TrustedEnclave } from './check-evidence.ts'
import { chooseGrants } from './choose-grants.ts'
import { ANY_MACHINE, DEFAULT_LIMITS, type MachineDemands, type SignedContract, signContract } from './contract.ts'
import { type CheckedReceipt, checkReceipt } from './receipt.ts'
import { type LoggedIntent, logIntent, type ReleasePlan, releaseKeys } from './release.ts'
import { fetchResults, type OpenedResults } from './results.ts'

/** What happens during a job, in order, each event after the checks that belong to it have passed. */
export type JobEvent =
  | { readonly kind: 'created'; readonly job: JobView; readonly contract: SignedContract; readonly grants: readonly OwnGrant[] }
  | { readonly kind: 'state'; readonly job: JobView }
  | { readonly kind: 'attested'; readonly enclave: TrustedEnclave }
  | { readonly kind: 'logged'; readonly logged: LoggedIntent }
  | { readonly kind: 'released' }
  | { readonly kind: 'receipt'; readonly receipt: CheckedReceipt }
  | { readonly kind: 'download'; readonly done: number; readonly total: number }

export interface JobRequest {
  readonly client: Client
  readonly owner: Owner
  readonly trust: TrustFile
  readonly memory: LogMemory
  readonly image: ImageRef
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  /** Datasets of the keyring by header digest, each with its file name under /in. */
  readonly inputs: readonly { readonly name: string; readonly dataset: string }[]
  readonly purpose: string
  readonly limits?: Limits
  /** Absent: a batch job. */
  readonly service?: ServiceTerms
  /** Default {@link ANY_MACHINE}. */
  readonly machine?: MachineDemands
  /** Grant digests; empty: the client looks for one. */
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
  readonly enclave: TrustedEnclave | null
  readonly results: OpenedResults | null
}

/** How long to try to take back a job that is given up. */
const CANCEL_TIMEOUT_MS = 5000

/**
 * Takes a job the whole way: contract, evidence, log entry, release, receipt, results. Believes the gateway nothing: no
 * key is sealed before evidence and log entry have been verified under the owner's own policies and trust file, and no
 * result is shown before the receipt has. A job that ended badly is a report too, as long as its receipt verifies.
 * @throws AttestError naming what does not hold. A job that was not released by then is cancelled.
 */
export async function runJob(request: JobRequest): Promise<JobReport> {
  const { job: attested, contract, release } = await startJob(request)
  try {
    const job = release === null ? attested : await waitFor(request, contract.contract.jobId, () => false)
    return await finish(request, job, contract, release)
  } catch (error) {
    await giveUp(request.client, contract.contract.jobId)
    throw error
  }
}

/** A job whose keys are with its enclave, or that ended before. */
export interface StartedJob {
  readonly job: JobView
  readonly contract: SignedContract
  readonly grants: readonly OwnGrant[]
  readonly ownerNonces: readonly Uint8Array[]
  /** Null: it has ended. */
  readonly release: Released | null
}

/** The first half of {@link runJob}: up to the release. */
export async function startJob(request: JobRequest): Promise<StartedJob> {
  const { client, owner, signal, onEvent } = request
  const nowSeconds = (): number => unixSeconds(request.now())
  const options = signal === undefined ? {} : { signal }
  const inputs = await Promise.all(
    request.inputs.map(async ({ name, dataset }) => ({ name, dataset: await owner.keyring.dataset(dataset) })),
  )
  const need = {
    datasets: inputs.map((i) => i.dataset.digest),
    image: request.image,
    purpose: request.purpose,
    clients: request.service?.clients ?? [],
    now: nowSeconds(),
  }
  const grants = await chooseGrants(client, owner, request.grants, need)
  const terms = {
    image: request.image,
    argv: request.argv,
    env: request.env,
    inputs,
    purpose: request.purpose,
    limits: request.limits ?? DEFAULT_LIMITS,
    machine: request.machine ?? ANY_MACHINE,
    policies: grants.map((g) => g.grant.policy),
    recipients: [],
    service: request.service ?? null,
  }
  const contract = await signContract(owner, terms, nowSeconds())
  const ownerNonces = grants.map(() => random(32))
  const jobId = contract.contract.jobId
  try {
    const grantIds = grants.map((g) => g.grantId)
    const created = await client.createJob(contract.jws, grantIds, ownerNonces, options)
    onEvent?.({ kind: 'created', job: created, contract, grants })
    const attested = await waitFor(request, jobId, (job) => job.state === 'attested')
    const release = isFinal(attested.state) ? null : await attestAndRelease(request, { contract, grants, inputs, ownerNonces, nowSeconds })
    return { job: attested, contract, grants, ownerNonces, release }
  } catch (error) {
    await giveUp(client, jobId)
    throw error
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

interface Prepared {
  readonly contract: SignedContract
  readonly grants: readonly OwnGrant[]
  readonly inputs: readonly { readonly dataset: KeptDataset }[]
  readonly ownerNonces: readonly Uint8Array[]
  readonly nowSeconds: () => number
}

export interface Released {
  readonly enclave: TrustedEnclave
  readonly logged: LoggedIntent
}

async function attestAndRelease(request: JobRequest, prepared: Prepared): Promise<Released> {
  const { client, owner, memory, trust, signal, onEvent } = request
  const { contract, grants, ownerNonces, nowSeconds } = prepared
  const options = signal === undefined ? {} : { signal }
  const policies = grants.map((g) => parsePolicy(g.policy))
  const evidence = await client.jobEvidence(contract.contract.jobId, options)
  for (const { log } of policies) {
    await memory.accept(log, evidence.checkpoint, 'any', (from, to) => client.consistencyProof(from, to, options))
  }
  const question = { evidence, contract: contract.contract, jobDigest: contract.jobDigest, ownerNonces, policies, trust }
  const enclave = await checkEvidence({ ...question, at: request.now() })
  await checkGrants(owner, prepared, policies)
  onEvent?.({ kind: 'attested', enclave })
  const plan: ReleasePlan = {
    client,
    owner,
    memory,
    contract: contract.contract,
    jobDigest: contract.jobDigest,
    grants,
    policies,
    enclave,
    nonceCheckpoint: evidence.checkpoint,
    now: nowSeconds,
    ...options,
  }
  const logged = await logIntent(plan)
  onEvent?.({ kind: 'logged', logged })
  await releaseKeys(plan, logged)
  onEvent?.({ kind: 'released' })
  return { enclave, logged }
}

/** The owner's own word on its grants, whatever gateway and enclave think of them. */
async function checkGrants(owner: Owner, { contract, grants, inputs, nowSeconds }: Prepared, policies: readonly Policy[]): Promise<void> {
  const headers = new Map(inputs.map(({ dataset }) => [dataset.digest, parseHeader(dataset.header) as DatasetHeader]))
  const signed = grants.map((g) => ({ grant: g.grant, digest: g.grantId, signer: owner.grantThumbprint }))
  const checks = await jobGrantChecks({ contract: contract.contract, submitter: owner.submitThumbprint, headers }, signed)
  if (!accepts(checks) || policies.length === 0) throw new AttestError('GRANT_DENIED', describeFailures(checks))
  const times = grants.flatMap((g) => grantTimeChecks(g.grant, nowSeconds(), nowSeconds()))
  if (!accepts(times)) throw new AttestError('GRANT_EXPIRED', describeFailures(times))
}

async function finish(request: JobRequest, job: JobView, contract: SignedContract, release: Released | null): Promise<JobReport> {
  const { client, owner, memory, trust, folder, signal, onEvent } = request
  const options = signal === undefined ? {} : { signal }
  const { jobId } = contract.contract
  const expected = { jobId, contractJws: contract.jws, intentJws: release?.logged.intentJws ?? null }
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
