import { CONTRACT_TYP, type Contract, parseContract } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { findJob, requireVisible } from '../jobs/records.ts'
import { type Caller, tlsKeyDigest } from '../server/caller.ts'
import type { Database } from '../store/open-store.ts'
import type { JobRow } from '../store/tables.ts'

/** A job, for somebody who may speak with its service. */
export interface ReachableJob {
  readonly row: JobRow
  readonly contract: Contract
}

/**
 * Who may reach a service: whoever may see its job, and who holds a TLS key that its contract lists. This keeps strangers from taking
 * up connections; whom the enclave answers, it decides itself.
 * @throws AttestError `NOT_FOUND` for everybody else.
 */
export async function reachableJob(db: Database, caller: Caller, jobId: string): Promise<ReachableJob> {
  const row = await findJob(db, jobId)
  const { payload } = await verifyFlattenedJws(row.contract, CONTRACT_TYP, 'contract')
  const contract = parseContract(payload)
  const isListed = caller.role === 'client' && contract.service?.clients.includes(tlsKeyDigest(caller)) === true
  if (!isListed) await requireVisible(db, caller, jobId)
  return { row, contract }
}

/** @throws AttestError `NOT_FOUND`, `JOB_CONFLICT` for a job that is no service. */
export async function requireService(db: Database, caller: Caller, jobId: string): Promise<void> {
  const { contract } = await reachableJob(db, caller, jobId)
  if (contract.service === null) throw new AttestError('JOB_CONFLICT', 'the job is no service', { at: 'contract.service' })
}
