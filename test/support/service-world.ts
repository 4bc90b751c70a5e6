import { type ChildProcess, spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { issueGrant } from '../../src/client/index.ts'
import { spkiDigest } from '../../src/rpc/service/index.ts'
import type { ImageRef } from '../../src/verify/documents/contract.ts'
import { writeNodeImage } from './images.ts'
import { PROGRAM, Service, sealgateJson } from './processes.ts'
import { PURPOSE, World } from './processes-world.ts'

const PROGRAM_TEXT = readFileSync(new URL('./service-image.mjs', import.meta.url), 'utf8')

/** A world whose host runs containers, with an HTTP server as image and a grant that lets the owner's TLS key speak with it. */
export class ServiceWorld {
  readonly world: World
  readonly host: Service
  readonly image: ImageRef
  readonly grant: string

  private constructor(world: World, host: Service, image: ImageRef, grant: string) {
    this.world = world
    this.host = host
    this.image = image
    this.grant = grant
  }

  static async start(socketPath: string): Promise<ServiceWorld> {
    const world = await World.start()
    try {
      await world.host.stop()
      const images = world.path('images')
      mkdirSync(images)
      const image = await writeNodeImage(images, PROGRAM_TEXT)
      const args = [
        'host',
        'start',
        world.path('host'),
        '--runner',
        'docker',
        '--attester',
        'sim',
        '--images',
        images,
        '--log-level',
        'debug',
      ]
      const host = new Service(args, world.path('host.log'), [], { DOCKER_HOST: `unix://${socketPath}` })
      await host.start()
      await world.attested()
      const terms = {
        datasets: [world.dataset],
        images: [image],
        argv: null,
        env: null,
        submitters: [],
        recipients: [],
        clients: [digestOfCertificate(world.path('owner', 'tls.crt'))],
        purposes: [PURPOSE],
        uses: 1000,
        jurisdictions: [],
        agreement: null,
        validForSeconds: 3600,
      }
      const policy = new Uint8Array(readFileSync(world.path('owner', 'policy.json')))
      const { grantId } = await issueGrant(world.client, world.owner, terms, policy, Math.floor(Date.now() / 1000))
      return new ServiceWorld(world, host, image, grantId)
    } catch (error) {
      await world.close()
      throw error
    }
  }

  /** `sealgate run --service`. @returns the job's id. */
  async run(...more: readonly string[]): Promise<string> {
    await this.world.attested()
    const owner = this.world.path('owner')
    const image = `docker:${this.image.digest}`
    const args = ['--service', '--image', image, '--input', `data.csv=${this.world.dataset}`, '--purpose', PURPOSE, '--grant', this.grant]
    const limits = ['--memory', '512M', '--time', '10m']
    const { jobId } = await sealgateJson<{ jobId: string }>(['run', ...args, ...limits, '--folder', owner, ...more])
    return jobId
  }

  connect(jobId: string, ...more: readonly string[]): Promise<Connection> {
    return Connection.open(['connect', jobId, '--listen', '127.0.0.1:0', '--folder', this.world.path('owner'), ...more])
  }

  /** Waits for the end of a job and fetches its receipt. */
  async receipt(jobId: string): Promise<string> {
    const path = join(this.world.root, `${jobId}.sealgate-receipt.json`)
    await sealgateJson(['job', 'watch', jobId, '--folder', this.world.path('owner')])
    const { writeFile } = await import('node:fs/promises')
    await writeFile(path, await this.world.client.receipt(jobId))
    return path
  }

  async close(): Promise<void> {
    await this.host.stop('SIGKILL')
    await this.world.close()
  }
}

export function digestOfCertificate(path: string): string {
  return spkiDigest(new X509Certificate(readFileSync(path)))
}

/** `sealgate connect` as a process of its own. */
export class Connection {
  readonly url: string
  readonly #child: ChildProcess
  readonly ended: Promise<number | null>
  stderr = ''

  private constructor(child: ChildProcess, url: string, ended: Promise<number | null>) {
    this.#child = child
    this.url = url
    this.ended = ended
  }

  /** @throws Error with what it wrote when it ends before it listens. */
  static async open(args: readonly string[]): Promise<Connection> {
    const child = spawn(process.execPath, [PROGRAM, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    const ready = new Promise<string>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        stdout += chunk.toString()
        if (stdout.trimEnd().endsWith('}')) resolve(stdout)
      })
    })
    const holder: { connection?: Connection } = {}
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
      if (holder.connection !== undefined) holder.connection.stderr = stderr
    })
    const first = await Promise.race([ready, ended])
    if (typeof first !== 'string' || first.includes('"error"')) {
      const code = await ended
      throw Object.assign(new Error(`connect ended with ${code}: ${stderr}`), { exitCode: code, stderr })
    }
    const { url } = JSON.parse(first) as { url: string }
    holder.connection = new Connection(child, url, ended)
    holder.connection.stderr = stderr
    return holder.connection
  }

  close(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return this.ended
  }
}
