import { equal, fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { parseReceiptFile, type ReceiptFile } from '../../verify/documents/receipt-file.ts'
import { parseStatement, RECEIPT_TYP, type Statement } from '../../verify/documents/statement.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyGeneralJws } from '../../verify/formats/jws.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../verify/receipt/index.ts'
import { receiptSigners } from '../../verify/receipt/signers.ts'
import { describeFailures } from '../release/check-evidence.ts'

/** What a receipt must be about, by the client's own knowledge. Null: the client had no part in it. */
export interface ReceiptExpectation {
  readonly jobId: string
  readonly contractJws: Uint8Array | null
  /** Of the releases that this client made. */
  readonly intents: readonly Uint8Array[]
}

export interface CheckedReceipt {
  readonly bytes: Uint8Array
  readonly file: ReceiptFile
  readonly verdict: ReceiptVerdict
  readonly statement: Statement
  /** False for a refusal or loss that the gateway alone states. */
  readonly signedByEnclave: boolean
}

/**
 * Verifies a receipt file offline with the client's own trust file, and that it is the receipt of this job.
 * @throws AttestError the verdict's own, else `RECEIPT_INCONSISTENT` naming each failed check.
 */
export async function checkReceipt(bytes: Uint8Array, trust: TrustFile, expected: ReceiptExpectation): Promise<CheckedReceipt> {
  const verdict = await verifyReceiptFile(bytes, { trust })
  if (verdict.decision !== 'accept') {
    const { error } = verdict
    const failures = describeFailures(verdict.checks)
    throw new AttestError(error?.code ?? 'RECEIPT_INCONSISTENT', error?.message ?? failures, { at: error?.at ?? 'receipt' })
  }
  const file = parseReceiptFile(bytes)
  const jws = await verifyGeneralJws(fromBase64Url(file.receipt), RECEIPT_TYP, 'receipt')
  const statement = parseStatement(jws.payload)
  if (statement.predicate.jobId !== expected.jobId) throw other('the receipt is of another job')
  if (expected.contractJws !== null && !equal(fromBase64Url(file.contract), expected.contractJws)) {
    throw other('the receipt is of another contract')
  }
  if (!expected.intents.every((jws) => file.intents.includes(toBase64Url(jws)))) {
    throw other('the receipt does not follow the release that was made')
  }
  return { bytes, file, verdict, statement, signedByEnclave: receiptSigners(jws).agent !== null }
}

function other(message: string): AttestError {
  return new AttestError('RECEIPT_INCONSISTENT', message, { at: 'receipt' })
}
