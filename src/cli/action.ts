import { type Command, Option } from 'commander'
import { AttestError } from '../verify/errors.ts'
import { createOutput, type Output, type Streams } from './output.ts'

/** What a command works with besides its arguments. */
export interface Context {
  readonly output: Output
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal
}

/** What one run of the program shares between its commands. */
export interface Runtime {
  readonly streams: Streams
  readonly signal: AbortSignal
  exitCode: number
  output: Output
}

const runtimes = new WeakMap<Command, Runtime>()

export function attachRuntime(program: Command, runtime: Runtime): void {
  runtimes.set(program, runtime)
}

function runtimeOf(command: Command): Runtime {
  let root = command
  while (root.parent !== null) root = root.parent
  const runtime = runtimes.get(root)
  if (runtime === undefined) throw new AttestError('INTERNAL', 'command runs outside of main')
  return runtime
}

/**
 * Wraps the body of a command. Rooms are imported inside of the body, so that `--help` loads none of them.
 * @param body - Gets the positional arguments and the options; a number it returns becomes the exit code.
 */
export function action<O, A extends readonly unknown[]>(
  body: (context: Context, options: O, ...args: A) => Promise<number | undefined> | Promise<void>,
): (...raw: unknown[]) => Promise<void> {
  return async (...raw) => {
    const command = raw.at(-1) as Command
    const options = raw.at(-2) as O & { readonly json?: boolean }
    const runtime = runtimeOf(command)
    runtime.output = createOutput(runtime.streams, options.json === true)
    const code = await body({ output: runtime.output, signal: runtime.signal }, options, ...(raw.slice(0, -2) as unknown as A))
    runtime.exitCode = code ?? 0
  }
}

/** The `--json` of every command that answers something. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document on stdout and nothing else')
}

/** Examples at the end of a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\n${lines.length === 1 ? 'Example' : 'Examples'}:\n${lines.map((l) => `  $ ${l}`).join('\n')}\n`
}
