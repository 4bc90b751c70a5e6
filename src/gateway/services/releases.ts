import { bytesOf, type ReleaseServiceDefinition } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Grants } from '../grants/grants.ts'
import { type JobState, type Jobs, loadFacts, requireVisible, viewJob, waitingReleases } from '../jobs/index.ts'
import type { Parties } from '../parties/parties.ts'
import { type Methods, unary } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import { jobToWire, stateToWire } from './wire.ts'

/** For releasers: what waits for them, what it is about, and their part in it. */
export function releaseService(db: Database, grants: Grants, jobs: Jobs, parties: Parties): Methods<ReleaseServiceDefinition> {
  return {
    listReleases: unary(async (_request, { caller }) => {
      const rows = await waitingReleases(db, caller)
      return { releases: rows.map((row) => ({ jobId: row.job_id, state: stateToWire(row.state as JobState) })) }
    }),
    getReleaseTerms: unary(async (request, { caller }) => {
      const jobId = request.jobId ?? ''
      await requireVisible(db, caller, jobId)
      const facts = await loadFacts(db, grants, jobId)
      return {
        contractJws: facts.row.contract,
        grantsJws: facts.grants.map((g) => g.jws),
        policies: facts.policies.map((p) => p.bytes),
        headers: facts.headers.map((h) => h.bytes),
      }
    }),
    joinJob: unary(async (request, { caller }) => {
      const jobId = request.jobId ?? ''
      await requireVisible(db, caller, jobId)
      const joinings = (request.grants ?? []).map(({ grantId, nonce }) => ({ grant: grantId ?? '', nonce: bytesOf(nonce) }))
      const mine = await parties.maySpeakFor(
        caller,
        joinings.map((j) => j.grant),
      )
      if (!mine) throw new AttestError('PERMISSION_DENIED', 'only its releaser brings the nonce of a grant', { at: 'grants' })
      await jobs.joins.join(jobId, joinings)
      return { job: jobToWire(await viewJob(db, jobId)) }
    }),
  }
}
