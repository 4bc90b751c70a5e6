import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { examples } from './action.ts'
import { register as registerBroker } from './commands/broker.ts'
import { register as registerCa } from './commands/ca.ts'
import { register as registerCollateral } from './commands/collateral.ts'
import { register as registerCompletion } from './commands/completion.ts'
import { register as registerConnect } from './commands/connect.ts'
import { register as registerDataset } from './commands/dataset.ts'
import { register as registerDemo } from './commands/demo.ts'
import { register as registerGateway } from './commands/gateway.ts'
import { register as registerGrant } from './commands/grant.ts'
import { register as registerHost } from './commands/host.ts'
import { register as registerInit } from './commands/init.ts'
import { register as registerJob } from './commands/job.ts'
import { register as registerKeys } from './commands/keys.ts'
import { register as registerLog } from './commands/log.ts'
import { register as registerPolicy } from './commands/policy.ts'
import { register as registerReceipt } from './commands/receipt.ts'
import { register as registerRelease } from './commands/release.ts'
import { register as registerRun } from './commands/run.ts'
import { register as registerTrust } from './commands/trust.ts'
import { register as registerVerify } from './commands/verify.ts'
import { register as registerWitness } from './commands/witness.ts'
import type { Streams } from './output.ts'

/** Every command. Registering one loads only its descriptions. */
const COMMANDS: readonly ((program: Command) => void)[] = [
  registerDemo,
  registerVerify,
  registerInit,
  registerCa,
  registerKeys,
  registerTrust,
  registerGateway,
  registerWitness,
  registerBroker,
  registerCollateral,
  registerHost,
  registerDataset,
  registerPolicy,
  registerGrant,
  registerRun,
  registerRelease,
  registerConnect,
  registerJob,
  registerReceipt,
  registerLog,
  registerCompletion,
]

const HELP = `
Exit codes:
  0 accepted or done   1 internal   2 usage   3 malformed input   4 not authentic
  5 not allowed        6 collateral missing or stale             130 interrupted

Environment:
  SEALGATE_FOLDER      client folder where --folder is not given
  SEALGATE_TRACE=1     print stack and causes of a failure (may quote input)
${examples('sealgate demo', 'sealgate verify report.bin --format sev-snp --allow-unknown revocation', 'sealgate receipt verify job.sealgate-receipt.json --trust trust.json')}`

/** The program without a command line: parsing it runs a command. */
export function createProgram({ stdout, stderr }: Streams): Command {
  const program = new Command('sealgate')
    .description('Verifies TEE evidence, seals data to attested enclaves only, and returns signed receipts.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      // Every failure is reported in one place, by main.
      outputError: () => undefined,
    })
    .configureHelp({ showGlobalOptions: false, sortSubcommands: false })
    .addHelpText('after', HELP)
  for (const register of COMMANDS) register(program)
  for (const group of program.commands) group.helpCommand(false)
  return program
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  return version
}
