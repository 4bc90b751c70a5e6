import type { ServiceTerms } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import { giveUp, type JobRequest, startJob, waitFor } from '../job/run-job.ts'
import { isFinal, type JobView } from '../job-view.ts'
import { encodeServiceFile } from './service-file.ts'

export interface StartedService {
  readonly job: JobView
  /** See {@link ServiceFile}. */
  readonly file: Uint8Array
}

/**
 * Takes a service job up to where its workload has its data and is being started. From then on it goes on by itself.
 * @throws AttestError as {@link runJob}; `JOB_FAILED`, or the job's own code, for one that ended before.
 */
export async function startService(request: JobRequest & { readonly service: ServiceTerms }): Promise<StartedService> {
  const started = await startJob(request)
  const { contract, jws } = started.contract
  try {
    const job = isFinal(started.job.state) ? started.job : await waitFor(request, contract.jobId, ({ state }) => state === 'running')
    if (isFinal(job.state)) {
      const last = job.transitions.at(-1)
      throw new AttestError(last?.code ?? 'JOB_FAILED', `the service has ended (${job.state}): ${last?.reason ?? 'for no reason told'}`)
    }
    const policies = [...new Map(started.grants.map((g) => [g.grant.policy, g.policy])).values()]
    // Those of other releasers are the gateway's word; one's own was checked before the release, and every renewal has a fresh one.
    const { ownerNonces } = await request.client.jobEvidence(contract.jobId, request.signal === undefined ? {} : { signal: request.signal })
    return { job, file: encodeServiceFile(jws, policies, ownerNonces) }
  } catch (error) {
    await giveUp(request.client, contract.jobId)
    throw error
  }
}
