import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createGatewayFolder } from '../../src/cli/folders/gateway-folder.ts'
import { createSimulatedHost } from '../../src/cli/folders/host-folder.ts'
import { createIdentityFolder } from '../../src/cli/folders/identity-folder.ts'
import { createOwner } from '../../src/cli/folders/owner-folder.ts'
import { addTrust } from '../../src/cli/folders/trust.ts'
import { resolveImages } from '../../src/cli/images.ts'
import {
  Client,
  createPolicy,
  issueGrant,
  type JobReport,
  type JobRequest,
  LogMemory,
  loadOwner,
  loadTrustFile,
  type Owner,
  pushDataset,
  runJob,
  sealDataset,
} from '../../src/client/index.ts'
import { simulatedMeasurement } from '../../src/host/index.ts'
import { createSimulatedGpus, sevSnpTee } from '../../src/sim/index.ts'
import { toHex } from '../../src/verify/bytes/bytes.ts'
import type { ImageRef } from '../../src/verify/documents/contract.ts'
import { DIST, REPO, Service, sealgateJson } from './processes.ts'
import { freePort } from './proxies.ts'
import { platform } from './receipt-builder.ts'

export const PURPOSE = 'https://w3id.org/dpv#AcademicResearch'
export const DATA: string = join(REPO, 'enclave-images/tabular-inference/data/wdbc.csv')

export interface WorldOptions {
  /** Arguments of Node for the gateway. */
  readonly gatewayNode?: readonly string[]
  /** Path of the plaintext. */
  readonly data?: string
  readonly limits?: Readonly<Record<string, number>>
  /** Socket of a container engine: the host runs containers. Default: WebAssembly. */
  readonly docker?: string
  /** Recipes of the host's images, and the one that the owner grants; default: the shipped example. */
  readonly images?: { readonly folder: string; readonly image: ImageRef }
  /** More arguments of `host start`. */
  readonly hostArgs?: readonly string[]
  /** Simulated GPUs of the host. */
  readonly gpus?: number
  /** Where the host says that it stands. */
  readonly region?: string
  /** Names of witnesses, each a process of its own; the policy then demands a majority of them. */
  readonly witnesses?: readonly string[]
}

export interface WitnessService {
  readonly service: Service
  readonly folder: string
  /** host:port */
  readonly address: string
  /** Verifier key. */
  readonly key: string
}

/** Gateway and host as processes of their own, an owner with a sealed dataset and a grant. SIMULATED evidence. */
export class World {
  readonly root: string
  readonly gateway: Service
  readonly host: Service
  readonly address: string
  readonly client: Client
  readonly owner: Owner
  readonly dataset: string
  readonly grant: string
  readonly image: ImageRef
  /** By name. */
  readonly witnesses: ReadonlyMap<string, WitnessService>
  #jobs = 0

  private constructor(parts: Omit<World, 'runJob' | 'hostThrough' | 'attested' | 'close' | 'path' | 'attempt' | 'witness'>) {
    this.root = parts.root
    this.gateway = parts.gateway
    this.host = parts.host
    this.address = parts.address
    this.client = parts.client
    this.owner = parts.owner
    this.dataset = parts.dataset
    this.grant = parts.grant
    this.image = parts.image
    this.witnesses = parts.witnesses
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const root = mkdtempSync(join(tmpdir(), 'sealgate-e2e-'))
    const services: Service[] = []
    try {
      return await World.#startIn(root, options, services)
    } catch (error) {
      await Promise.all(services.map((service) => service.stop('SIGKILL')))
      rmSync(root, { recursive: true, force: true })
      throw error
    }
  }

  static async #startIn(root: string, options: WorldOptions, services: Service[]): Promise<World> {
    const folder = (name: string): string => join(root, name)
    const { address, witnesses } = await makeFolders(root, options)
    const gateway = new Service(['gateway', 'start', folder('gw')], folder('gateway.log'), options.gatewayNode)
    const runner = options.docker === undefined ? 'wasm' : 'docker'
    const images = options.images === undefined ? [] : ['--images', options.images.folder]
    const region = options.region === undefined ? [] : ['--region', options.region]
    const more = [...images, ...region, ...(options.hostArgs ?? [])]
    const hostArgs = ['host', 'start', folder('host'), '--runner', runner, '--attester', 'sim', ...more]
    const host = new Service(
      hostArgs,
      folder('host.log'),
      [],
      options.docker === undefined ? {} : { DOCKER_HOST: `unix://${options.docker}` },
    )
    services.push(gateway, host, ...[...witnesses.values()].map((w) => w.service))
    for (const { service } of witnesses.values()) await service.start()
    await Promise.all([gateway.start(), host.start()])
    const owner = await loadOwner(folder('owner'))
    const client = await Client.connect(folder('owner'))
    await attestedHost(client)
    const legal = { purposes: [PURPOSE], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
    await sealDataset({ owner, input: options.data ?? DATA, output: folder('data.sealed'), legal })
    const dataset = await pushDataset(client, owner, folder('data.sealed'))
    const image = options.images?.image ?? (await resolveImages('tabular-inference')).find((i) => i.runner === runner)
    if (image === undefined) throw new Error(`the image has no ${runner} form`)
    const terms = {
      datasets: [dataset],
      images: [image],
      argv: [],
      env: null,
      submitters: [],
      recipients: [],
      purposes: [PURPOSE],
      uses: 1000,
      jurisdictions: [],
      agreement: null,
      validForSeconds: 3600,
    }
    const policy = new Uint8Array(readFileSync(join(folder('owner'), 'policy.json')))
    const { grantId } = await issueGrant(client, owner, terms, policy, Math.floor(Date.now() / 1000))
    return new World({ root, gateway, host, address, client, owner, dataset, grant: grantId, image, witnesses })
  }

  witness(name: string): WitnessService {
    const witness = this.witnesses.get(name)
    if (witness === undefined) throw new Error(`no witness ${name}`)
    return witness
  }

  path(...names: readonly string[]): string {
    return join(this.root, ...names)
  }

  /** Runs the job of this world; results go to a folder of their own. */
  async runJob(changes: Partial<JobRequest> = {}): Promise<JobReport> {
    return runJob({
      client: this.client,
      owner: this.owner,
      trust: await loadTrustFile(this.path('owner', 'trust.json')),
      memory: new LogMemory(this.path('owner')),
      image: this.image,
      argv: [],
      env: {},
      inputs: [{ name: 'data.csv', dataset: this.dataset }],
      purpose: PURPOSE,
      grants: [this.grant],
      folder: this.path(`results-${this.#jobs++}`),
      signal: AbortSignal.timeout(30_000),
      now: () => new Date(),
      ...changes,
    })
  }

  /** Another agent for the same host folder, which dials `address`. */
  hostThrough(address: string, ...args: readonly string[]): Service {
    const all = ['host', 'start', this.path('host'), '--runner', 'wasm', '--attester', 'sim', '--gateway', address, ...args]
    return new Service(all, this.path('host.log'))
  }

  /** Waits until a host is attested and free. */
  attested(): Promise<void> {
    return attestedHost(this.client)
  }

  async close(): Promise<void> {
    this.client.close()
    const services = [this.gateway, this.host, ...[...this.witnesses.values()].map((w) => w.service)]
    await Promise.all(services.map((service) => service.stop('SIGKILL')))
    rmSync(this.root, { recursive: true, force: true })
  }
}

async function attestedHost(client: Client): Promise<void> {
  const deadline = Date.now() + 30_000
  while (Date.now() < deadline) {
    const hosts = await client.listHosts().catch(() => [])
    if (hosts.some((h) => h.online && h.attested && !h.busy)) return
    await delay(30)
  }
  throw new Error('no host was attested in time')
}

async function makeFolders(root: string, options: WorldOptions): Promise<{ address: string; witnesses: Map<string, WitnessService> }> {
  const limits = options.limits ?? {}
  const gpus = options.gpus ?? 0
  const [gateway, owner, host] = [join(root, 'gw'), join(root, 'owner'), join(root, 'host')]
  const address = `127.0.0.1:${await freePort()}`
  const at = new Date()
  await createGatewayFolder({ folder: gateway, name: 'e2e', listen: address, publicAddress: null, at })
  await createIdentityFolder({ gateway, folder: owner, role: 'client', name: 'alice', rsa: false, at })
  await createIdentityFolder({ gateway, folder: host, role: 'host', name: 'host1', rsa: false, at })
  await createOwner({ folder: owner, trust: join(gateway, 'trust.json'), suite: 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM' })
  const { rootPath } = await createSimulatedHost(host, sevSnpTee(platform), gpus === 0 ? null : await createSimulatedGpus(gpus, at))
  for (const target of [gateway, owner]) await addTrust(target, { from: null, simulatedRoots: [rootPath], owners: [] })
  const configPath = join(gateway, 'gateway.json')
  const config = JSON.parse(readFileSync(configPath, 'utf8')) as object
  writeFileSync(configPath, JSON.stringify({ ...config, limits }))
  const witnesses = new Map<string, WitnessService>()
  for (const name of options.witnesses ?? []) witnesses.set(name, await makeWitness(root, name))
  const [log] = (await loadTrustFile(join(owner, 'trust.json'))).logs
  if (log === undefined) throw new Error('no log')
  const measurements = [{ tee: 'sev-snp', value: toHex(await simulatedMeasurement(DIST)) }]
  if (witnesses.size > 0) {
    const k = String(Math.floor(witnesses.size / 2) + 1)
    const measurement = measurements.map((m) => `${m.tee}:${m.value}`).join()
    await sealgateJson(['policy', 'create', '--folder', owner, '--allow-simulated', '--measurement', measurement, '--quorum', k])
    return { address, witnesses }
  }
  const policy = createPolicy({ log, measurements, allowSimulated: true, allowUnknown: [], runners: ['docker', 'wasm'] })
  writeFileSync(join(owner, 'policy.json'), policy)
  return { address, witnesses }
}

/** A witness that gateway and owner know, made with the program's own commands. */
async function makeWitness(root: string, name: string): Promise<WitnessService> {
  const [folder, gateway] = [join(root, name), join(root, 'gw')]
  const address = `127.0.0.1:${await freePort()}`
  const init = ['init', folder, '--role', 'witness', '--name', name, '--listen', address, '--trust', gateway]
  const { witness: key } = await sealgateJson<{ witness: string }>(init)
  await sealgateJson(['gateway', 'add-witness', gateway, '--url', `http://${address}`, '--vkey', key])
  await sealgateJson(['trust', 'add', join(root, 'owner'), '--witness', key])
  return { service: new Service(['witness', 'start', folder], join(root, `${name}.log`)), folder, address, key }
}
