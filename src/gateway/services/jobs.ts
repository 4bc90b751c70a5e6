import { bundleToWire, bytesOf, entryToWire, type JobServiceDefinition, verdictToWire } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { evidenceOf, findJob, type Jobs, type PlacementReason, requireVisible, viewJob, visibleJobIds } from '../jobs/index.ts'
import type { Parties } from '../parties/parties.ts'
import { reachableJob } from '../relay/access.ts'
import { type CallContext, type Methods, serverStream, unary } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import { jobToWire } from './wire.ts'

/** Jobs of the caller: those it created, and those whose data it owns or releases. Others do not exist for it. */
export function jobService(db: Database, jobs: Jobs, parties: Parties): Methods<JobServiceDefinition> {
  const own = async (jobId: string | null | undefined, { caller }: CallContext): Promise<string> => {
    await requireVisible(db, caller, jobId ?? '')
    return jobId ?? ''
  }
  return {
    createJob: unary(async ({ contractJws, grantIds, ownerNonces }, { caller }) => {
      const nonces = (ownerNonces ?? []).map(bytesOf)
      return { job: jobToWire(await jobs.create(caller, { contractJws: bytesOf(contractJws), grantIds: grantIds ?? [], nonces })) }
    }),
    watchJob: serverStream(async function* (request, context) {
      const jobId = await own(request.jobId, context)
      for await (const view of jobs.watch(jobId, context.signal)) yield { job: jobToWire(view) }
    }),
    getJob: unary(async (request, context) => ({ job: jobToWire(await viewJob(db, await own(request.jobId, context))) })),
    listJobs: unary(async (_request, { caller }) => {
      const ids = await visibleJobIds(db, caller)
      const views = await Promise.all(ids.map((id) => viewJob(db, id)))
      return { jobs: views.map(jobToWire) }
    }),
    explainJob: unary(async (request, context) => {
      const { placement } = await findJob(db, await own(request.jobId, context))
      const reasons = JSON.parse(placement) as PlacementReason[]
      return { hosts: reasons.map((r) => ({ host: r.host, chosen: r.chosen, reasons: [...r.reasons] })) }
    }),
    getJobEvidence: unary(async (request, context) => {
      const jobId = request.jobId ?? ''
      // Clients of a service see what they are to verify.
      const { row } = await reachableJob(db, context.caller, jobId)
      const evidence = await evidenceOf(row)
      if (evidence === null) throw new AttestError('NOT_FOUND', 'no host has shown evidence for this job yet', { at: 'job.evidence' })
      const links = await db.selectFrom('job_grants').select('nonce').where('job_id', '=', jobId).orderBy('position').execute()
      return {
        evidence: bundleToWire(evidence.bundle),
        verdict: verdictToWire(evidence.appraisal),
        checkpoint: row.checkpoint ?? '',
        ownerNonces: links.flatMap((link) => link.nonce ?? []),
        endorsements: [...evidence.endorsements],
      }
    }),
    logReleaseIntent: unary(async (request, context) => {
      const jobId = await own(request.jobId, context)
      return { entry: entryToWire(await jobs.releases.logIntent(jobId, bytesOf(request.intentJws), bytesOf(request.salt))) }
    }),
    releaseKeys: unary(async (request, context) => {
      const maySpeakFor = (grants: readonly string[]): Promise<boolean> => parties.maySpeakFor(context.caller, grants)
      await jobs.releases.releaseKeys(await own(request.jobId, context), request, maySpeakFor)
      return {}
    }),
    cancelJob: unary(async (request, context) => ({ job: jobToWire(await jobs.cancel(await own(request.jobId, context))) })),
    getResults: unary(async (request, context) => {
      const jobId = await own(request.jobId, context)
      const receipt = await db.selectFrom('receipts').select('result_blob_id').where('job_id', '=', jobId).executeTakeFirst()
      if (receipt?.result_blob_id == null) return { blobId: '', sizeBytes: 0 }
      const blob = await db.selectFrom('blobs').select('size').where('blob_id', '=', receipt.result_blob_id).executeTakeFirst()
      return { blobId: receipt.result_blob_id, sizeBytes: blob?.size ?? 0 }
    }),
  }
}
