import { type Command, Option } from 'commander'
import type { MonitorPass } from '../../client/index.ts'
import { AttestError, ERROR_CODES, type ErrorCode } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import type { LogQuestion } from '../audit-log.ts'
import { EXIT_INTERRUPTED, EXIT_OK, exitCodeOfError } from '../exit-codes.ts'
import { collect, folderOption, parseCount, parseDuration } from '../options.ts'
import type { Output } from '../output.ts'

interface LogOptions {
  readonly folder: string
  readonly url?: string
}

interface WatchOptions extends LogOptions {
  readonly compare: readonly string[]
  readonly once?: boolean
  /** Seconds. */
  readonly every: number
  readonly maxAge: number
}

/** `log watch`: something is wrong with what the log holds, and with the log itself. */
const EXIT_FINDINGS = 5
const EXIT_FORK = 4

function urlOption(): Option {
  return new Option('--url <url>', 'read the log where anybody can (C2SP tlog-tiles), not over the gateway of the folder')
}

export function register(program: Command): void {
  const log = program.command('log').description('the transparency log: its checkpoint, proofs, an audit of the whole, and a monitor')
  log
    .command('checkpoint')
    .description('print the newest checkpoint, verified and consistent with what this client saw before')
    .addOption(folderOption())
    .addOption(urlOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples('sealgate log checkpoint --folder alice', 'sealgate log checkpoint --folder alice --url https://log.example'),
    )
    .action(action<LogOptions, []>(checkpoint))
  log
    .command('prove')
    .description('prove that the log holds an entry')
    .argument('<index>', 'number of the entry', parseCount)
    .addOption(folderOption())
    .addOption(urlOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate log prove 3 --folder alice', 'sealgate log prove 3 --folder alice --url https://log.example'))
    .action(action<LogOptions, [number]>(prove))
  log
    .command('verify')
    .description('fetch every entry and check root, double uses and missing endings')
    .addOption(folderOption())
    .addOption(urlOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate log verify --folder alice', 'sealgate log verify --folder alice --url https://log.example'))
    .action(action<LogOptions, []>(verify))
  log
    .command('watch')
    .description('follow the log: forks, releases that you did not make, double uses, missing endings (exit 4 fork, 5 other findings)')
    .addOption(folderOption())
    .addOption(urlOption())
    .option(
      '--compare <url|file>',
      'another copy of the log, or a file with a checkpoint of it, that must fit; may be repeated',
      collect,
      [],
    )
    .option('--once', 'one pass, then end')
    .option('--every <time>', 'pause between passes', parseDuration, 60)
    .option('--max-age <time>', 'report a newest checkpoint that is older', parseDuration, 3600)
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate log watch --folder alice',
        'sealgate log watch --folder alice --once --json',
        'sealgate log watch --folder alice --url https://log.example --compare https://mirror.example/log --compare seen-by-bob.note',
      ),
    )
    .action(action<WatchOptions, []>(watch))
}

const questionOf = ({ folder, url }: LogOptions, signal: AbortSignal): LogQuestion => ({ folder, url: url ?? null, signal })

async function checkpoint({ output, signal }: Context, options: LogOptions): Promise<void> {
  const { currentCheckpoint } = await import('../audit-log.ts')
  const { note, verified } = await currentCheckpoint(questionOf(options, signal))
  const { toBase64 } = await import('../../verify/bytes/bytes.ts')
  const { origin, size, root, time } = verified
  if (output.json) output.answer({ checkpoint: note, origin, size, root: toBase64(root), time }, [])
  else output.artefact(note)
}

async function prove({ output, signal }: Context, options: LogOptions, index: number): Promise<void> {
  const { proveEntry } = await import('../audit-log.ts')
  const proof = await proveEntry(questionOf(options, signal), index)
  output.answer(proof, [
    `Entry ${index} (${proof.leaf.type}) is in the log: proven against the verified checkpoint of ${proof.size} entries.`,
    `  leaf hash  ${proof.leafHash}`,
  ])
}

async function verify({ output, signal }: Context, options: LogOptions): Promise<number> {
  const { auditLog } = await import('../audit-log.ts')
  const progress = (done: number, total: number): void => output.progress(`Reading entries ${done} of ${total}`)
  const report = await auditLog(questionOf(options, signal), progress)
  const lines = [
    `The log of ${report.size} entries has the root that its checkpoint says.`,
    ...report.findings.map((f) => output.paint.bad(`  ${f}`)),
  ]
  if (report.findings.length === 0) lines.push('No use slot was used twice, and every release that is due has its ending.')
  output.answer(report, lines)
  if (report.findings.length > 0) throw new AttestError('LOG_PROOF_INVALID', `${report.findings.length} findings in the log`)
  return EXIT_OK
}

/** What may pass by itself: the next pass asks again. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['GATEWAY_UNREACHABLE', 'TLS_REJECTED', 'DEADLINE', 'NOT_FOUND'])

async function watch({ output, signal }: Context, options: WatchOptions): Promise<number> {
  const { withLog } = await import('../audit-log.ts')
  const { openWatch } = await import('../watch-log.ts')
  const { setTimeout: delay } = await import('node:timers/promises')
  const { folder, compare, maxAge: maxAgeSeconds, once, every } = options
  if (every < 1) throw new AttestError('USAGE', '--every must be a second or more')
  const onProgress = (done: number, total: number): void => output.progress(`Reading entries ${done} of ${total}`)
  return withLog(questionOf(options, signal), async (source) => {
    const { origin, monitor, knowsOwn } = await openWatch({ folder, source, compare, maxAgeSeconds, signal, onProgress })
    if (once === true) return tellOnce(output, origin, await monitor.pass(), knowsOwn)
    output.line(`Watching ${origin} at ${source.name}. Ctrl-C stops it.`)
    if (!knowsOwn) output.line(`${folder} holds no owner's keys: releases that an owner did not make cannot be told.`)
    let found = EXIT_OK
    // That nothing is wrong can only be said of a log that was looked at, the last time too.
    let unseen = EXIT_INTERRUPTED
    while (!signal.aborted) {
      try {
        const pass = await monitor.pass()
        await tell(output, origin, pass)
        found = worse(found, pass)
        unseen = unseenOf(pass)
        // What comes after a fork proves nothing more, and nothing less.
        if (pass.forks.length > 0) return found
      } catch (error) {
        if (signal.aborted) break
        if (!(error instanceof AttestError) || !PASSING.has(error.code)) throw error
        tellFailure(output, error)
        unseen = exitCodeOfError(error)
      }
      await delay(every * 1000, undefined, { signal }).catch(() => undefined)
    }
    return found === EXIT_OK ? unseen : found
  })
}

/** A view that was to be compared and could not be had. */
function unseenOf({ missing: [first] }: MonitorPass): number {
  return first === undefined ? EXIT_OK : ERROR_CODES[first.code].exit
}

function worse(code: number, { forks, findings }: MonitorPass): number {
  if (forks.length > 0) return EXIT_FORK
  return findings.length > 0 ? EXIT_FINDINGS : code
}

async function tellOnce(output: Output, origin: string, pass: MonitorPass, knowsOwn: boolean): Promise<number> {
  const lines = await linesOf(output, pass)
  const { size, ownReleases } = pass
  if (lines.length === 0 && pass.missing.length === 0) {
    lines.push(
      `${origin}: ${size} entries, all consistent with what was seen before. Every use slot was used once, and every release that is due has its ending.`,
    )
    lines.push(
      knowsOwn
        ? `Your client made all ${ownReleases} releases of your grants.`
        : 'Whose releases they are was not checked: the folder holds no keys of an owner.',
    )
  }
  output.answer({ origin, ...pass, releasesChecked: knowsOwn }, lines)
  return worse(unseenOf(pass), pass)
}

/** In the course of a watch: lines for people as something is found, or one JSON document per pass and line. */
async function tell(output: Output, origin: string, pass: MonitorPass): Promise<void> {
  if (output.json) return output.artefact(`${JSON.stringify({ origin, ...pass })}\n`)
  const lines = await linesOf(output, pass)
  if (pass.read > 0 || lines.length > 0)
    output.line(`${origin}: ${pass.size} entries, ${pass.read} new, ${pass.ownReleases} of them your releases`)
  for (const line of lines) output.line(line)
}

function tellFailure(output: Output, { code, message }: AttestError): void {
  if (output.json) output.artefact(`${JSON.stringify({ error: { code, message } })}\n`)
  output.line(output.paint.warn(`${code}: ${message}; trying again`))
}

async function linesOf({ paint }: Output, { findings, forks, missing }: MonitorPass): Promise<string[]> {
  const { describeFinding } = await import('../../client/index.ts')
  const told = forks.flatMap((fork) => [
    paint.bad(`FORK: ${fork.reason} (against ${fork.with})`),
    'Keep both checkpoints: each is signed by the log, so together they are proof against it.',
    ...fork.checkpoints.map((note) => note.trimEnd()),
  ])
  return [
    ...told,
    ...findings.map((finding) => paint.bad(`FOUND: ${describeFinding(finding)}`)),
    ...missing.map(({ name, code, message }) => paint.warn(`NOT COMPARED with ${name}: ${code}: ${message}`)),
  ]
}
