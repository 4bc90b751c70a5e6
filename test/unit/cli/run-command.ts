import { Command } from 'commander'
import { attachRuntime, type Runtime } from '../../../src/cli/action.ts'
import { createOutput } from '../../../src/cli/output.ts'

/** What a command wrote, and its exit code. */
export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command in this process. Usage errors are thrown as commander's. */
export async function runCommand(register: (program: Command) => void, ...args: readonly string[]): Promise<Ran> {
  const [stdout, stderr]: [string[], string[]] = [[], []]
  const streams = { stdout: { write: (t: string) => stdout.push(t) }, stderr: { write: (t: string) => stderr.push(t) }, env: {} }
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined })
  register(program)
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => undefined })
  const runtime: Runtime = { streams, signal: new AbortController().signal, exitCode: 0, output: createOutput(streams, false) }
  attachRuntime(program, runtime)
  await program.parseAsync([...args], { from: 'user' })
  return { code: runtime.exitCode, stdout: stdout.join(''), stderr: stderr.join('') }
}
