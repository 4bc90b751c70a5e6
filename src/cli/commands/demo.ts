import { type Command, Option } from 'commander'
import { action, examples, jsonOption } from '../action.ts'
import type { DemoOptions } from '../demo/run-demo.ts'

export function register(program: Command): void {
  program
    .command('demo')
    .description('show the whole way of a sealed job on this machine, then eight attacks being refused (SIMULATED evidence)')
    .option('--out <folder>', 'folder for receipt, trust file and results', 'demo-out')
    .addOption(
      new Option('--runner <runner>', 'auto: containers where there is an engine').choices(['auto', 'docker', 'wasm']).default('auto'),
    )
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate demo', 'sealgate demo --runner wasm'))
    .action(
      action<DemoOptions, []>(async (context, options) => {
        const { runDemo } = await import('../demo/run-demo.ts')
        return runDemo(context, options)
      }),
    )
}
