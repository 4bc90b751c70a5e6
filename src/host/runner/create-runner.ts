import type { RunnerKind } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Registry } from '../registry/index.ts'
import { connectEngine, socketFrom } from './docker-engine.ts'
import { createDockerRunner } from './docker-runner.ts'
import { DEFAULT_IMAGES } from './images.ts'
import type { Runner } from './types.ts'
import { createWasmRunner } from './wasm-runner.ts'

export interface RunnerOptions {
  /** `auto`: containers where an engine is ready for them, else WebAssembly. */
  readonly kind: 'auto' | RunnerKind
  /** Default: `DOCKER_HOST`, else /var/run/docker.sock. */
  readonly docker?: { readonly socketPath?: string }
  /** Folder of image recipes; default: those that come with this program. */
  readonly images?: string
  /** Registries that images may be pulled from; default: none. Containers only. */
  readonly registries?: readonly Registry[]
  /** A folder on a tmpfs, for decrypted files of containers; default /dev/shm. */
  readonly memoryFolder?: string
}

/**
 * Makes the runner of a host. With `auto`, `Runner.reason` says what stood against containers.
 * @throws AttestError `ENGINE_UNAVAILABLE`, `ENGINE_PERMISSION`: only where a kind was asked for that cannot be had.
 */
export async function createRunner(options: RunnerOptions): Promise<Runner> {
  const images = options.images ?? DEFAULT_IMAGES
  if (options.kind === 'wasm') return createWasmRunner({ images })
  try {
    const engine = await connectEngine(options.docker?.socketPath ?? socketFrom(process.env.DOCKER_HOST))
    const { memoryFolder, registries = [] } = options
    return await createDockerRunner(engine, { images, registries, ...(memoryFolder === undefined ? {} : { memoryFolder }) })
  } catch (error) {
    const isAboutEngine = error instanceof AttestError && (error.code === 'ENGINE_UNAVAILABLE' || error.code === 'ENGINE_PERMISSION')
    if (options.kind === 'docker' || !isAboutEngine) throw error
    return createWasmRunner({ images, reason: `WebAssembly in a process of its own, weaker than a container: ${error.message}` })
  }
}
