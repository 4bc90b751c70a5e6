import { FUNCTION_NOT_FOUND, type Nvml, type NvmlFunction } from '../../../../../src/host/attesters/nvml/library.ts'
import { testBytes } from '../../../../support/keys.ts'
import { setU32 } from '../fake-ioctl.ts'

type Argument = number | bigint | Uint8Array

/** The driver's side of NVML, in memory. */
export class FakeNvml {
  gpus = 2
  environment = 2
  ccFeature = 1
  devToolsMode = 0
  multiGpuMode = 0
  ready = 0
  reportSize = 4049
  chain: Uint8Array = Buffer.from('-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n\0')
  architecture = 9
  /** Code that a function returns without doing anything. */
  readonly failing = new Map<NvmlFunction, number>()
  readonly calls: (readonly [NvmlFunction, readonly Argument[]])[] = []
  /** Runs at the end of a report, when its call is about to return. */
  onReport: (handle: bigint, struct: Uint8Array) => Promise<void> | void = () => {}
  running = new Map<bigint, number>()

  readonly nvml: Nvml = async (name, ...args) => {
    this.calls.push([name, args])
    const code = this.failing.get(name)
    if (code !== undefined) return code
    await Promise.resolve()
    return this.#answer(name, args)
  }

  async #answer(name: NvmlFunction, args: readonly Argument[]): Promise<number> {
    const buffer = args.find((a) => a instanceof Uint8Array) ?? new Uint8Array()
    if (name === 'nvmlSystemGetConfComputeSettings') {
      if (new DataView(buffer.buffer).getUint32(0, true) !== 0x1000014) return 25
      const values = [this.environment, this.ccFeature, this.devToolsMode, this.multiGpuMode]
      for (const [i, value] of values.entries()) setU32(buffer, 4 + 4 * i, value)
    } else if (name === 'nvmlSystemGetConfComputeState') {
      for (const [i, value] of [this.environment, this.ccFeature, this.devToolsMode].entries()) setU32(buffer, 4 * i, value)
    } else if (name === 'nvmlSystemGetConfComputeGpusReadyState') setU32(buffer, 0, this.ready)
    else if (name === 'nvmlSystemSetConfComputeGpusReadyState') this.ready = Number(args[0])
    else if (name === 'nvmlDeviceGetCount_v2') setU32(buffer, 0, this.gpus)
    else if (name === 'nvmlDeviceGetHandleByIndex_v2') {
      if (Number(args[0]) >= this.gpus) return 2
      new DataView(buffer.buffer).setBigUint64(0, 0x7f00_0000_0000n + BigInt(Number(args[0])), true)
    } else if (name === 'nvmlDeviceGetArchitecture') setU32(buffer, 0, this.architecture)
    else if (name === 'nvmlDeviceGetUUID') buffer.set(Buffer.from(`GPU-${String(args[0])}\0`))
    else if (name === 'nvmlDeviceGetVbiosVersion') buffer.set(Buffer.from('96.00.9F.00.01\0'))
    else if (name === 'nvmlSystemGetDriverVersion') buffer.set(Buffer.from('550.90.07\0'))
    else if (name === 'nvmlDeviceGetConfComputeGpuCertificate') {
      setU32(buffer, 4, this.chain.length)
      buffer.set(this.chain.subarray(0, 0x1400), 4104)
    } else if (name === 'nvmlDeviceGetConfComputeGpuAttestationReport') await this.#report(args[0] as bigint, buffer)
    else if (name !== 'nvmlInit_v2') return FUNCTION_NOT_FOUND
    return 0
  }

  async #report(handle: bigint, struct: Uint8Array): Promise<void> {
    const others = this.running.get(handle) ?? 0
    if (others > 0) throw new Error('two calls at a time')
    this.running.set(handle, 1)
    setU32(struct, 4, this.reportSize)
    struct.set(testBytes(`report of ${handle}`, Math.min(this.reportSize, 0x2000)), 44)
    struct.set(struct.subarray(12, 44), 44 + 4)
    await this.onReport(handle, struct)
    this.running.set(handle, 0)
  }
}
