import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  Client,
  createPolicy,
  FILES,
  type JobEvent,
  type JobReport,
  LogMemory,
  loadOwner,
  loadTrustFile,
  type Owner,
  PUBLIC,
  runJob,
  writeNew,
} from '../../client/index.ts'
import type { ImageRef } from '../../verify/documents/contract.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { createGatewayFolder } from '../folders/gateway-folder.ts'
import { createSimulatedHost } from '../folders/host-folder.ts'
import { createIdentityFolder } from '../folders/identity-folder.ts'
import { createOwner } from '../folders/owner-folder.ts'
import { addTrust } from '../folders/trust.ts'
import { addWitness, createWitnessFolder } from '../folders/witness-folder.ts'
import { resolveImages } from '../images.ts'
import type { Processes } from './processes.ts'

/** The example: Wisconsin Diagnostic Breast Cancer data and the image that classifies its rows. */
export const DATA: string = fileURLToPath(new URL('../../../enclave-images/tabular-inference/data/wdbc.csv', import.meta.url))
export const IMAGE = 'tabular-inference'
export const INPUT_NAME = 'data.csv'
export const PURPOSE = 'https://w3id.org/dpv#AcademicResearch'

/** The folders of everybody in the story, with fresh keys. */
export interface Folders {
  readonly root: string
  readonly gateway: string
  readonly owner: string
  readonly host: string
  /** Of the witnesses, each a process of its own. */
  readonly witnesses: readonly string[]
  /** host:port of the gateway. */
  readonly address: string
  /** Hexadecimal, of the agent that this program is. */
  readonly measurement: string
}

const WITNESSES = ['w1', 'w2', 'w3'] as const
/** So many of them must have cosigned the log before data is released. */
export const QUORUM = 2

/** Makes gateway, witnesses, owner and a host with a SIMULATED TEE, who know each other. */
export async function createFolders(root: string): Promise<Folders> {
  const [gateway, owner, host] = [join(root, 'gateway'), join(root, 'owner'), join(root, 'host')]
  const address = `127.0.0.1:${await freePort()}`
  const at = new Date()
  await createGatewayFolder({ folder: gateway, name: 'demo', listen: address, publicAddress: null, at })
  await createIdentityFolder({ gateway, folder: owner, role: 'client', name: 'clinic', rsa: false, at })
  await createIdentityFolder({ gateway, folder: host, role: 'host', name: 'host1', rsa: false, at })
  await createOwner({ folder: owner, trust: join(gateway, 'trust.json'), suite: 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM' })
  const { rootPath, measurement } = await createSimulatedHost(host)
  for (const folder of [gateway, owner]) await addTrust(folder, { from: null, simulatedRoots: [rootPath], owners: [] })
  const keys = await Promise.all(WITNESSES.map((name) => createWitness(root, gateway, name)))
  for (const { vkey, url } of keys) await addWitness(gateway, url, vkey)
  await addTrust(owner, { from: null, simulatedRoots: [], owners: [], witnesses: keys.map((w) => w.vkey) })
  const { logs } = await loadTrustFile(join(owner, FILES.trust))
  const [log] = logs
  if (log === undefined) throw new AttestError('INTERNAL', 'the trust file names no log')
  const policy = createPolicy({
    log,
    quorum: { k: QUORUM, keys: keys.map((w) => w.vkey) },
    measurements: [{ tee: 'sev-snp', value: measurement }],
    allowSimulated: true,
    allowUnknown: [],
    runners: ['docker', 'wasm'],
  })
  await writeNew(join(owner, FILES.policy), policy, PUBLIC)
  return { root, gateway, owner, host, witnesses: WITNESSES.map((name) => join(root, name)), address, measurement }
}

async function createWitness(root: string, gateway: string, name: string): Promise<{ readonly vkey: string; readonly url: string }> {
  const listen = `127.0.0.1:${await freePort()}`
  const vkey = await createWitnessFolder({ folder: join(root, name), name: `demo/${name}`, listen, trust: gateway })
  return { vkey, url: `http://${listen}` }
}

/** A port that nobody listens on at this moment. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof bound !== 'object' || bound === null) throw new AttestError('INTERNAL', 'no free port')
  return bound.port
}

/** What the owner works with during the demonstration. */
export interface Scene {
  readonly folders: Folders
  readonly processes: Processes
  readonly owner: Owner
  readonly trust: TrustFile
  readonly client: Client
  readonly signal: AbortSignal
  /** For `sealgate host start --runner`. */
  readonly runner: RunnerChoice
}

export type RunnerChoice = 'auto' | 'docker' | 'wasm'

export async function openScene(
  folders: Folders,
  processes: Processes,
  signal: AbortSignal,
  runner: RunnerChoice = 'auto',
): Promise<Scene> {
  const owner = await loadOwner(folders.owner)
  const trust = await loadTrustFile(join(folders.owner, FILES.trust))
  return { folders, processes, owner, trust, client: await Client.connect(folders.owner), signal, runner }
}

/** What a host says of itself when it is ready. */
export interface HostFacts {
  readonly runner: 'docker' | 'wasm'
  readonly isolation: string
}

const ATTESTED_TIMEOUT_MS = 20_000

/** Starts a host process and waits until the gateway has taken its evidence. */
export async function startHostProcess(scene: Scene, name: string, args: readonly string[]): Promise<HostFacts> {
  const { client, folders, processes, signal } = scene
  const start = ['host', 'start', folders.host, '--attester', 'sim', '--runner', scene.runner, ...args]
  const facts = (await processes.start(name, start)) as HostFacts
  const deadline = Date.now() + ATTESTED_TIMEOUT_MS
  while (!(await client.listHosts({ signal })).some((h) => h.online && h.attested && !h.busy)) {
    if (Date.now() > deadline) throw new AttestError('DEADLINE', `${name} was not attested in time`)
    await delay(50, undefined, { signal })
  }
  return facts
}

/** A container where the host has an engine, else WebAssembly. */
export async function imageFor(runner: HostFacts['runner']): Promise<ImageRef> {
  const image = (await resolveImages(IMAGE)).find((i) => i.runner === runner)
  if (image === undefined) throw new AttestError('IMAGE_UNAVAILABLE', `${IMAGE} has no ${runner} form`)
  return image
}

export interface DemoJob {
  readonly client: Client
  readonly image: ImageRef
  readonly dataset: string
  readonly grant: string
  readonly purpose: string
  readonly folder: string | null
  readonly onEvent?: (event: JobEvent) => void
}

export function runDemoJob({ owner, trust, signal, folders }: Scene, job: DemoJob): Promise<JobReport> {
  return runJob({
    client: job.client,
    owner,
    trust,
    memory: new LogMemory(folders.owner),
    image: job.image,
    argv: [],
    env: {},
    inputs: [{ name: INPUT_NAME, dataset: job.dataset }],
    purpose: job.purpose,
    grants: [job.grant],
    folder: job.folder,
    signal,
    ...(job.onEvent === undefined ? {} : { onEvent: job.onEvent }),
    now: () => new Date(),
  })
}
