import type { ReceiptServiceDefinition } from '../../rpc/index.ts'
import type { Grants } from '../grants/grants.ts'
import { receiptFile, requireVisible, visibleJobIds } from '../jobs/index.ts'
import { type Methods, unary } from '../server/methods.ts'
import type { Database } from '../store/open-store.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'

export function receiptService(db: Database, grants: Grants, log: WitnessedLog): Methods<ReceiptServiceDefinition> {
  return {
    getReceipt: unary(async (request, { caller }) => {
      await requireVisible(db, caller, request.jobId ?? '')
      return { receiptFile: await receiptFile(db, grants, log, request.jobId ?? '') }
    }),
    listReceipts: unary(async (_request, { caller }) => {
      const ids = await visibleJobIds(db, caller)
      const rows = await db.selectFrom('receipts').selectAll().where('job_id', 'in', ids).orderBy('log_index').execute()
      return { receipts: rows.map((row) => ({ jobId: row.job_id, type: row.type, logIndex: row.log_index })) }
    }),
  }
}
