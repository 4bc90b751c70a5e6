import { readBytes } from '../client/files.ts'
import { MAX_RECEIPT_FILE_SIZE } from '../verify/documents/receipt-file.ts'
import { MAX_SESSION_FILE_SIZE } from '../verify/documents/session.ts'
import { parseTrustFile } from '../verify/documents/trust.ts'
import { AttestError, ERROR_CODES } from '../verify/errors.ts'
import {
  type EventSummary,
  type ReceiptSummary,
  type ReceiptVerdict,
  type SessionVerdict,
  verifyReceiptFile,
  verifySessionFile,
} from '../verify/receipt/index.ts'
import { exitCodeOf } from '../verify/verdict.ts'
import { eventLines, mlDsaLine } from './event-lines.ts'
import { EXIT_OK } from './exit-codes.ts'
import type { Output } from './output.ts'

const MAX_TRUST_SIZE = 1024 * 1024

/** Verifies a receipt file with nothing but the two files: no network, no clock. @returns the exit code. */
export async function verifyReceipt(output: Output, path: string, trustPath: string | null): Promise<number> {
  const verdict = await verdictOf(path, trustPath)
  const { paint } = output
  if (verdict.decision === 'accept') {
    const { claims } = verdict
    output.answer(verdict, [
      paint.good(`accepted: ${verdict.checks.length} checks passed, with no network.`),
      ...summaryLines(claims, output),
      ...verdict.notChecked.map((n) => paint.dim(`  not checked  ${n}`)),
    ])
    return EXIT_OK
  }
  return rejected(output, verdict)
}

/** As {@link verifyReceipt}, for the record of a session against the receipt of its service. */
export async function verifySession(
  output: Output,
  {
    receipt,
    session,
    trust,
    partial,
  }: { readonly receipt: string; readonly session: string; readonly trust?: string; readonly partial: boolean },
): Promise<number> {
  const means = { trust: trust === undefined ? null : parseTrustFile(await readBytes(trust, MAX_TRUST_SIZE)), partial }
  const verdict = await verifySessionFile(
    await readBytes(session, MAX_SESSION_FILE_SIZE),
    await readBytes(receipt, MAX_RECEIPT_FILE_SIZE),
    means,
  )
  if (verdict.decision !== 'accept') return rejected(output, verdict)
  const { claims: c } = verdict
  output.answer(verdict, [
    output.paint.good(`accepted: ${verdict.checks.length} checks passed, with no network.`),
    `  job          ${c.jobId}`,
    `  session      ${c.session} of client ${c.client}`,
    `  exchanges    ${c.exchanges}, ${c.incomplete} of them cut off${c.first === 0 ? '' : `; ${c.first} before them are not in the file`}`,
    ...(c.simulated ? [output.paint.warn('  evidence     SIMULATED: no hardware protected anything')] : []),
    ...verdict.notChecked.map((n) => output.paint.dim(`  not checked  ${n}`)),
  ])
  return EXIT_OK
}

function rejected(output: Output, verdict: Extract<SessionVerdict | ReceiptVerdict, { readonly decision: 'reject' }>): number {
  const { paint } = output
  const failed = verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)
  output.answer({ ...verdict, parsed: verdict.parsed }, [
    paint.bad(`rejected: ${verdict.error === null ? `${failed.length} checks failed` : `${verdict.error.code}: ${verdict.error.message}`}`),
    ...failed.map((c) => `  ${c.rule} ${c.outcome}: want ${c.want}, got ${c.got}`),
    ...(verdict.error === null ? [] : [`fix: ${ERROR_CODES[verdict.error.code].fix}`]),
  ])
  return verdict.error === null ? exitCodeOf(verdict.checks) : ERROR_CODES[verdict.error.code].exit
}

/** Shows what a receipt file says. Nothing of it is proven by this. */
export async function showReceipt(output: Output, path: string): Promise<void> {
  const { parsed, error } = await verdictOf(path, null)
  if (parsed === null) {
    throw new AttestError(error?.code ?? 'DOCUMENT_INVALID', error?.message ?? 'not a receipt file', { at: error?.at ?? path })
  }
  output.answer(parsed, [`${path} says (not verified here; see sealgate receipt verify):`, ...summaryLines(parsed, output)])
}

async function verdictOf(
  path: string,
  trustPath: string | null,
): Promise<ReceiptVerdict & { readonly error: Extract<ReceiptVerdict, { readonly decision: 'reject' }>['error'] }> {
  const trust = trustPath === null ? null : parseTrustFile(await readBytes(trustPath, MAX_TRUST_SIZE))
  const verdict = await verifyReceiptFile(await readBytes(path, MAX_RECEIPT_FILE_SIZE), { trust })
  return verdict.decision === 'accept' ? { ...verdict, error: null } : verdict
}

function summaryLines(summary: EventSummary | ReceiptSummary, output: Pick<Output, 'paint'>): readonly string[] {
  switch (summary.type) {
    case 'erasure':
    case 'hold':
    case 'onboard':
    case 'revocation':
      return eventLines(summary, output)
    case 'execution':
    case 'refusal':
    case 'lost':
      return jobLines(summary, output)
  }
}

function jobLines(s: ReceiptSummary, { paint }: Pick<Output, 'paint'>): readonly string[] {
  const code = s.outcome.code === null ? '' : ` (${s.outcome.code})`
  return [
    `  job          ${s.jobId}, attempt ${s.attempt}`,
    `  outcome      ${s.outcome.kind}${code}${s.outcome.reason === '' ? '' : `: ${s.outcome.reason}`}`,
    `  purpose      ${s.purpose}`,
    `  image        ${s.image.runner} ${s.image.digest}`,
    ...s.data.map((d) => `  data         ${d.name}, dataset ${d.header}`),
    ...(s.simulated ? [paint.warn('  evidence     SIMULATED: no hardware protected anything')] : []),
    ...(s.tee === null ? [] : [`  enclave      ${s.tee}, measurement ${s.measurement ?? 'none'}`]),
    ...(s.isolation === null ? [] : [`  isolation    ${s.isolation.runner}, ${s.isolation.grade}`]),
    ...s.releases.flatMap(releaseLines),
    ...mlDsaLine(s, paint),
    ...(s.endedAt === null ? [] : [`  ended        ${s.endedAt} by the log`]),
    ...(s.log === null ? [] : [`  log          ${s.log.origin}, witnesses ${s.log.witnesses}`]),
    ...(s.results === null ? [] : [`  results      sha256 ${s.results}`]),
  ]
}

/** When a key was released, by whom, and of what. */
function releaseLines({ mode, releaser, datasets, index, at }: ReceiptSummary['releases'][number]): readonly string[] {
  const who = mode === 'direct' ? `owner ${releaser}` : `key broker ${releaser}`
  return [`  key release  ${at ?? 'not proven'} by the log, entry ${index}`, `               by ${who}, of ${datasets.join(', ')}`]
}
