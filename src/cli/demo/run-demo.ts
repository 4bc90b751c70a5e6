import { cp, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import {
  digestOf,
  exists,
  FILES,
  issueGrant,
  type JobReport,
  loadPolicyBytes,
  makeFolder,
  PUBLIC,
  pushDataset,
  sealDataset,
  writeNew,
} from '../../client/index.ts'
import { unixSeconds } from '../../verify/appraise/index.ts'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Context } from '../action.ts'
import { showEvent } from '../show-event.ts'
import { ATTACKS, type Attack, type Stage } from './attacks.ts'
import { type OfflineVerdict, verifyOffline } from './offline.ts'
import { Processes } from './processes.ts'
import {
  createFolders,
  DATA,
  type HostFacts,
  imageFor,
  openScene,
  PURPOSE,
  QUORUM,
  type RunnerChoice,
  runDemoJob,
  type Scene,
  startHostProcess,
} from './world.ts'

const RECEIPT = 'receipt.sealgate-receipt.json'
const TRUST = 'trust.json'
/** One per attack that reaches a release, and some to spare. */
const USES = 12

interface AttackResult {
  readonly title: string
  readonly refused: boolean
  readonly by: string
  readonly code: string
  readonly reason: string
}

export interface DemoOptions {
  /** Folder for receipt, trust file and results. */
  readonly out: string
  readonly runner: RunnerChoice
}

/** The whole story, then the attacks. @returns the exit code: 0 only if the job came through and every attack was refused. */
export async function runDemo(context: Context, options: DemoOptions): Promise<number> {
  const out = resolve(options.out)
  await checkReplaceable(out)
  const root = await mkdtemp(join(tmpdir(), 'sealgate-demo-'))
  const processes = new Processes(root)
  try {
    return await play(context, root, processes, { ...options, out })
  } finally {
    await processes.stopAll()
    await rm(root, { recursive: true, force: true })
  }
}

async function play(context: Context, root: string, processes: Processes, { out, runner }: DemoOptions): Promise<number> {
  const { output, signal } = context
  const { paint } = output
  const started = performance.now()
  output.line(paint.bold('sealgate demo: one sealed medical job, the whole way'))
  output.line(paint.warn('The TEE is SIMULATED here: every step is real except the hardware.'))

  heading(context, 'Setting up')
  output.progress('making keys …')
  const folders = await createFolders(root)
  await Promise.all(folders.witnesses.map((folder) => processes.start(basename(folder), ['witness', 'start', folder])))
  await processes.start('gateway', ['gateway', 'start', folders.gateway])
  const scene = await openScene(folders, processes, signal, runner)
  try {
    const host = await startHostProcess(scene, 'host', [])
    output.line(`  gateway     ${folders.address}, process ${processes.pid('gateway')}`)
    output.line(`  witnesses   ${folders.witnesses.length} processes; ${QUORUM} of them must have cosigned the log before data is released`)
    output.line(`  host        process ${processes.pid('host')}, runner ${host.runner} (${host.isolation}), evidence SIMULATED`)
    output.line(`  owner       a clinic, ${scene.owner.grantThumbprint}`)

    const honest = await honestJob(context, scene, host, out)
    const attacks = await runAttacks(context, honest.stage)
    return conclude(context, { ...honest, attacks, out, seconds: (performance.now() - started) / 1000 })
  } finally {
    scene.client.close()
  }
}

interface Honest {
  readonly stage: Stage
  readonly report: JobReport
  readonly offline: OfflineVerdict
  readonly host: HostFacts
  readonly summary: unknown
}

async function honestJob(context: Context, scene: Scene, host: HostFacts, out: string): Promise<Honest> {
  const { output, signal } = context
  const { client, folders, owner } = scene
  heading(context, 'Sealing and granting')
  const sealed = join(folders.root, 'data.sealed')
  const legal = { purposes: [PURPOSE], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
  const { dataset, plaintextSize, sizeBytes } = await sealDataset({ owner, input: DATA, output: sealed, legal, signal })
  output.line(`  data        Wisconsin Diagnostic Breast Cancer, ${plaintextSize} bytes, sealed here to ${sizeBytes} bytes`)
  await pushDataset(client, owner, sealed, { signal })
  const image = await imageFor(host.runner)
  const policy = await loadPolicyBytes(join(folders.owner, FILES.policy))
  const grant = await grantFor(scene, dataset, policy)
  output.line(`  uploaded    ciphertext only; dataset ${dataset}`)
  output.line(`  grant       ${grant}: this image, this purpose, this owner, ${USES} uses`)

  heading(context, 'Running')
  const results = join(folders.root, 'results')
  const indent = { ...output, line: (text = '') => output.line(`  ${text}`) }
  const report = await runDemoJob(scene, {
    client,
    image,
    dataset,
    grant,
    purpose: PURPOSE,
    folder: results,
    onEvent: (e) => showEvent(indent, e),
  })
  const { outcome } = report.receipt.statement.predicate
  if (outcome.kind !== 'succeeded') throw new AttestError('JOB_FAILED', `the job ended as ${outcome.kind}: ${outcome.reason}`)
  const summary = JSON.parse(await readFile(join(results, 'out', 'summary.json'), 'utf8')) as unknown
  output.line(`  results     opened here: ${report.results?.files.map((f) => f.path).join(', ')}`)
  output.line(`  summary     ${JSON.stringify(summary)}`)
  await keepResults(folders.owner, results, report.receipt.bytes, out)

  const trustFile = join(out, TRUST)
  const offline = await verifyOffline(scene.processes, join(out, RECEIPT), trustFile)
  if (!offline.accepted)
    throw new AttestError(offline.error?.code ?? 'INTERNAL', `the receipt does not verify offline: ${offline.error?.message ?? ''}`)
  output.line(`  receipt     verified again by a separate process: ${offline.checks} checks, in ${offline.confinement}`)
  const stage = { scene, image, dataset, grant, jobId: report.job.jobId, receipt: report.receipt.bytes, trustFile }
  return { stage, report, offline, host, summary }
}

/** Both forms of the image are granted, so that the attacks may run on whatever host there is. */
async function grantFor({ client, owner }: Scene, dataset: string, policy: Uint8Array): Promise<string> {
  const images: ImageRef[] = [await imageFor('docker'), await imageFor('wasm')]
  const terms = {
    datasets: [dataset],
    images,
    argv: [],
    env: {},
    submitters: [],
    recipients: [],
    purposes: [PURPOSE],
    uses: USES,
    jurisdictions: [],
    agreement: null,
    validForSeconds: 3600,
  }
  return (await issueGrant(client, owner, terms, policy, unixSeconds(new Date()))).grantId
}

async function runAttacks(context: Context, stage: Stage): Promise<readonly AttackResult[]> {
  const { output, signal } = context
  const { paint } = output
  heading(context, 'Attacks, each a real attempt')
  const results: AttackResult[] = []
  for (const attack of ATTACKS) {
    signal.throwIfAborted()
    output.progress(`  … ${attack.title}`)
    const result = await resultOf(attack, stage, signal)
    results.push(result)
    output.line(`  ${result.refused ? paint.good('refused') : paint.bad('NOT REFUSED')}  ${attack.title}`)
    output.line(paint.dim(`           by ${result.by}: ${result.code}: ${shorten(result.reason, attack.expected.reason)}`))
  }
  return results
}

async function resultOf(attack: Attack, stage: Stage, signal: AbortSignal): Promise<AttackResult> {
  try {
    const { by, code, reason } = await attack.run(stage)
    const { codes, reason: because } = attack.expected
    return { title: attack.title, refused: codes.includes(code) && because.test(reason), by, code, reason }
  } catch (error) {
    if (signal.aborted) throw error
    const code = error instanceof AttestError ? error.code : 'INTERNAL'
    return { title: attack.title, refused: false, by: 'nobody', code, reason: error instanceof Error ? error.message : String(error) }
  }
}

interface Ending extends Honest {
  readonly attacks: readonly AttackResult[]
  readonly out: string
  readonly seconds: number
}

async function conclude({ output }: Context, ending: Ending): Promise<number> {
  const { paint } = output
  const { attacks, offline, out, report, seconds, summary } = ending
  const failed = attacks.filter((a) => !a.refused).length
  const document = {
    simulated: true,
    runner: ending.host,
    job: { jobId: report.job.jobId, jobDigest: report.job.jobDigest, outcome: report.receipt.statement.predicate.outcome },
    receiptDigest: await digestOf(report.receipt.bytes),
    offline,
    summary,
    attacks,
    out,
    seconds: Math.round(seconds * 10) / 10,
  }
  const verdict =
    failed === 0
      ? paint.good(`The job came through and all ${attacks.length} attacks were refused, in ${seconds.toFixed(1)} s.`)
      : paint.bad(`${failed} of ${attacks.length} attacks were NOT refused as expected.`)
  output.answer(document, [
    '',
    verdict,
    paint.warn('SIMULATED evidence: nothing was proven about hardware.'),
    `In ${out}: ${RECEIPT}, ${TRUST}, predictions.csv, summary.json`,
    `Check the receipt yourself, anywhere: ${invocation()} receipt verify ${join(out, RECEIPT)} --trust ${join(out, TRUST)}`,
  ])
  return failed === 0 ? 0 : 1
}

/** As this program was started: in a clone `sealgate` is not on the path. */
function invocation(): string {
  const script = process.argv[1] ?? ''
  return script.endsWith('.js') ? `node ${relative(process.cwd(), script)}` : 'sealgate'
}

/** A folder of an earlier demonstration may be replaced, nothing else. */
async function checkReplaceable(out: string): Promise<void> {
  if ((await exists(out)) && !(await exists(join(out, RECEIPT)))) {
    throw new AttestError('ALREADY_EXISTS', `${out} exists and is not of an earlier demo; name another --out`)
  }
}

async function keepResults(ownerFolder: string, results: string, receipt: Uint8Array, out: string): Promise<void> {
  const fresh = join(dirname(out), `.sealgate-demo-out-${process.pid}`)
  try {
    await makeFolder(fresh)
    await cp(join(results, 'out'), fresh, { recursive: true })
    await writeNew(join(fresh, RECEIPT), receipt, PUBLIC)
    await cp(join(ownerFolder, FILES.trust), join(fresh, TRUST))
    await rm(out, { recursive: true, force: true })
    await rename(fresh, out)
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

function heading({ output }: Context, text: string): void {
  output.line()
  output.line(output.paint.bold(text))
}

/** Of several reasons the one that the attack is about; long digests by their beginning. */
function shorten(reason: string, about: RegExp): string {
  const told = reason.split('; ').find((part) => about.test(part)) ?? reason
  return told.replace(/[A-Za-z0-9_-]{25,}/g, (digest) => `${digest.slice(0, 10)}…`)
}
