import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { bundleToJson } from '../../verify/documents/evidence-bundle.ts'
import { encodeReceiptFile } from '../../verify/documents/receipt-file.ts'
import { AttestError } from '../../verify/errors.ts'
import { entryToJson } from '../../verify/tlog/index.ts'
import type { Grants } from '../grants/grants.ts'
import type { Database } from '../store/open-store.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'
import { evidenceOf } from './evidence.ts'
import { entriesOf } from './late-witnessing.ts'
import { findJob, loadFacts, refuseErasedJob } from './records.ts'

/**
 * The receipt file of an ended job. Made from what is stored, so it is the same whenever it is asked for: entries keep the
 * checkpoint that was signed with them, or the first one that was cosigned as the job's policies demand.
 * @throws AttestError `NOT_FOUND` for a job that has not ended, `DATASET_ERASED` for one whose records are gone, `WITNESS_QUORUM` while its ending is not cosigned.
 */
export async function receiptFile(db: Database, grants: Grants, log: WitnessedLog, jobId: string): Promise<Uint8Array> {
  const receipt = await db.selectFrom('receipts').selectAll().where('job_id', '=', jobId).executeTakeFirst()
  if (receipt === undefined) refuseErasedJob(await findJob(db, jobId))
  if (receipt === undefined) throw new AttestError('NOT_FOUND', 'the job has no receipt yet', { at: 'receipts' })
  const facts = await loadFacts(db, grants, jobId)
  const { row } = facts
  const evidence = await evidenceOf(row)
  const { releases, ending } = await entriesOf(log, facts, receipt.log_index)
  return encodeReceiptFile({
    v: 1,
    type: 'sealgate/receipt-file/v1',
    receipt: toBase64Url(receipt.jws),
    contract: toBase64Url(row.contract),
    grants: facts.grants.map((g) => toBase64Url(g.jws)),
    policies: facts.policies.map((p) => toBase64Url(p.bytes)),
    headers: facts.headers.map((h) => toBase64Url(h.bytes)),
    intents: facts.releases.map((r) => toBase64Url(r.jws)),
    evidence: evidence === null ? null : bundleToJson(evidence.bundle),
    ownerNonces: evidence === null ? [] : facts.nonces.map(toBase64Url),
    nonceCheckpoint: evidence === null ? null : row.checkpoint,
    endorsements: (evidence?.endorsements ?? []).map(toBase64Url),
    log: { releases: releases.map(entryToJson), ending: entryToJson(ending) },
  })
}
