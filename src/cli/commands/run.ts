import { type Command, Option } from 'commander'
import type { JobRequest } from '../../client/index.ts'
import type { ArrayTerms } from '../../verify/documents/array.ts'
import type { Contract, ImageRef } from '../../verify/documents/contract.ts'
import { ISOLATION_NAMES, type IsolationName } from '../../verify/documents/isolation.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { EXIT_OK } from '../exit-codes.ts'
import { parseTerm } from '../legal-terms.ts'
import { collect, collectPairs, folderOption, parseCount, parseDuration, parseSize } from '../options.ts'
import type { Output } from '../output.ts'
import { clientDigests, parseArgv } from './grant.ts'

const JOB_SECONDS = 60
const SERVICE_SECONDS = 3600

interface RunOptions {
  readonly folder: string
  readonly image: string
  readonly pull?: string
  readonly input: readonly (readonly [string, string])[]
  readonly purpose: string
  readonly runner: 'auto' | 'docker' | 'wasm'
  readonly isolation?: IsolationName
  readonly exclusive: Contract['exclusive']
  readonly grant: readonly string[]
  readonly argv?: string
  readonly env: readonly (readonly [string, string])[]
  readonly time?: number
  readonly array?: string
  readonly items?: number
  readonly itemTime?: number
  readonly itemOutput?: number
  readonly onItemFailure: ArrayTerms['onItemFailure']
  readonly service: boolean
  readonly port: number
  readonly client: readonly string[]
  readonly idle?: number
  readonly memory: number
  readonly output: number
  readonly gpus: number
  readonly gpuModel?: string
  readonly tee: readonly string[]
  readonly region?: string
  readonly out?: string
  readonly receipt?: string
}

export function register(program: Command): void {
  program
    .command('run')
    .description('run an image on sealed data: checks evidence and log, releases the key, checks the receipt, opens the results')
    .requiredOption('--image <image>', 'a shipped name, or RUNNER:sha256:DIGEST')
    .option('--pull <source>', 'registry that a host may pull the image from: HOST/NAME@sha256:DIGEST (default: the host has it)')
    .requiredOption(
      '--input <name=dataset>',
      'dataset, yours or one that a grant lets you use, and its file name under /in; may be repeated',
      collectPairs,
      [],
    )
    .requiredOption('--purpose <term>', 'what for, such as dpv:AcademicResearch; must be allowed by data and grant', parseTerm)
    .addOption(
      new Option('--runner <runner>', 'auto: a container where a host has an engine').choices(['auto', 'docker', 'wasm']).default('auto'),
    )
    .addOption(new Option('--isolation <profile>', 'how it is kept in (default: the usual profile of the runner)').choices(ISOLATION_NAMES))
    .addOption(new Option('--exclusive <what>', 'what it shares with no other job').choices(['host', 'gpu', 'none']).default('host'))
    .option('--grant <id>', 'grant to use (default: of each owner one that fits); may be repeated', collect, [])
    .option('--argv <json>', 'arguments of the program: a JSON array of strings')
    .option('--env <name=value>', 'environment of the program; may be repeated', collectPairs, [])
    .option('--time <duration>', 'time limit (default: 60s, of a service 1h)', parseDuration)
    .option(
      '--array <file>',
      'run the image once for each item: a JSON array, each item a string or an array of strings that follow --argv',
    )
    .option('--items <n>', 'as --array, with the items 0 to n-1', parseCount)
    .option('--item-time <duration>', 'time limit of each item (default: --time, which all of them share)', parseDuration)
    .option('--item-output <size>', 'limit of what each item may write (default: --output, which all of them share)', parseSize)
    .addOption(
      new Option('--on-item-failure <what>', 'whether the items after a failed one are run')
        .choices(['continue', 'stop'])
        .default('continue'),
    )
    .option('--memory <size>', 'memory limit', parseSize, 256 * 1024 * 1024)
    .option('--output <size>', 'limit of what it may write', parseSize, 64 * 1024 * 1024)
    .option('--gpus <n>', 'attested GPUs that the job is given', parseGpuCount, 0)
    .option('--gpu-model <chip>', 'chip of these GPUs as NVIDIA certifies it, such as GH100')
    .option('--tee <tee>', 'kind of TEE, such as sev-snp or tdx (default: what the policies let pass); may be repeated', collect, [])
    .option('--region <code>', 'where the machine must stand by the word of its operator; grants with jurisdictions need one of them')
    .option('--service', 'a workload that answers HTTP: returns when it runs; sealgate connect gives you an endpoint', false)
    .option('--port <n>', 'port that the service listens on, inside', parseCount, 8000)
    .option('--client <digest>', 'TLS key that may speak with the service, or self (default: self); may be repeated', collect, [])
    .option('--idle <duration>', 'ends the service when no request came for so long', parseDuration)
    .option('--out <folder>', 'folder to make for the results (default: they stay sealed at the gateway)')
    .option('--receipt <file>', 'where to keep the receipt (default: JOB.sealgate-receipt.json)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate run --image tabular-inference --input data.csv=<dataset> --purpose https://w3id.org/dpv#AcademicResearch --out results --folder alice',
        'sealgate run --image docker:sha256:<digest> --array items.json --input scans=<dataset> --purpose <iri> --time 2h --item-time 5m --out results --folder alice',
        'sealgate run --service --port 8000 --image docker:sha256:<digest> --input data=<dataset> --purpose <iri> --time 8h --folder alice',
      ),
    )
    .action(action<RunOptions, []>(run))
}

async function run({ output, signal }: Context, options: RunOptions): Promise<number> {
  const { exists, PUBLIC, runJob, writeNew } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { showEvent } = await import('../show-event.ts')
  const { exitCodeOfOutcome, receiptLines } = await import('../job-text.ts')
  for (const path of [options.out, options.receipt]) {
    if (path !== undefined && (await exists(path))) throw new AttestError('ALREADY_EXISTS', `${path} exists and is not overwritten`)
  }
  return withSession(options.folder, async ({ client, owner, trust, memory }) => {
    const image = await chooseImage(options, async () => (await client.listHosts({ signal })).flatMap((h) => (h.attested ? h.runners : [])))
    const array = await arrayOf(options)
    const request: JobRequest = {
      client,
      owner,
      trust,
      memory,
      image,
      imageSource: options.pull,
      argv: options.argv === undefined ? [] : parseArgv(options.argv),
      env: Object.fromEntries(options.env),
      inputs: options.input.map(([name, dataset]) => ({ name, dataset })),
      purpose: options.purpose,
      limits: {
        timeMs: (options.time ?? (options.service ? SERVICE_SECONDS : JOB_SECONDS)) * 1000,
        memoryBytes: options.memory,
        outputBytes: options.output,
        pids: 64,
        cpuMillis: 1000,
      },
      machine: { gpus: options.gpus, gpuModel: options.gpuModel ?? null, tees: options.tee, region: options.region ?? null },
      isolation: options.isolation,
      exclusive: options.exclusive,
      array,
      grants: options.grant,
      folder: options.out ?? null,
      signal,
      onEvent: (event) => showEvent(output, event),
      now: () => new Date(),
    }
    if (options.service) return serve(output, options, request)
    const report = await runJob(request)
    const receiptPath = options.receipt ?? `${report.job.jobId}.sealgate-receipt.json`
    await writeNew(receiptPath, report.receipt.bytes, PUBLIC)
    const { outcome, items } = report.receipt.statement.predicate
    output.answer(
      {
        jobId: report.job.jobId,
        jobDigest: report.job.jobDigest,
        outcome,
        ...(items === undefined ? {} : { items }),
        simulated: report.receipt.statement.predicate.simulated,
        image,
        receipt: receiptPath,
        results: report.results,
      },
      [
        ...receiptLines(report.receipt, output),
        `  receipt in   ${receiptPath} (verified; check it anywhere: sealgate receipt verify)`,
        ...(report.results === null ? [] : [`  results in   ${report.results.folder}`]),
        ...(report.results?.files ?? []).map((f) => `    ${f.path}  ${f.size} bytes`),
      ],
    )
    return exitCodeOfOutcome(report.receipt)
  })
}

async function serve(output: Output, options: RunOptions, request: JobRequest): Promise<number> {
  const { FILES, makeFolder, PRIVATE, startService, writeNew } = await import('../../client/index.ts')
  const { folder, port, idle } = options
  const clients = await clientDigests(folder, options.client.length === 0 ? ['self'] : options.client)
  const service = {
    protocol: 'http' as const,
    port,
    clients: [...new Set(clients)].sort(),
    idleMs: idle === undefined ? null : idle * 1000,
  }
  const { job, file } = await startService({ ...request, service })
  const path = `${folder}/${FILES.services}/${job.jobId}.json`
  await makeFolder(`${folder}/${FILES.services}`)
  await writeNew(path, file, PRIVATE)
  output.answer({ jobId: job.jobId, jobDigest: job.jobDigest, state: job.state, image: request.image, service, serviceFile: path }, [
    `Service ${job.jobId} runs.`,
    `  endpoint     sealgate connect ${job.jobId} --folder ${folder}`,
    `  end it       sealgate job cancel ${job.jobId} --folder ${folder}`,
    `  clients      ${path} is what they verify it by`,
  ])
  return EXIT_OK
}

/** Undefined: the image runs once. */
async function arrayOf(options: RunOptions): Promise<ArrayTerms | undefined> {
  const { array: path, items: count, itemTime, itemOutput, onItemFailure } = options
  if (path === undefined && count === undefined) {
    if (itemTime !== undefined || itemOutput !== undefined) throw new AttestError('USAGE', 'limits of items go with --array or --items')
    return undefined
  }
  if (options.service) throw new AttestError('USAGE', 'a service has no items')
  if (path !== undefined && count !== undefined) throw new AttestError('USAGE', 'want --array or --items, not both')
  const { numberedItems, readItems } = await import('../items.ts')
  const items = path === undefined ? numberedItems(count ?? 0) : await readItems(path)
  const timeMs = (itemTime ?? options.time ?? JOB_SECONDS) * 1000
  return { items, itemLimits: { timeMs, outputBytes: itemOutput ?? options.output }, onItemFailure }
}

function parseGpuCount(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) > 64) throw new AttestError('USAGE', `--gpus ${text.slice(0, 20)}: want 0 to 64`)
  return Number(text)
}

/** One image per runner may be meant: a container is preferred where an attested host has an engine. */
async function chooseImage({ image, runner }: RunOptions, offered: () => Promise<readonly string[]>): Promise<ImageRef> {
  const { resolveImages } = await import('../images.ts')
  const images = await resolveImages(image)
  const [only, ...others] = runner === 'auto' ? images : images.filter((i) => i.runner === runner)
  if (only === undefined) throw new AttestError('IMAGE_UNAVAILABLE', `there is no ${runner} form of the image ${image}`)
  if (others.length === 0) return only
  const runners = await offered()
  return (
    [only, ...others].find((i) => i.runner === 'docker' && runners.includes('docker')) ??
    [only, ...others].find((i) => i.runner === 'wasm') ??
    only
  )
}
