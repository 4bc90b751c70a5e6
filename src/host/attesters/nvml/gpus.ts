import { AttestError } from '../../../verify/errors.ts'
import type { DeviceAttester, DeviceEvidence } from '../attester.ts'
import {
  type CcState,
  CERTIFICATE_STRUCT,
  encodeReportStruct,
  isConfidential,
  readCertificateStruct,
  readReportStruct,
  readState,
  readText,
  SETTINGS_SIZE,
  SETTINGS_VERSION,
  STATE_SIZE,
} from './layout.ts'
import { FUNCTION_NOT_FOUND, type Nvml, type NvmlFunction } from './library.ts'
import { assertSuccess, NOT_SUPPORTED } from './return-codes.ts'

/** What the driver says of a GPU. Not signed. */
export interface GpuFacts {
  readonly uuid: string
  readonly architecture: string
  readonly vbiosVersion: string
}

/** `nvmlDeviceArchitecture_t`, those with confidential computing. */
const ARCHITECTURES: ReadonlyMap<number, string> = new Map([
  [9, 'hopper'],
  [10, 'blackwell'],
])

/** More GPUs than any machine has; a bundle takes as many devices. */
const MAX_GPUS = 64
/** NVML_DEVICE_UUID_BUFFER_SIZE and its fellows. */
const UUID_SIZE = 80
const VBIOS_VERSION_SIZE = 32
const DRIVER_VERSION_SIZE = 80

/** The confidential GPUs of this machine, as NVML tells of them. One call at a time goes to each. */
export class NvmlGpus implements DeviceAttester {
  readonly #nvml: Nvml
  readonly #turns = new Map<number, Promise<unknown>>()
  readonly unattested: readonly string[]
  /** NVML has none: `collateral` of the host folder, or the gateway's. */
  readonly endorsements: readonly Uint8Array[] = []
  readonly simulated = false

  private constructor(nvml: Nvml, unattested: readonly string[]) {
    this.#nvml = nvml
    this.unattested = unattested
  }

  /** @throws AttestError `ATTESTER_UNAVAILABLE` when NVML does not answer. */
  static async open(nvml: Nvml): Promise<NvmlGpus> {
    assertSuccess('nvmlInit_v2', await nvml('nvmlInit_v2'))
    const state = await ccState(nvml)
    const gpus = await gpuCount(nvml)
    return new NvmlGpus(nvml, gpus === 0 ? [] : leftOut(state, gpus))
  }

  /** What the driver says of confidential computing; null where it has none. */
  state(): Promise<CcState | null> {
    return ccState(this.#nvml)
  }

  async driverVersion(): Promise<string> {
    const text = new Uint8Array(DRIVER_VERSION_SIZE)
    await this.#call('nvmlSystemGetDriverVersion', text, text.length)
    return readText(text, 'nvml.driverVersion')
  }

  /** In the order of {@link attestDevices}. */
  async facts(): Promise<readonly GpuFacts[]> {
    const facts: GpuFacts[] = []
    for (let i = 0; i < (await this.count()); i++) facts.push(await this.#inTurn(i, (handle) => this.#factsOf(handle)))
    return facts
  }

  async engineIds(): Promise<readonly string[]> {
    return (await this.facts()).map(({ uuid }) => uuid)
  }

  /** GPUs with confidential computing off have no report, so they do not count. */
  async count(): Promise<number> {
    return isConfidential(await this.state()) ? gpuCount(this.#nvml) : 0
  }

  async attestDevices(nonces: readonly Uint8Array[]): Promise<readonly DeviceEvidence[]> {
    const count = await this.count()
    if (count !== nonces.length) {
      throw new AttestError('ATTESTER_UNAVAILABLE', `${count} GPUs for ${nonces.length} nonces`, { at: 'nvml.nvmlDeviceGetCount_v2' })
    }
    return Promise.all(nonces.map((nonce, i) => this.#inTurn(i, (handle) => this.#evidenceOf(handle, nonce))))
  }

  /** Whether the GPUs take work. */
  async isReady(): Promise<boolean> {
    const answer = new Uint8Array(4)
    await this.#call('nvmlSystemGetConfComputeGpusReadyState', answer)
    return u32(answer) === 1
  }

  /**
   * Dangerous by itself: {@link admitGpus} is the only caller that may say true. Needs root.
   * @throws AttestError `ATTESTER_UNAVAILABLE`.
   */
  dangerouslySetReady(ready: boolean): Promise<void> {
    return this.#call('nvmlSystemSetConfComputeGpusReadyState', ready ? 1 : 0)
  }

  async #evidenceOf(handle: bigint, nonce: Uint8Array): Promise<DeviceEvidence> {
    const certificate = new Uint8Array(CERTIFICATE_STRUCT.size)
    await this.#call('nvmlDeviceGetConfComputeGpuCertificate', handle, certificate)
    const report = encodeReportStruct(nonce)
    await this.#call('nvmlDeviceGetConfComputeGpuAttestationReport', handle, report)
    return { type: 'gpu', report: readReportStruct(report, nonce), certificateChain: readCertificateStruct(certificate) }
  }

  async #factsOf(handle: bigint): Promise<GpuFacts> {
    const uuid = new Uint8Array(UUID_SIZE)
    await this.#call('nvmlDeviceGetUUID', handle, uuid, uuid.length)
    const vbios = new Uint8Array(VBIOS_VERSION_SIZE)
    await this.#call('nvmlDeviceGetVbiosVersion', handle, vbios, vbios.length)
    const architecture = new Uint8Array(4)
    await this.#call('nvmlDeviceGetArchitecture', handle, architecture)
    const number = u32(architecture)
    return {
      uuid: readText(uuid, 'nvml.uuid'),
      architecture: ARCHITECTURES.get(number) ?? `nvml-${number}`,
      vbiosVersion: readText(vbios, 'nvml.vbiosVersion'),
    }
  }

  /** Work on a GPU begins when the work before it has ended, well or badly. */
  #inTurn<T>(index: number, work: (handle: bigint) => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(index) ?? Promise.resolve()).then(async () => {
      const handle = new Uint8Array(8)
      await this.#call('nvmlDeviceGetHandleByIndex_v2', index, handle)
      return work(new DataView(handle.buffer).getBigUint64(0, true))
    })
    this.#turns.set(
      index,
      turn.catch(() => undefined),
    )
    return turn
  }

  async #call(name: NvmlFunction, ...args: readonly (number | bigint | Uint8Array)[]): Promise<void> {
    assertSuccess(name, await this.#nvml(name, ...args))
  }
}

async function gpuCount(nvml: Nvml): Promise<number> {
  const answer = new Uint8Array(4)
  assertSuccess('nvmlDeviceGetCount_v2', await nvml('nvmlDeviceGetCount_v2', answer))
  const count = u32(answer)
  if (count > MAX_GPUS) throw new AttestError('ATTESTER_UNAVAILABLE', `${count} GPUs, want at most ${MAX_GPUS}`, { at: 'nvml' })
  return count
}

/** The newer question where the driver knows it, else the older one. */
async function ccState(nvml: Nvml): Promise<CcState | null> {
  const settings = new Uint8Array(SETTINGS_SIZE)
  new DataView(settings.buffer).setUint32(0, SETTINGS_VERSION, true)
  const code = await nvml('nvmlSystemGetConfComputeSettings', settings)
  if (code === 0) return readState(settings)
  if (code !== NOT_SUPPORTED && code !== FUNCTION_NOT_FOUND) assertSuccess('nvmlSystemGetConfComputeSettings', code)
  const state = new Uint8Array(STATE_SIZE)
  const older = await nvml('nvmlSystemGetConfComputeState', state)
  if (older === NOT_SUPPORTED || older === FUNCTION_NOT_FOUND) return null
  assertSuccess('nvmlSystemGetConfComputeState', older)
  return readState(state)
}

function leftOut(state: CcState | null, gpus: number): readonly string[] {
  if (!isConfidential(state)) return [`${gpus} GPUs: confidential computing is off`]
  if (state.multiGpuMode !== 'protected-pcie') return []
  return ['NVSwitches: their reports come from libnvidia-nscq, which is not supported']
}

function u32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer).getUint32(0, true)
}
