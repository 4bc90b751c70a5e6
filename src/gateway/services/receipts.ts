import { type ReceiptServiceDefinition, toNumber } from '../../rpc/index.ts'
import type { Events } from '../events/events.ts'
import type { Grants } from '../grants/grants.ts'
import { receiptFile, requireVisible, visibleJobIds } from '../jobs/index.ts'
import { type Methods, unary } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'

export interface ReceiptMeans {
  readonly db: Database
  readonly grants: Grants
  readonly log: WitnessedLog
  readonly events: Events
}

export function receiptService({ db, grants, log, events }: ReceiptMeans): Methods<ReceiptServiceDefinition> {
  return {
    getReceipt: unary(async (request, { caller }) => {
      await requireVisible(db, caller, request.jobId ?? '')
      return { receiptFile: await receiptFile(db, grants, log, request.jobId ?? '') }
    }),
    listReceipts: unary(async (_request, { caller }) => {
      const ids = await visibleJobIds(db, caller)
      const rows = await db.selectFrom('receipts').selectAll().where('job_id', 'in', ids).orderBy('log_index').execute()
      const ofJobs = rows.map((row) => ({ jobId: row.job_id, type: row.type, logIndex: row.log_index, subject: '' }))
      const others = (await events.list(caller)).map((row) => ({ jobId: '', type: row.type, logIndex: row.log_index, subject: row.name }))
      return { receipts: [...ofJobs, ...others].sort((a, b) => a.logIndex - b.logIndex) }
    }),
    getEventReceipt: unary(async (request, { caller }) => ({ receiptFile: await events.file(caller, toNumber(request.logIndex)) })),
  }
}
