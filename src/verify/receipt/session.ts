import { same } from '../appraise/check.ts'
import { fromBase64Url } from '../bytes/bytes.ts'
import { parseReceiptFile } from '../documents/receipt-file.ts'
import {
  type Exchange,
  parseSessionFile,
  parseSessionRecord,
  SESSION_TYP,
  type SessionRecord,
  verifySessionChain,
} from '../documents/session.ts'
import type { TrustFile } from '../documents/trust.ts'
import { AttestError } from '../errors.ts'
import { check } from '../evidence/check.ts'
import { conclude, isInputError } from '../evidence/conclude.ts'
import { verifyFlattenedJws } from '../formats/jws.ts'
import type { Check, Verdict } from '../verdict.ts'
import { type ReceiptDocuments, readReceiptFile } from './documents.ts'
import { verifyReceiptFile } from './verify.ts'

/** What a session file says: whose exchanges, and how many of which kind. */
export interface SessionSummary {
  readonly jobId: string
  readonly job: string
  readonly session: string
  /** SHA-256 of the SPKI of the client's TLS key. */
  readonly client: string
  /** Exchanges that are not in this file, before those that are. */
  readonly first: number
  readonly exchanges: number
  /** Of these, such as were cut off. */
  readonly incomplete: number
  readonly head: string
  /** True: no hardware protected anything. */
  readonly simulated: boolean
}

export type SessionVerdict = Verdict<SessionSummary, SessionSummary>

/**
 * Verifies the record of a service's session against the receipt of its job: signed by the job key that the receipt's evidence
 * binds, of this job and a client of its contract, and the chain ends where the receipt says that the session ended. A record
 * that ends earlier is `unknown` (`binding.session-head`), which rejects unless the caller allows it.
 * @param partial - Allows a record that ends before its session did.
 */
export async function verifySessionFile(
  bytes: Uint8Array,
  receipt: Uint8Array,
  { trust, partial }: { readonly trust: TrustFile | null; readonly partial: boolean },
): Promise<SessionVerdict> {
  const base = await verifyReceiptFile(receipt, { trust })
  if (base.decision !== 'accept') return { ...base, format: 'session', parsed: null }
  try {
    const doc = await readReceiptFile(parseReceiptFile(receipt))
    const { records, signers } = await readRecords(bytes)
    await verifySessionChain(records)
    const summary = summarize(records, doc)
    const checks = [...base.checks, ...linkChecks(records, signers, doc)]
    const allowed = partial ? (['binding'] as const) : []
    return conclude({ format: 'session', parsed: summary, claims: summary, checks, notChecked: base.notChecked }, allowed)
  } catch (error) {
    if (!isInputError(error)) throw error
    const rule = error.code === 'RECEIPT_INCONSISTENT' ? 'signature.session-chain' : 'format.session-file'
    const checks = [check(rule, false, 'records that follow each other', `${error.code}: ${error.message}`)]
    const { code, message } = error
    const told = { code, at: error.at ?? null, message }
    return { decision: 'reject', format: 'session', authentic: false, parsed: null, checks, notChecked: [], error: told }
  }
}

async function readRecords(bytes: Uint8Array): Promise<{ records: readonly SessionRecord[]; signers: readonly string[] }> {
  const [records, signers]: [SessionRecord[], string[]] = [[], []]
  for (const text of parseSessionFile(bytes).records) {
    const jws = await verifyFlattenedJws(fromBase64Url(text), SESSION_TYP, 'session')
    records.push(parseSessionRecord(jws.payload))
    signers.push(jws.signers[0]?.key.x ?? '')
  }
  return { records, signers }
}

function linkChecks(records: readonly SessionRecord[], signers: readonly string[], doc: ReceiptDocuments): readonly Check[] {
  const { first, last } = endsOf(records)
  const { sessions } = doc.statement.predicate
  const jobKey = doc.evidence?.binding.sig.publicKey ?? 'none'
  const listed = sessions?.find((s) => s.session === first.session)
  const clients = doc.contract.value.service?.clients ?? []
  return [
    check(
      'signature.session-key',
      signers.every((s) => s === jobKey),
      `records signed by the job key ${jobKey}`,
      [...new Set(signers)].join(', '),
    ),
    same('binding.session-job', doc.contract.digest, first.job),
    check('policy.session-client', clients.includes(first.client), 'a client that the contract names', first.client),
    check(
      'binding.session-listed',
      listed !== undefined,
      `session ${first.session} in the receipt`,
      listed === undefined ? 'none' : 'listed',
    ),
    headCheck(listed?.head ?? 'none', last.head),
  ]
}

/** Every record is signed; one that is not the last is true all the same, but not the whole. */
function headCheck(want: string, got: string): Check {
  const outcome = want === got ? 'pass' : 'unknown'
  return { rule: 'binding.session-head', outcome, want: `a session that ends at ${want}`, got }
}

function summarize(records: readonly SessionRecord[], doc: ReceiptDocuments): SessionSummary {
  const { first, last } = endsOf(records)
  const exchanges: readonly Exchange[] = records.flatMap((r) => r.exchanges)
  const { jobId, simulated } = doc.statement.predicate
  return {
    jobId,
    job: first.job,
    session: first.session,
    client: first.client,
    first: first.first,
    exchanges: exchanges.length,
    incomplete: exchanges.filter((e) => !e.complete).length,
    head: last.head,
    simulated,
  }
}

function endsOf(records: readonly SessionRecord[]): { readonly first: SessionRecord; readonly last: SessionRecord } {
  const [first, last] = [records[0], records.at(-1)]
  if (first === undefined || last === undefined) throw new AttestError('DOCUMENT_INVALID', 'no record', { at: 'session-file' })
  return { first, last }
}
