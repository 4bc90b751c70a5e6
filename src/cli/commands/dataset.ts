import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collectTerms, parseTerm } from '../legal-terms.ts'
import { collect, folderOption } from '../options.ts'
import { table } from '../output.ts'

interface FolderOptions {
  readonly folder: string
}

interface SealOptions extends FolderOptions {
  readonly out: string
  readonly purpose: readonly string[]
  readonly legalBasis?: string
  readonly category: readonly string[]
  readonly jurisdiction: readonly string[]
  readonly retention?: string
  readonly agreement?: string
}

interface OpenOptions extends FolderOptions {
  readonly out?: string
}

interface EraseOptions extends FolderOptions {
  readonly stopJobs: boolean
  readonly reason?: string
  readonly policy?: string
  readonly receipt?: string
}

interface EntrustOptions extends FolderOptions {
  readonly grant: string
  readonly broker: string
  readonly out: string
}

export function register(program: Command): void {
  const dataset = program.command('dataset').description('seal data, open it again, upload it, list what is there, erase it')
  dataset
    .command('seal')
    .description('encrypt a file or a folder locally; its key stays in your keyring')
    .argument('<path>', 'file or folder to seal; a folder becomes one archive, without links and devices')
    .requiredOption('--out <file>', 'sealed file to make')
    .requiredOption(
      '--purpose <term>',
      'purpose for which the data may be used, such as dpv:AcademicResearch; may be repeated',
      collectTerms,
      [],
    )
    .option('--legal-basis <term>', 'legal basis, such as eu-gdpr:A9-2-j', parseTerm)
    .option('--category <term>', 'category of the data, such as hipaa:limited-data-set; may be repeated', collectTerms, [])
    .option('--jurisdiction <code>', 'where the data comes under the law; may be repeated', collect, [])
    .option('--retention <text>', 'how long it may be kept, for people')
    .option('--agreement <text>', 'name of the agreement (BAA, DPA)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate dataset seal data.csv --out data.sealed --purpose https://w3id.org/dpv#AcademicResearch --folder alice',
        'sealgate dataset seal scans/ --out scans.sealed --purpose https://w3id.org/dpv#AcademicResearch --folder alice',
      ),
    )
    .action(action<SealOptions, [string]>(seal))
  dataset
    .command('open')
    .description('decrypt a sealed file with the key in your keyring; nothing appears unless all of it is sound')
    .argument('<sealed>', 'file made by `dataset seal`')
    .option('--out <path>', 'file or folder to make (default: the name it was sealed under, here)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate dataset open data.sealed --out data.csv --folder alice'))
    .action(action<OpenOptions, [string]>(open))
  dataset
    .command('push')
    .description('upload a sealed file; goes on where an earlier upload stopped')
    .argument('<sealed>', 'file made by `dataset seal`')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate dataset push data.sealed --folder alice'))
    .action(action<FolderOptions, [string]>(push))
  dataset
    .command('erase')
    .description('destroy the key of a dataset here and everything about it at the gateway; there is no way back')
    .argument('<dataset>', 'id of the dataset')
    .option('--stop-jobs', 'also stop jobs that have the key already (default: wait for them)', false)
    .option('--reason <text>', 'for people; stands in the receipt')
    .option('--policy <file>', 'policy whose log and witnesses must prove the erasure (default: policy.json in the folder, if there)')
    .option('--receipt <file>', 'also keep the receipt here (it is kept in receipts/ of the folder)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate dataset erase <id> --folder alice',
        'sealgate dataset erase <id> --stop-jobs --receipt erased.sealgate-receipt.json --folder alice',
      ),
    )
    .action(action<EraseOptions, [string]>(erase))
  dataset
    .command('entrust')
    .description('hand keys of datasets to a key broker, which then releases them under your grant: whoever controls it can read the data')
    .argument('[dataset...]', 'datasets of the grant (default: all of them)')
    .requiredOption('--grant <id>', 'grant that names the broker (grant create --broker)')
    .requiredOption('--broker <file>', 'broker.json of the broker')
    .requiredOption('--out <file>', 'file to write, for `sealgate broker accept`')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate dataset entrust --grant <id> --broker kb1/broker.json --out clinic.entrusted --folder alice'))
    .action(action<EntrustOptions, [readonly string[]]>(entrustDatasets))
  dataset
    .command('list')
    .description('list your datasets at the gateway')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate dataset list --folder alice'))
    .action(action<FolderOptions, []>(list))
}

async function seal({ output, signal }: Context, options: SealOptions, file: string): Promise<void> {
  // Not the whole room: sealing needs no network, and what is not loaded takes no memory.
  const { loadOwner } = await import('../../client/owner.ts')
  const { sealDataset } = await import('../../client/dataset/seal-dataset.ts')
  const sorted = (values: readonly string[]): readonly string[] => [...new Set(values)].sort()
  const sealed = await sealDataset({
    owner: await loadOwner(options.folder),
    input: file,
    output: options.out,
    legal: {
      purposes: sorted(options.purpose),
      legalBasis: options.legalBasis ?? null,
      categories: sorted(options.category),
      jurisdictions: sorted(options.jurisdiction),
      retention: options.retention ?? null,
      agreement: options.agreement ?? null,
    },
    signal,
    onProgress: (done, total) => output.progress(`Sealing ${percent(done, total)}`),
  })
  const what = sealed.content === 'archive' ? `${file} with ${filesOf(sealed.files)}` : file
  output.answer({ file: options.out, ...sealed }, [
    `Sealed ${what} to ${options.out} (${sealed.sizeBytes} bytes).`,
    `  dataset  ${sealed.dataset}`,
  ])
}

async function open({ output, signal }: Context, { folder, out }: OpenOptions, sealed: string): Promise<void> {
  const { loadOwner } = await import('../../client/owner.ts')
  const { inspectSealed } = await import('../../client/dataset/seal-dataset.ts')
  const { openDataset } = await import('../../client/dataset/open-dataset.ts')
  const owner = await loadOwner(folder)
  // The name is the keyring's, which the owner wrote: a header holds none.
  const path = out ?? (await owner.keyring.dataset((await inspectSealed(sealed)).dataset)).name
  const onProgress = (done: number, total: number): void => output.progress(`Opening ${percent(done, total)}`)
  const opened = await openDataset({ owner, input: sealed, output: path, signal, onProgress })
  const what = opened.content === 'archive' ? `folder ${path} with ${filesOf(opened.files)}` : path
  output.answer({ path, ...opened }, [`Opened ${sealed} to ${what}; all of it was checked.`, `  dataset  ${opened.dataset}`])
}

function filesOf(count: number): string {
  return count === 1 ? '1 file' : `${count} files`
}

async function push({ output, signal }: Context, { folder }: FolderOptions, sealed: string): Promise<void> {
  const { pushDataset } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const onProgress = (done: number, total: number): void => output.progress(`Uploading ${percent(done, total)}`)
  const dataset = await withSession(folder, ({ client, owner }) => pushDataset(client, owner, sealed, { signal, onProgress }))
  output.answer({ dataset }, [`Uploaded ${sealed}.`, `  dataset  ${dataset}`])
}

async function erase({ output, signal }: Context, options: EraseOptions, dataset: string): Promise<void> {
  const { eraseAtGateway, eraseHere, PUBLIC, replaceFile } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  const { eventLines } = await import('../event-lines.ts')
  const policy = await erasurePolicy(options)
  const { folder, stopJobs, reason } = options
  const erased = await withSession(folder, async ({ client, owner, trust }) => {
    const wish = { owner, dataset, stopJobs, reason: reason ?? null, policy, now: unixSeconds(new Date()) }
    const erasure = await eraseHere(wish)
    output.line(`The key of dataset ${dataset} is destroyed in ${folder}. Telling the gateway; if that fails, run this again.`)
    const onWaiting = (jobs: number): void => output.progress(`Waiting for ${jobs} jobs that have the key (--stop-jobs stops them)`)
    return eraseAtGateway(client, owner, trust, erasure, { signal, onWaiting })
  })
  if (options.receipt !== undefined) await replaceFile(options.receipt, erased.receipt, PUBLIC)
  const { logIndex, path, summary } = erased
  output.answer({ dataset, logIndex, receipt: options.receipt ?? path, erasure: summary }, [
    'Erased.',
    ...eventLines(summary, output),
    `  receipt      ${options.receipt ?? path}`,
    output.paint.warn('Backups and other copies of this folder still hold the key, and whoever has one can open the ciphertext:'),
    output.paint.warn('destroy or renew them. Plaintext that the dataset was made of, and results of its jobs, are yours to delete.'),
  ])
}

/** Given by name it must be there; the one of the folder may not be. */
async function erasurePolicy({ folder, policy }: EraseOptions): Promise<Uint8Array | null> {
  const { exists, FILES, loadPolicyBytes } = await import('../../client/index.ts')
  const path = policy ?? `${folder}/${FILES.policy}`
  return policy === undefined && !(await exists(path)) ? null : loadPolicyBytes(path)
}

async function entrustDatasets({ output }: Context, options: EntrustOptions, datasets: readonly string[]): Promise<void> {
  const { checkOwnGrant, entrust, MAX_FILE_SIZE, parseBrokerFile, PUBLIC, readBytes, writeNew } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  const broker = await parseBrokerFile(await readBytes(options.broker, MAX_FILE_SIZE))
  const jws = await withSession(options.folder, async ({ client, owner }) => {
    const own = await checkOwnGrant(owner, await client.getGrant(options.grant))
    return entrust(owner, broker, own, datasets, unixSeconds(new Date()))
  })
  // Of use to the broker alone: its keys are sealed.
  await writeNew(options.out, jws, PUBLIC)
  output.answer({ file: options.out, grant: options.grant, broker: broker.thumbprint, sizeBytes: jws.length }, [
    `Keys are in ${options.out}, sealed to the broker.`,
    `  broker  ${broker.thumbprint}`,
    '  Whoever controls that broker can read the data from now on, without a log entry.',
  ])
}

async function list({ output, signal }: Context, { folder }: FolderOptions): Promise<void> {
  const { loadOwner } = await import('../../client/index.ts')
  const { withClient } = await import('../session.ts')
  const { keyring } = await loadOwner(folder)
  const kept = new Map((await keyring.datasets()).map((d) => [d.digest, d.name]))
  const [remote, there] = await withClient(folder, async (client) => [
    await client.listDatasets({ signal }),
    await client.listErased({ signal }),
  ])
  const here = new Set(await keyring.erasures())
  const datasets = remote
    .filter((d) => !here.has(d.blobId))
    .map((d) => ({ dataset: d.blobId, sizeBytes: d.sizeBytes, root: d.root, name: kept.get(d.blobId) ?? null }))
  const erased = [...new Set([...here, ...there.map((e) => e.dataset)])].sort().map((dataset) => ({
    dataset,
    here: here.has(dataset),
    orderedAt: there.find((e) => e.dataset === dataset)?.orderedAt ?? null,
    logIndex: there.find((e) => e.dataset === dataset)?.logIndex ?? null,
  }))
  const rows = [
    ...datasets.map((d) => [d.dataset, String(d.sizeBytes), d.name ?? '(no key here)']),
    ...erased.map((e) => [
      e.dataset,
      '-',
      e.logIndex === null ? '(being erased: run dataset erase again)' : `(erased, entry ${e.logIndex})`,
    ]),
  ]
  output.answer({ datasets, erased }, rows.length === 0 ? ['No datasets.'] : table([['DATASET', 'BYTES', 'NAME'], ...rows]))
}

function percent(done: number, total: number): string {
  return `${Math.floor((100 * done) / total)} %`
}
