import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption } from '../options.ts'
import { table } from '../output.ts'

interface FolderOptions {
  readonly folder: string
}

interface ResultsOptions extends FolderOptions {
  readonly out: string
  readonly receipt?: string
}

export function register(program: Command): void {
  const job = program.command('job').description('jobs: what runs, what became of it, and its results')
  const leaf = (name: string, description: string, example: string): Command =>
    job.command(name).description(description).addOption(folderOption()).addOption(jsonOption()).addHelpText('after', examples(example))
  leaf('list', 'list your jobs', 'sealgate job list --folder alice').action(action<FolderOptions, []>(list))
  leaf('watch', 'follow a job to its end', 'sealgate job watch <job> --folder alice')
    .argument('<job>', 'id of the job')
    .action(action<FolderOptions, [string]>(watch))
  leaf('explain', 'say why this host and not the others', 'sealgate job explain <job> --folder alice')
    .argument('<job>', 'id of the job')
    .action(action<FolderOptions, [string]>(explain))
  leaf('cancel', 'give a job up', 'sealgate job cancel <job> --folder alice')
    .argument('<job>', 'id of the job')
    .action(action<FolderOptions, [string]>(cancel))
  leaf('results', 'verify the receipt of a job, then fetch and open its results', 'sealgate job results <job> --out results --folder alice')
    .argument('<job>', 'id of the job')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--receipt <file>', 'also keep the receipt file')
    .action(action<ResultsOptions, [string]>(results))
}

async function list({ output, signal }: Context, { folder }: FolderOptions): Promise<void> {
  const { withClient } = await import('../session.ts')
  const jobs = await withClient(folder, (client) => client.listJobs({ signal }))
  const rows = jobs.map((j) => [j.jobId, j.state, j.host === '' ? '-' : j.host, j.transitions[0]?.at ?? ''])
  output.answer({ jobs }, rows.length === 0 ? ['No jobs.'] : table([['JOB', 'STATE', 'HOST', 'CREATED'], ...rows]))
}

async function watch({ output, signal }: Context, { folder }: FolderOptions, jobId: string): Promise<void> {
  const { withClient } = await import('../session.ts')
  const { jobLines, progressText } = await import('../job-text.ts')
  const last = await withClient(folder, async (client) => {
    let latest = await client.getJob(jobId, { signal })
    for await (const job of client.watchJob(jobId, { signal })) {
      latest = job
      output.progress(progressText(job))
    }
    return latest
  })
  output.answer(last, jobLines(last))
}

async function explain({ output, signal }: Context, { folder }: FolderOptions, jobId: string): Promise<void> {
  const { withClient } = await import('../session.ts')
  const hosts = await withClient(folder, (client) => client.explainJob(jobId, { signal }))
  const lines = hosts.flatMap((h) => [`${h.chosen ? 'chosen    ' : 'not chosen'}  ${h.host}`, ...h.reasons.map((r) => `            ${r}`)])
  output.answer({ jobId, hosts }, lines.length === 0 ? ['No host is known to the gateway.'] : lines)
}

async function cancel({ output, signal }: Context, { folder }: FolderOptions, jobId: string): Promise<void> {
  const { withClient } = await import('../session.ts')
  const { jobLines } = await import('../job-text.ts')
  const job = await withClient(folder, (client) => client.cancelJob(jobId, { signal }))
  output.answer(job, jobLines(job))
}

async function results({ output, signal }: Context, options: ResultsOptions, jobId: string): Promise<number> {
  const { checkReceipt, fetchResults, PUBLIC, writeNew } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { exitCodeOfOutcome, receiptLines } = await import('../job-text.ts')
  return withSession(options.folder, async ({ client, owner, trust }) => {
    const expected = { jobId, contractJws: null, intents: [] }
    const receipt = await checkReceipt(await client.receipt(jobId, { signal }), trust, expected)
    const onProgress = (done: number, total: number): void => output.progress(`Fetching results ${Math.floor((100 * done) / total)} %`)
    const opened = await fetchResults({ client, owner, statement: receipt.statement, folder: options.out, signal, onProgress })
    if (options.receipt !== undefined) await writeNew(options.receipt, receipt.bytes, PUBLIC)
    output.answer({ jobId, outcome: receipt.statement.predicate.outcome, results: opened }, [
      ...receiptLines(receipt, output),
      opened === null ? '  results      none' : `  results in   ${opened.folder}`,
      ...(opened?.files ?? []).map((f) => `    ${f.path}  ${f.size} bytes`),
    ])
    return exitCodeOfOutcome(receipt)
  })
}
