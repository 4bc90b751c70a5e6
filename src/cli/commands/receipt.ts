import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption } from '../options.ts'
import { table } from '../output.ts'

export function register(program: Command): void {
  const receipt = program.command('receipt').description('receipts: check them anywhere, with no network')
  receipt
    .command('verify')
    .description('verify a receipt file with no network; without --trust its signers are unknown, which rejects (exit 5)')
    .argument('<file>', 'receipt file (*.sealgate-receipt.json)')
    .option('--trust <file>', 'trust file: whose logs, gateways and owners count')
    .option('--session <file>', 'also verify the record of a session with this service (*.sealgate-session.json)')
    .option('--partial', 'accept a record that ends before its session did', false)
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate receipt verify job.sealgate-receipt.json --trust trust.json'))
    .action(action<VerifyOptions, [string]>(verify))
  receipt
    .command('show')
    .description('show what a receipt file says, without judging it')
    .argument('<file>', 'receipt file')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate receipt show job.sealgate-receipt.json'))
    .action(action<object, [string]>(show))
  receipt
    .command('list')
    .description('list the receipts of your jobs at the gateway')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate receipt list --folder alice'))
    .action(action<{ readonly folder: string }, []>(list))
}

interface VerifyOptions {
  readonly trust?: string
  readonly session?: string
  readonly partial: boolean
}

async function verify({ output }: Context, options: VerifyOptions, file: string): Promise<number> {
  const { refuseNetwork } = await import('../refuse-network.ts')
  const { verifyReceipt, verifySession } = await import('../verify-receipt.ts')
  refuseNetwork()
  if (options.session !== undefined) return verifySession(output, { ...options, session: options.session, receipt: file })
  return verifyReceipt(output, file, options.trust ?? null)
}

async function show({ output }: Context, _: object, file: string): Promise<void> {
  const { showReceipt } = await import('../verify-receipt.ts')
  await showReceipt(output, file)
}

async function list({ output, signal }: Context, { folder }: { readonly folder: string }): Promise<void> {
  const { withClient } = await import('../session.ts')
  const receipts = await withClient(folder, (client) => client.listReceipts({ signal }))
  const rows = receipts.map((r) => [r.jobId, r.type, String(r.logIndex)])
  output.answer({ receipts }, rows.length === 0 ? ['No receipts.'] : table([['JOB', 'TYPE', 'LOG ENTRY'], ...rows]))
}
