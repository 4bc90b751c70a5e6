import type { sealgate } from '../../rpc/index.ts'
import { bundleFromWire } from '../../rpc/index.ts'
import { constraintChecks, leniencyOf, provenOf, serviceKeyChecks } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { parseBinding } from '../../verify/documents/binding.ts'
import { type EvidenceBundle, encodeEvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import { jobNonce } from '../../verify/documents/job-nonce.ts'
import type { OutcomeKind, Statement } from '../../verify/documents/statement.ts'
import { AttestError, ERROR_CODES, type ErrorCode } from '../../verify/errors.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import { attestationResult, encodeAppraisal } from '../appraiser.ts'
import { describeFailures } from '../refuse.ts'
import type { BlobRow } from '../store/tables.ts'
import { verifyOutcome } from './check-outcome.ts'
import type { JobCore } from './core.ts'
import type { Erasures } from './erasures.ts'
import { evidenceOf } from './evidence.ts'
import type { ItemProgress } from './item-progress.ts'
import type { Placer } from './placer.ts'
import { findJob, type JobFacts, unknownJob } from './records.ts'
import type { Releases } from './releases.ts'
import type { Revocations } from './revocations.ts'
import { plainText } from './statements.ts'
import { FINAL, isFinal, type JobState, ON_HOST, WITH_KEYS } from './states.ts'

type Wire<T> = T | null | undefined

const STATE_OF: Readonly<Record<OutcomeKind, JobState>> = {
  succeeded: 'succeeded',
  failed: 'failed',
  timeout: 'failed',
  'out-of-memory': 'failed',
  'output-too-large': 'failed',
  idle: 'succeeded',
  cancelled: 'cancelled',
  refused: 'refused',
  lost: 'lost',
}

/** What hosts report about their jobs. A host speaks only for jobs that were placed on it. */
export class HostReports {
  readonly #core: JobCore
  readonly #placer: Placer
  readonly #releases: Releases
  readonly #revocations: Revocations
  readonly #erasures: Erasures

  constructor(
    core: JobCore,
    placer: Placer,
    releases: Releases,
    { revocations, erasures }: { readonly revocations: Revocations; readonly erasures: Erasures },
  ) {
    this.#core = core
    this.#placer = placer
    this.#releases = releases
    this.#revocations = revocations
    this.#erasures = erasures
  }

  /** A host came (back): the deadlines of its jobs are those of a host that is there. */
  async connected(host: string): Promise<void> {
    await this.#core.rearm(host)
  }

  /**
   * Sends again what a host that came back may not have got: offers, sealed keys, and word of jobs that have ended.
   * @param held - jobs that it has not seen the end of.
   * @param waiting - those of them that it has no keys for.
   */
  async resend(host: string, held: readonly string[], waiting: readonly string[]): Promise<void> {
    for (const jobId of await this.#core.jobIds(['placed'], host)) this.#placer.offer(await this.#core.facts(jobId))
    for (const jobId of await this.#core.jobIds(['released'], host)) {
      await this.#releases.deliver(jobId, held.includes(jobId) && !waiting.includes(jobId))
    }
    for (const jobId of await this.#core.jobIds(WITH_KEYS, host)) {
      await this.#revocations.stop(jobId)
      await this.#erasures.stop(jobId)
    }
    if (held.length === 0) return
    // By their state: of one whose datasets were erased there is no receipt here any more.
    const ended = this.#core.means.db.selectFrom('jobs').select('job_id').where('state', 'in', FINAL)
    for (const { job_id } of await ended.where('host', '=', host).where('job_id', 'in', held).execute()) {
      this.#acknowledge(host, job_id)
    }
    // A job that was given to another host meanwhile, or waits for one: its keys here are good for nothing.
    const here = new Set(await this.#core.jobIds(ON_HOST, host))
    for (const jobId of waiting) if (!here.has(jobId)) this.#core.means.hosts.send(host, { jobCancel: { jobId } })
  }

  async disconnected(host: string): Promise<void> {
    await this.#core.rearm(host)
  }

  /** Appraises the evidence that a host made for a job. A rejection ends the job: fresh evidence is not made better by asking twice. */
  async evidence(host: string, jobId: string, wire: Wire<sealgate.v1.IEvidenceBundle>): Promise<void> {
    await this.#ofHost(host, jobId, async (facts) => {
      if (facts.state !== 'placed') return
      const { appraiser, endings } = this.#core.means
      const { row, contract, policies, nonces } = facts
      const bundle = readBundle(wire)
      if (bundle === null) {
        await this.#unplace(facts, 'NO_HOST', 'sent evidence that cannot be read')
        return void this.#core.means.hosts.send(host, { jobCancel: { jobId } })
      }
      const documents = policies.map((p) => p.document)
      const { appraisal, collateral } = await appraiser.appraise(bundle.bundle, {
        role: 'job',
        job: row.digest,
        nonce: await jobNonce(row.digest, nonces, row.checkpoint ?? ''),
        ...leniencyOf(documents),
        policies: documents,
        also: (claims) => [...constraintChecks(contract, provenOf(claims)), ...serviceKeyChecks(contract, claims.binding)],
      })
      const set = {
        evidence: bundle.bytes,
        appraisal: encodeAppraisal(appraisal),
        endorsements: JSON.stringify(collateral.map(toBase64Url)),
        ear: encodeCanonical(attestationResult(appraisal, endings.gateway) as unknown as Json),
      }
      if (appraisal.accepted)
        return this.#core.step(jobId, 'placed', { to: 'attested', reason: `host ${host} proved itself for this job`, set })
      // Durable now: the evidence that was refused. A crash here costs nothing: the same offer brings the same evidence again.
      await this.#core.means.db.updateTable('jobs').set(set).where('job_id', '=', jobId).execute()
      const reason = `the evidence of host ${host} was refused: ${describeFailures(appraisal.checks)}`
      await this.#core.endAlone(await this.#core.facts(jobId), { kind: 'refused', code: 'EVIDENCE_REJECTED', reason })
    })
  }

  /** A host cannot take a job, or has lost it with its keys. Either way it may forget it. */
  async decline(host: string, jobId: string, wireCode: string, message: string): Promise<void> {
    const code: ErrorCode = wireCode in ERROR_CODES ? (wireCode as ErrorCode) : 'INTERNAL'
    await this.#ofHost(host, jobId, async (facts) => {
      const reason = plainText(`host ${host}: ${message}`)
      if (facts.state === 'placed') return code === 'HOST_BUSY' ? this.#putBack(facts, code, message) : this.#unplace(facts, code, message)
      if (facts.state === 'attested') return this.#core.endAlone(facts, { kind: 'refused', code, reason })
      return this.#core.endAlone(facts, { kind: 'lost', code: 'JOB_LOST', reason })
    })
    this.#acknowledge(host, jobId)
  }

  async progress(host: string, jobId: string, phase: string, items: ItemProgress): Promise<void> {
    await this.#ofHost(host, jobId, async ({ state, contract }) => {
      if (state === 'running' && this.#core.items.put(jobId, items, contract.array?.items.length ?? 0)) {
        this.#core.watchers.notify(jobId)
      }
      if (state === 'released' && phase === 'running') {
        await this.#core.step(jobId, state, { to: 'running', reason: 'the workload runs' })
      }
    })
  }

  /**
   * Takes the signed outcome of a job. When this returns it is countersigned, logged and durable, and the host is told so;
   * an outcome of a job that has ended already is only acknowledged.
   * @throws AttestError `NOT_FOUND`, `SIGNATURE_INVALID`, `RECEIPT_INCONSISTENT`: nothing is acknowledged then.
   */
  async outcome(host: string, jobId: string, jws: Uint8Array, resultBlobId: string): Promise<void> {
    const { db } = this.#core.means
    if ((await findJob(db, jobId)).host !== host) throw unknownJob(jobId)
    await this.#ofHost(host, jobId, async (facts) => {
      const evidence = await evidenceOf(facts.row)
      if (evidence === null) throw new AttestError('JOB_CONFLICT', 'an outcome before evidence', { at: 'job.state' })
      const releases = await this.#core.means.endings.releasesOf(facts)
      const result = await this.#resultOf(host, jobId, resultBlobId)
      const ear = JSON.parse(new TextDecoder().decode(facts.row.ear ?? new Uint8Array())) as Json
      const statement = await verifyOutcome(jws, { facts, evidence, ear, releases, result })
      await this.#end(facts, statement, jws, result)
    })
    this.#acknowledge(host, jobId)
  }

  async #end(facts: JobFacts, { predicate }: Statement, jws: Uint8Array, result: BlobRow | null): Promise<void> {
    const { type, outcome } = predicate
    const { kind, code, reason } = outcome
    if (this.#core.isLate(facts)) {
      return this.#core.endAlone(facts, { kind: 'lost', code: 'JOB_LOST', reason: 'the outcome came after the deadline' })
    }
    const told = kind === 'cancelled' ? await this.#revocations.reasonOfStop(facts, reason) : reason
    const receiptType = type === 'execution' ? 'execution' : 'refusal'
    await this.#core.endSigned(facts, {
      to: STATE_OF[kind],
      type: receiptType,
      reason: told,
      code,
      jws,
      resultBlobId: result?.blob_id ?? null,
    })
  }

  async #resultOf(host: string, jobId: string, blobId: string): Promise<BlobRow | null> {
    if (blobId === '') return null
    const row = await this.#core.means.db.selectFrom('blobs').selectAll().where('blob_id', '=', blobId).executeTakeFirst()
    if (row?.kind === 'result' && row.job_id === jobId && row.owner === `host:${host}`) return row
    throw new AttestError('RECEIPT_INCONSISTENT', 'the outcome names a blob that is not its result', { at: 'outcome.result_blob_id' })
  }

  async #unplace(facts: JobFacts, code: ErrorCode, message: string): Promise<void> {
    const { row } = facts
    this.#placer.declined(row.job_id, row.host ?? '', plainText(message))
    return this.#putBack(facts, code, message)
  }

  /** The job looks for a host again; this one may be asked again, after a rest. */
  async #putBack({ row }: JobFacts, code: ErrorCode, message: string): Promise<void> {
    const why = plainText(message)
    if (code === 'HOST_BUSY') this.#placer.rest(row.host ?? '')
    const set = { host: null, checkpoint: null }
    await this.#core.step(row.job_id, 'placed', { to: 'created', reason: plainText(`host ${row.host} declined: ${why}`), code, set })
  }

  /** Acts on a job that is on this host. One that has moved on is none of its business any more, and it is told to let go. */
  async #ofHost(host: string, jobId: string, action: (facts: JobFacts) => Promise<void>): Promise<void> {
    const { db, hosts } = this.#core.means
    const row = await db.selectFrom('jobs').select(['host', 'state']).where('job_id', '=', jobId).executeTakeFirst()
    if (row === undefined || row.host !== host || isFinal(row.state as JobState)) return void hosts.send(host, { jobCancel: { jobId } })
    await this.#core.alone(jobId, async (facts) => {
      if (facts.row.host === host && !isFinal(facts.state)) await action(facts)
    })
  }

  #acknowledge(host: string, jobId: string): void {
    this.#core.means.hosts.send(host, { outcomeAccepted: { jobId } })
  }
}

function readBundle(wire: Wire<sealgate.v1.IEvidenceBundle>): { readonly bundle: EvidenceBundle; readonly bytes: Uint8Array } | null {
  try {
    const bundle = bundleFromWire(wire)
    parseBinding(bundle.binding)
    return { bundle, bytes: encodeEvidenceBundle(bundle) }
  } catch (error) {
    if (error instanceof AttestError) return null
    throw error
  }
}
