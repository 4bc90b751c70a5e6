import { type Command, Option } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption } from '../options.ts'
import { table } from '../output.ts'

const TYPES = ['execution', 'refusal', 'lost', 'erasure', 'hold', 'onboard', 'revocation']

interface ListOptions {
  readonly folder: string
  readonly type?: string
}

interface FetchOptions {
  readonly folder: string
  readonly out: string
}

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
    .description('list receipts at the gateway: of your jobs, revocations, holds and erasures, and of hosts')
    .addOption(new Option('--type <type>', 'only those of this type').choices(TYPES))
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate receipt list --folder alice', 'sealgate receipt list --type onboard --folder alice'))
    .action(action<ListOptions, []>(list))
  receipt
    .command('fetch')
    .description('fetch a receipt file from the gateway; verify it afterwards')
    .argument('<receipt>', 'id of the job, or number of the log entry that the list shows')
    .requiredOption('--out <file>', 'file to make')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate receipt fetch 12 --out host.sealgate-receipt.json --folder alice'))
    .action(action<FetchOptions, [string]>(fetchReceipt))
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

async function list({ output, signal }: Context, { folder, type }: ListOptions): Promise<void> {
  const { withClient } = await import('../session.ts')
  const all = await withClient(folder, (client) => client.listReceipts({ signal }))
  const receipts = all.filter((r) => type === undefined || r.type === type)
  const rows = receipts.map((r) => [r.jobId === '' ? r.subject : r.jobId, r.type, String(r.logIndex)])
  output.answer({ receipts }, rows.length === 0 ? ['No receipts.'] : table([['OF', 'TYPE', 'LOG ENTRY'], ...rows]))
}

async function fetchReceipt({ output, signal }: Context, { folder, out }: FetchOptions, receipt: string): Promise<void> {
  const { PUBLIC, writeNew } = await import('../../client/index.ts')
  const { withClient } = await import('../session.ts')
  const bytes = await withClient(folder, async (client) => {
    if (!/^\d{1,15}$/.test(receipt)) return client.receipt(receipt, { signal })
    const entry = (await client.listReceipts({ signal })).find((r) => r.logIndex === Number(receipt))
    return entry === undefined || entry.jobId === ''
      ? client.eventReceipt(Number(receipt), { signal })
      : client.receipt(entry.jobId, { signal })
  })
  await writeNew(out, bytes, PUBLIC)
  output.answer({ receipt, file: out, sizeBytes: bytes.length }, [`Fetched ${out}; not verified yet: sealgate receipt verify.`])
}
