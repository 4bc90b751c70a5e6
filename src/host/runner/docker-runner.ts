import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type Docker from 'dockerode'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { parseImageSource } from '../../verify/documents/image-source.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { AttestError } from '../../verify/errors.ts'
import { type PulledImage, pullImage, type Registry } from '../registry/index.ts'
import { requireNamespaceEntry } from '../service/connector.ts'
import { measureDockerArchive } from './docker-archive.ts'
import { runContainer } from './docker-container.ts'
import { type Engine, engineError, statusOf } from './docker-engine.ts'
import { containerOptions } from './docker-options.ts'
import { findRecipe, loadImage } from './images.ts'
import { outcomeOf } from './outcome.ts'
import { collectOutputs } from './outputs.ts'
import { isAlive, thisOwner, userOf } from './owner.ts'
import { containerProfile, isolationOf } from './profiles.ts'
import { checkRequest } from './request.ts'
import type { LoadedJob, Runner, RunOutcome, RunRequest } from './types.ts'
import { MEMORY_FOLDER, removeWorkspaces, sweepWorkspaces, Workspace } from './workspace.ts'

const LABEL = { owner: 'sealgate.owner', job: 'sealgate.job', deadline: 'sealgate.deadline' }

/** A container that outlives its time limit by this much has no agent any more, wherever that agent ran. */
const ORPHAN_SECONDS = 300

/** uid and gid of the workload when the agent is root; else the agent's own, so that it can read what the workload wrote. */
const NOBODY = '65532:65532'

export interface DockerRunnerOptions {
  /** Folder of image recipes, see images.ts. */
  readonly images: string
  readonly registries?: readonly Registry[]
  /** A folder on a tmpfs. */
  readonly memoryFolder?: string
  readonly reason?: string
}

/**
 * Runs workloads as hardened containers (docs/formats/isolation.md). First removes what dead agents of this user left on
 * this engine and in memory.
 * @throws AttestError `ENGINE_UNAVAILABLE`.
 */
export async function createDockerRunner(engine: Engine, options: DockerRunnerOptions): Promise<Runner> {
  const base = options.memoryFolder ?? MEMORY_FOLDER
  const owner = `${await thisOwner()}.${randomBytes(4).toString('hex')}`
  const recovered = await removeOrphans(engine, owner)
  await sweepWorkspaces(base, owner)
  const gvisor = engine.noGvisor === null ? 'with gVisor' : `without gVisor: ${engine.noGvisor}`
  const reason = options.reason ?? `container engine ${engine.version} at ${engine.socketPath}, ${gvisor}`
  return new DockerRunner(engine, { images: options.images, registries: options.registries ?? [], base, owner, reason, recovered })
}

interface Setup {
  readonly images: string
  readonly registries: readonly Registry[]
  readonly base: string
  readonly owner: string
  readonly reason: string
  readonly recovered: readonly string[]
}

class DockerRunner implements Runner {
  readonly kind = 'docker'
  readonly grade = 'container'
  readonly isolations: readonly IsolationName[]
  readonly registries: readonly string[]
  readonly reason: string
  readonly recovered: readonly string[]
  readonly #engine: Engine
  readonly #setup: Setup
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<unknown>>()
  /** Digests of images. */
  readonly #loaded = new Set<string>()
  /** By image and source: that one job names a bad source is nothing to another job. */
  readonly #loading = new Map<string, Promise<void>>()

  constructor(engine: Engine, setup: Setup) {
    this.#engine = engine
    this.#setup = setup
    this.isolations = ['sealgate-container-v1', ...(engine.noGvisor === null ? (['sealgate-gvisor-v1'] as const) : [])]
    this.registries = setup.registries.map((r) => (r.plainHttp === true ? `http://${r.host}` : r.host)).sort()
    this.reason = setup.reason
    this.recovered = setup.recovered
  }

  async prepare(image: ImageRef, service = false, source?: string): Promise<void> {
    if (service) await requireNamespaceEntry()
    if (this.#loaded.has(image.digest)) return
    const key = `${image.digest} ${source ?? ''}`
    const loading = this.#loading.get(key) ?? this.#load(image, source)
    this.#loading.set(key, loading)
    try {
      await loading
      this.#loaded.add(image.digest)
    } catch (error) {
      throw engineError(error, this.#engine.socketPath)
    } finally {
      this.#loading.delete(key)
    }
  }

  async #load(image: ImageRef, source?: string): Promise<void> {
    const pulled = await this.#pull(image, source)
    try {
      const path = pulled === null ? await this.#recipeArchive(image) : pulled.path
      if (pulled !== null && (await measureDockerArchive(path)) !== image.digest) {
        throw new AttestError('IMAGE_DIGEST_MISMATCH', `the image from ${source} is not ${image.digest}`)
      }
      await this.#loadArchive(image, path)
    } finally {
      await pulled?.remove()
    }
  }

  async #recipeArchive(image: ImageRef): Promise<string> {
    const loaded = await loadImage(this.#setup.images, image)
    if (loaded.runner !== 'docker') throw new AttestError('IMAGE_UNAVAILABLE', 'this host runs docker images')
    return loaded.path
  }

  /** Null for an image that a recipe has: nothing is pulled for it. */
  async #pull(image: ImageRef, text: string | undefined): Promise<PulledImage | null> {
    if (text === undefined || (await findRecipe(this.#setup.images, image)) !== undefined) return null
    const source = parseImageSource(text)
    if (source === null) throw new AttestError('DOCUMENT_INVALID', 'not an image source', { at: 'contract.imageSource' })
    return pullImage(source, { registries: this.#setup.registries, image: image.digest })
  }

  async #loadArchive(image: ImageRef, path: string): Promise<void> {
    const { docker } = this.#engine
    if ((await inspectImage(docker, image.digest)) === null) {
      const progress = await docker.loadImage(createReadStream(path))
      for await (const _ of progress) {
        // The engine answers when it has read all of it.
      }
    }
    const found = await inspectImage(docker, image.digest)
    if (found?.Id !== image.digest) throw new AttestError('IMAGE_DIGEST_MISMATCH', 'the engine gives the image another digest')
    // The engine would keep volumes on its disk.
    if (Object.keys(found.Config.Volumes ?? {}).length > 0) throw new AttestError('IMAGE_UNAVAILABLE', 'the image declares volumes')
  }

  run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    return this.#tracked(signal, async (until) => {
      checkRequest(this, request)
      return this.#run(request, until)
    })
  }

  /** Its /in is one folder for all runs, which each of them can only read. */
  load(request: RunRequest, signal: AbortSignal): Promise<LoadedJob> {
    return this.#tracked(signal, async (until) => {
      checkRequest(this, request)
      await this.prepare(request.image)
      const inputs = await Workspace.create(this.#setup.base, this.#setup.owner, request.inputs, 1)
      try {
        await writeInputs(inputs, request, until)
      } catch (error) {
        await inputs.remove()
        throw error
      }
      return {
        run: (item, s) =>
          this.#tracked(s, async (stop) => {
            const one = { ...request, ...item }
            checkRequest(this, one)
            const { base, owner } = this.#setup
            const workspace = await Workspace.create(base, owner, [], one.limits.outputBytes)
            return this.#removedOnError(workspace, this.#runIn(inputs, workspace, one, stop))
          }),
        unload: () => inputs.remove(),
      }
    })
  }

  async #tracked<T>(signal: AbortSignal, start: (until: AbortSignal) => Promise<T>): Promise<T> {
    const work = start(AbortSignal.any([signal, this.#closing.signal]))
    this.#running.add(work)
    try {
      return await work
    } finally {
      this.#running.delete(work)
    }
  }

  async #run(request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    await this.prepare(request.image)
    const workspace = await Workspace.create(this.#setup.base, this.#setup.owner, request.inputs, request.limits.outputBytes)
    const work = writeInputs(workspace, request, signal).then(() => this.#runIn(workspace, workspace, request, signal))
    return this.#removedOnError(workspace, work)
  }

  async #removedOnError<T>(workspace: Workspace, work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      await workspace.remove()
      throw error
    }
  }

  /** @param inputs - Where /in is; another one than `workspace` is shared, and stays. */
  async #runIn(inputs: Workspace, workspace: Workspace, request: RunRequest, signal: AbortSignal): Promise<RunOutcome> {
    const storage = { input: inputs.in.storage, output: workspace.out.storage, cap: workspace.out.cap }
    const isolation = request.isolation === 'sealgate-gvisor-v1' ? request.isolation : 'sealgate-container-v1'
    const profile = containerProfile(isolation, request.limits, {
      user: workloadUser(),
      cpus: this.#engine.cpus,
      gpus: request.gpus.length,
      storage,
    })
    const deadline = Math.ceil(Date.now() / 1000 + request.limits.timeMs / 1000) + ORPHAN_SECONDS
    const labels = { [LABEL.owner]: this.#setup.owner, [LABEL.job]: request.jobId, [LABEL.deadline]: String(deadline) }
    const place = { image: request.image.digest, in: inputs.in.path, out: workspace.out.path, labels }
    const outputIsFull = () => workspace.outputIsFull()
    const ran = await runContainer(this.#engine, containerOptions(profile, request, place), {
      timeMs: profile.timeMs,
      signal,
      outputIsFull,
      ...(request.service === undefined ? {} : { service: request.service }),
    })
    if (inputs === workspace) await workspace.removeInputs()
    const { end, outputs } = await outcomeOf(ran.ended, () => collectOutputs(workspace.out.path, profile.output.bytes))
    const bytesIn = request.inputs.reduce((sum, i) => sum + i.size, 0)
    const bytesOut = outputs.reduce((sum, o) => sum + o.size, 0) + ran.stdout.totalBytes + ran.stderr.totalBytes
    return {
      ...end,
      isolation: isolationOf(profile),
      outputs,
      stdout: ran.stdout,
      stderr: ran.stderr,
      usage: { ...ran.usage, ...(profile.gpus > 0 ? { gpuMs: ran.usage.wallMs * profile.gpus } : {}), bytesIn, bytesOut },
      release: () => workspace.remove(),
    }
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.allSettled(this.#running)
    await removeWorkspaces(this.#setup.base, this.#setup.owner)
  }
}

/** Cancelled, the run ends before its program starts: what is missing is not missed. */
async function writeInputs(workspace: Workspace, { inputs }: RunRequest, signal: AbortSignal): Promise<void> {
  await workspace.writeInputs(inputs, signal).catch((error) => {
    if (!signal.aborted) throw error
  })
}

/** Null when the engine does not have it. */
async function inspectImage(docker: Docker, digest: string): Promise<Docker.ImageInspectInfo | null> {
  try {
    return await docker.getImage(digest).inspect()
  } catch (error) {
    if (statusOf(error) === 404) return null
    throw error
  }
}

/** The workload is never root. */
function workloadUser(): string {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]
  return uid === 0 ? NOBODY : `${uid}:${gid}`
}

/** Removes containers of dead agents of this user, and any that has outlived its limits. Returns their jobs. */
async function removeOrphans({ docker, socketPath }: Engine, owner: string): Promise<readonly string[]> {
  try {
    const found = await docker.listContainers({ all: true, filters: { label: [LABEL.owner] } })
    const jobs: string[] = []
    for (const { Id, Labels } of found) {
      const theirs = Labels[LABEL.owner] ?? ''
      const expired = Number(Labels[LABEL.deadline]) < Date.now() / 1000
      const orphan = userOf(theirs) === userOf(owner) && !(await isAlive(theirs))
      if (!orphan && !expired) continue
      await docker.getContainer(Id).remove({ force: true, v: true })
      jobs.push(Labels[LABEL.job] ?? '')
    }
    return jobs
  } catch (cause) {
    throw engineError(cause, socketPath)
  }
}
