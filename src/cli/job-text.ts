import type { CheckedReceipt, JobView } from '../client/index.ts'
import type { ItemOutcome } from '../verify/documents/array.ts'
import { ERROR_CODES } from '../verify/errors.ts'
import { EXIT_OK } from './exit-codes.ts'
import { type Output, table } from './output.ts'

/** A job for people: what happened, when, and why. */
export function jobLines(job: JobView): readonly string[] {
  const rows = job.transitions.map((t) => [`  ${t.at}`, t.state, [t.code ?? '', t.reason].filter((s) => s !== '').join(': ')])
  return [`Job ${job.jobId}: ${job.state}${job.host === '' ? '' : ` on ${job.host}`}`, ...table(rows)]
}

/** Where a job is now, in one line. */
export function progressText({ state, host, items }: JobView): string {
  const counted = items === undefined ? '' : `, ${items.done} of ${items.total} items`
  return `${state}${host === '' ? '' : ` on ${host}`}${counted}`
}

/** What a verified receipt says, for people. */
export function receiptLines({ statement, file }: CheckedReceipt, { paint }: Pick<Output, 'paint'>): readonly string[] {
  const { predicate } = statement
  const { outcome, isolation, usage, releases, ear } = predicate
  const words = outcome.kind === 'succeeded' || outcome.kind === 'idle' ? paint.good(outcome.kind) : paint.bad(outcome.kind)
  const code = outcome.code === null ? '' : ` (${outcome.code})`
  return [
    `  outcome      ${words}${code}${outcome.reason === '' ? '' : `: ${outcome.reason}`}`,
    ...(predicate.items === undefined ? [] : [`  items        ${itemText(predicate.items)}`]),
    ...(predicate.simulated ? [paint.warn('  evidence     SIMULATED: it proves nothing about hardware')] : []),
    ...(ear === null ? [] : [`  enclave      ${ear.tee}, measurement ${ear.measurement ?? 'none'}`]),
    ...(isolation === null
      ? []
      : [
          `  runner       ${isolation.runner}, ${isolation.grade}${isolation.grade === 'wasm-process' ? ' (weaker isolation than a container)' : ''}`,
        ]),
    ...(usage === null ? [] : [`  usage        ${usage.wallMs} ms, ${usage.bytesIn} bytes in, ${usage.bytesOut} bytes out`]),
    ...releases.map(({ index }) => `  key release  log entry ${index}, before the key was sealed`),
    `  receipt      log entry ${file.log.ending.index}`,
    `  keys gone    ${predicate.keysDestroyed.join(', ') || 'none existed'}`,
  ]
}

/** How many ended how: `3 succeeded, 1 failed (2)`, with the places of at most ten that did not succeed. */
function itemText(items: readonly ItemOutcome[]): string {
  const kinds = [...new Set(items.map(({ kind }) => kind))]
  const texts = kinds.map((kind) => {
    const places = items.flatMap((item, i) => (item.kind === kind ? [i] : []))
    const shown = `${places.slice(0, 10).join(', ')}${places.length > 10 ? ', …' : ''}`
    return `${places.length} ${kind}${kind === 'succeeded' ? '' : ` (${shown})`}`
  })
  return texts.join(', ')
}

/** Exit code of a job that ended: that of its error code; 0 for success. */
export function exitCodeOfOutcome({ statement }: CheckedReceipt): number {
  const { kind, code } = statement.predicate.outcome
  if (kind === 'succeeded' || kind === 'idle') return EXIT_OK
  return ERROR_CODES[code ?? 'JOB_FAILED'].exit
}
