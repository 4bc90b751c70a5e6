import type { Command } from 'commander'
import { action, examples, jsonOption } from '../action.ts'

export function register(program: Command): void {
  program
    .command('demo')
    .description('show the whole way of a sealed job on this machine, then eight attacks being refused (SIMULATED evidence)')
    .option('--out <folder>', 'folder for receipt, trust file and results', 'demo-out')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate demo'))
    .action(
      action<{ readonly out: string }, []>(async (context, { out }) => {
        const { runDemo } = await import('../demo/run-demo.ts')
        return runDemo(context, out)
      }),
    )
}
