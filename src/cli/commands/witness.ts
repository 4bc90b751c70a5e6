import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { type LogLevel, logLevelOption } from '../options.ts'

export function register(program: Command): void {
  const witness = program.command('witness').description('a witness: cosigns the checkpoints of logs that only ever grow')
  witness
    .command('start')
    .description('run the witness until it is stopped')
    .argument('<folder>', 'witness folder (sealgate init --role witness)')
    .addOption(logLevelOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate witness start w1'))
    .action(action<{ readonly logLevel: LogLevel }, [string]>(start))
}

async function start({ output, signal }: Context, { logLevel }: { readonly logLevel: LogLevel }, folder: string): Promise<void> {
  const { startWitness } = await import('../../witness/index.ts')
  const { createLogger } = await import('../logger.ts')
  const witness = await startWitness({ folder, logger: createLogger(logLevel) })
  output.answer({ name: witness.name, address: witness.address, witness: witness.verifierKey, pid: process.pid }, [
    `Witness "${witness.name}" listens on ${witness.address}. Ctrl-C stops it.`,
  ])
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await witness.close()
}
