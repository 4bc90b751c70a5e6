import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { openDevices } from '../../../../../src/host/attesters/devices.ts'
import { admitGpus } from '../../../../../src/host/attesters/nvml/admit.ts'
import { NvmlGpus } from '../../../../../src/host/attesters/nvml/gpus.ts'
import { loadNvml } from '../../../../../src/host/attesters/nvml/library.ts'
import { compileLibrary } from '../../../../support/c-compiler.ts'
import { testBytes } from '../../../../support/keys.ts'

const folder = await mkdtemp(join(tmpdir(), 'nvml-'))
const library = join(folder, 'libnvidia-ml.so.1')
const compiled = await compileLibrary('fake-nvml.c', library)
afterAll(() => rm(folder, { recursive: true, force: true }))

const nonces = [testBytes('first', 32), testBytes('second', 32)]
const absent = join(folder, 'absent.so')

describe.skipIf(!compiled)('NVML over foreign functions, against a library in C', () => {
  async function open(): Promise<NvmlGpus> {
    const gpus = await openDevices('nvml', { library })
    if (!(gpus instanceof NvmlGpus)) throw new Error('no GPUs')
    return gpus
  }

  it('passes nonces in and reports out, through structures as the C compiler lays them out', async () => {
    const devices = await (await open()).attestDevices(nonces)
    expect(devices.map((d) => [d.type, d.report.length, d.report[0], d.report.at(-1)])).toEqual([
      ['gpu', 4049, 0xa0, 0xa0],
      ['gpu', 4049, 0xa1, 0xa1],
    ])
    expect(devices.map((d) => d.report.slice(4, 36))).toEqual(nonces)
    for (const d of devices) expect(new TextDecoder().decode(d.certificateChain)).toMatch(/^-----BEGIN[\s\S]*END CERTIFICATE-----\n$/)
  })

  it('reads what the driver says', async () => {
    const gpus = await open()
    expect(await gpus.driverVersion()).toBe('550.90.07')
    expect(await gpus.state()).toEqual({ environment: 'production', ccFeature: true, devToolsMode: false, multiGpuMode: 'none' })
    expect(await gpus.facts()).toEqual([
      { uuid: 'GPU-first', architecture: 'hopper', vbiosVersion: '96.00.9F.00.01' },
      { uuid: 'GPU-second', architecture: 'blackwell', vbiosVersion: '96.00.9F.00.01' },
    ])
  })

  it('never lets two calls meet in one GPU', async () => {
    const gpus = await open()
    const rounds = await Promise.all(Array.from({ length: 6 }, () => gpus.attestDevices(nonces)))
    expect(rounds.flat()).toHaveLength(12)
  })

  it('sets the ready state after a verification, and takes it back after a refusal', async () => {
    const gpus = await open()
    await admitGpus(gpus, () => Promise.resolve(true))
    expect(await gpus.isReady()).toBe(true)
    await expect(admitGpus(gpus, () => Promise.resolve(false))).rejects.toMatchObject({ code: 'EVIDENCE_REJECTED' })
    expect(await gpus.isReady()).toBe(false)
  })

  it('answers "function not found" for what an older library lacks', async () => {
    const nvml = await loadNvml(library)
    await expect(nvml?.('nvmlSystemGetConfComputeState', new Uint8Array(12))).resolves.toBe(13)
  })
})

describe('devices of a machine', () => {
  it('are none without the NVIDIA driver, and none when told so', async () => {
    await expect(openDevices('auto', { driver: absent })).resolves.toBeNull()
    await expect(openDevices('none', { driver: folder, library })).resolves.toBeNull()
  })

  it('are not passed over where the driver is loaded: a missing library is an error', async () => {
    for (const kind of ['auto', 'nvml'] as const) {
      await expect(openDevices(kind, { driver: folder, library: absent })).rejects.toMatchObject({
        code: 'ATTESTER_UNAVAILABLE',
        at: 'nvml',
      })
    }
  })

  it('are not found in a file that is no library', async () => {
    await writeFile(absent, 'text')
    await expect(loadNvml(absent)).resolves.toBeNull()
  })
})
