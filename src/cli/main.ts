import { CommanderError } from 'commander'
import { AttestError } from '../verify/errors.ts'
import { attachRuntime, type Runtime } from './action.ts'
import { EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, exitCodeOfError } from './exit-codes.ts'
import { createOutput, describeError, errorDocument } from './output.ts'
import { createProgram } from './program.ts'

const HELP_SHOWN: ReadonlySet<string> = new Set(['commander.helpDisplayed', 'commander.version'])

/**
 * Runs one command line.
 * @param argv - Arguments after the program's name.
 * @returns The exit code of design section 8; 130 when Ctrl-C or SIGTERM ended a command that had not finished. Commands that
 *   run until they are stopped (`gateway start`, `host start`) end with 0.
 */
export async function main(argv: readonly string[]): Promise<number> {
  const abort = new AbortController()
  const interrupt = (): void => {
    // A second signal meets Node's default: the process ends at once.
    stopListening()
    abort.abort(new AttestError('CANCELLED', 'interrupted'))
  }
  const stopListening = (): void => {
    process.off('SIGINT', interrupt)
    process.off('SIGTERM', interrupt)
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  for (const stream of [process.stdout, process.stderr]) {
    // For good: a closed pipe may only be noticed after the command has ended.
    if (!stream.listeners('error').includes(ignoreClosedPipe)) stream.on('error', ignoreClosedPipe)
  }

  const streams = { stdout: process.stdout, stderr: process.stderr, env: process.env }
  const runtime: Runtime = { streams, signal: abort.signal, exitCode: EXIT_OK, output: createOutput(streams, argv.includes('--json')) }
  const program = createProgram(streams)
  attachRuntime(program, runtime)
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return runtime.exitCode
  } catch (error) {
    if (error instanceof CommanderError) return endOfParsing(error, runtime)
    if (abort.signal.aborted) {
      runtime.output.line('sealgate: CANCELLED: interrupted; nothing is left behind')
      return EXIT_INTERRUPTED
    }
    report(error, runtime)
    return exitCodeOfError(error)
  } finally {
    stopListening()
  }
}

function endOfParsing(error: CommanderError, runtime: Runtime): number {
  if (HELP_SHOWN.has(error.code)) return EXIT_OK
  if (error.code !== 'commander.help') {
    const message = error.message
      .replace(/^error: /, '')
      .replace(/\s+/g, ' ')
      .trim()
    report(new AttestError('USAGE', message), runtime)
  }
  return EXIT_USAGE
}

function report(error: unknown, runtime: Runtime): void {
  const { output, streams } = runtime
  for (const line of describeError(error)) output.line(line)
  if (output.json && !output.answered) output.answer(errorDocument(error), [])
  if (streams.env.SEALGATE_TRACE !== undefined) for (const line of trace(error)) output.line(line)
}

/** Stack and causes, for defects. May quote input, so it is asked for by name. */
function trace(error: unknown): readonly string[] {
  const lines: string[] = []
  for (let e = error; e instanceof Error; e = e.cause) lines.push(e.stack ?? String(e))
  return lines
}

/** `sealgate … | head` is no failure. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
}
