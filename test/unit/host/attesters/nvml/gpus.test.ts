import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { admitGpus } from '../../../../../src/host/attesters/nvml/admit.ts'
import { NvmlGpus } from '../../../../../src/host/attesters/nvml/gpus.ts'
import { AttestError } from '../../../../../src/verify/errors.ts'
import { testBytes } from '../../../../support/keys.ts'
import { setU32 } from '../fake-ioctl.ts'
import { FakeNvml } from './fake-nvml.ts'

const nonces = [testBytes('first', 32), testBytes('second', 32)]

async function open(changes: Partial<FakeNvml> = {}): Promise<{ fake: FakeNvml; gpus: NvmlGpus }> {
  const fake = Object.assign(new FakeNvml(), changes)
  return { fake, gpus: await NvmlGpus.open(fake.nvml) }
}

describe('GPUs by NVML', () => {
  it('brings one report for each nonce, in the order of the machine, with the attestation chain', async () => {
    const { fake, gpus } = await open()
    expect([await gpus.count(), gpus.unattested]).toEqual([2, []])
    const devices = await gpus.attestDevices(nonces)
    expect(devices.map((d) => [d.type, d.report.length])).toEqual([
      ['gpu', 4049],
      ['gpu', 4049],
    ])
    expect(devices.map((d) => d.report.slice(4, 36))).toEqual(nonces)
    for (const { certificateChain } of devices) expect(new TextDecoder().decode(certificateChain)).toMatch(/^-----BEGIN[\s\S]*-----\n$/)
    const structs = fake.calls.filter(([name]) => name === 'nvmlDeviceGetConfComputeGpuAttestationReport').map(([, args]) => args[1])
    expect(structs.map((s) => (s instanceof Uint8Array ? s.length : 0))).toEqual([12332, 12332])
  })

  it('tells what the driver says, and what it does not know', async () => {
    const { fake, gpus } = await open()
    expect(await gpus.driverVersion()).toBe('550.90.07')
    expect(await gpus.facts()).toEqual([
      { uuid: 'GPU-139637976727552', architecture: 'hopper', vbiosVersion: '96.00.9F.00.01' },
      { uuid: 'GPU-139637976727553', architecture: 'hopper', vbiosVersion: '96.00.9F.00.01' },
    ])
    expect(await gpus.state()).toEqual({ environment: 'production', ccFeature: true, devToolsMode: false, multiGpuMode: 'none' })
    fake.failing.set('nvmlSystemGetConfComputeSettings', 13)
    expect(await gpus.state()).toEqual({ environment: 'production', ccFeature: true, devToolsMode: false, multiGpuMode: null })
    fake.failing.set('nvmlSystemGetConfComputeState', 3)
    expect(await gpus.state()).toBeNull()
  })

  it('counts no GPU whose confidential computing is off, and says so', async () => {
    const { gpus } = await open({ ccFeature: 0 })
    expect([await gpus.count(), gpus.unattested]).toEqual([0, ['2 GPUs: confidential computing is off']])
    await expect(gpus.attestDevices(nonces)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(gpus.attestDevices([])).resolves.toEqual([])
  })

  it('says that switches are not attested in protected PCIe mode, which some drivers report with the feature off', async () => {
    const { gpus } = await open({ ccFeature: 0, multiGpuMode: 1 })
    expect([await gpus.count(), gpus.unattested]).toEqual([2, [expect.stringContaining('libnvidia-nscq, which is not supported')]])
  })

  it('refuses more or fewer nonces than GPUs, as after a hot-plug', async () => {
    const { fake, gpus } = await open()
    for (const wrong of [[], nonces.slice(1), [...nonces, testBytes('third', 32)]]) {
      await expect(gpus.attestDevices(wrong)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    }
    fake.gpus = 1
    await expect(gpus.attestDevices(nonces)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('makes one call at a time to each GPU, also after one that failed', async () => {
    const { fake, gpus } = await open()
    let most = 0
    fake.onReport = async () => {
      most = Math.max(
        most,
        [...fake.running.values()].reduce((n, r) => n + r, 0),
      )
      for (let i = 0; i < 20; i++) await Promise.resolve()
    }
    fake.failing.set('nvmlDeviceGetConfComputeGpuCertificate', 999)
    const failed = gpus.attestDevices(nonces)
    await expect(failed).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    fake.failing.clear()
    const rounds = await Promise.all(Array.from({ length: 4 }, () => gpus.attestDevices(nonces)))
    expect(rounds.flat()).toHaveLength(8)
    expect(most).toBe(2)
  })

  it.each([
    ['nvmlDeviceGetConfComputeGpuAttestationReport', 3, 'NOT_SUPPORTED (confidential computing is off'],
    ['nvmlDeviceGetConfComputeGpuAttestationReport', 15, 'GPU_IS_LOST'],
    ['nvmlDeviceGetConfComputeGpuCertificate', 13, 'too old'],
    ['nvmlDeviceGetHandleByIndex_v2', 4, 'NO_PERMISSION (root is needed)'],
    ['nvmlDeviceGetCount_v2', 77, 'of no known name'],
    ['nvmlSystemGetConfComputeSettings', 999, 'UNKNOWN'],
  ] as const)('%s failing with %i is a typed error', async (name, code, text) => {
    const { fake, gpus } = await open()
    fake.failing.set(name, code)
    const attempt = gpus.attestDevices(nonces)
    await expect(attempt).rejects.toMatchObject({
      code: 'ATTESTER_UNAVAILABLE',
      at: `nvml.${name}`,
      message: expect.stringContaining(text),
    })
  })

  it('is not opened when NVML does not start', async () => {
    const fake = new FakeNvml()
    fake.failing.set('nvmlInit_v2', 9)
    await expect(NvmlGpus.open(fake.nvml)).rejects.toMatchObject({ message: 'NVML error 9 DRIVER_NOT_LOADED' })
  })

  it.each<[string, (struct: Uint8Array) => void]>([
    ['a report over another nonce', (s) => s.fill(0, 48, 80)],
    ['a report over a nonce with one bit changed', (s) => s.set([(s[79] ?? 0) ^ 1], 79)],
    ['an empty report', (s) => setU32(s, 4, 0)],
    ['a report that ends in its nonce', (s) => setU32(s, 4, 35)],
    ['a report larger than its place', (s) => setU32(s, 4, 0x2001)],
  ])('refuses %s', async (_what, change) => {
    const { fake, gpus } = await open()
    fake.onReport = (_handle, struct) => change(struct)
    await expect(gpus.attestDevices(nonces)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: 'nvml.attestationReport' })
  })

  it('refuses a chain larger than its place, or none', async () => {
    for (const size of [0, 0x1401]) {
      const { gpus } = await open({ chain: new Uint8Array(size).fill(65) })
      await expect(gpus.attestDevices(nonces)).rejects.toMatchObject({ at: 'nvml.attestationCertChain' })
    }
  })

  it('refuses values that it does not know, and text without an end', async () => {
    for (const change of [{ environment: 3 }, { ccFeature: 2 }, { devToolsMode: 2 }, { multiGpuMode: 3 }, { gpus: 65 }]) {
      await expect(open(change)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    }
    const { fake, gpus } = await open({ architecture: 77 })
    expect((await gpus.facts())[0]?.architecture).toBe('nvml-77')
    const honest = fake.nvml
    for (const byte of [0x41, 0xff]) {
      const noisy = await NvmlGpus.open((name, ...args) => {
        if (name !== 'nvmlSystemGetDriverVersion') return honest(name, ...args)
        const [text] = args as [Uint8Array]
        text.fill(byte, 0, byte === 0xff ? 4 : text.length)
        return Promise.resolve(0)
      })
      await expect(noisy.driverVersion()).rejects.toMatchObject({ at: 'nvml.driverVersion' })
    }
  })

  it('fails only with an AttestError, whatever a driver writes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 44, maxLength: 200 }),
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        async (struct, state) => {
          const fake = new FakeNvml()
          fake.onReport = (_handle, s) => s.set(struct)
          const gpus = await NvmlGpus.open(fake.nvml)
          await gpus.attestDevices(nonces).catch((e: unknown) => expect(e).toBeInstanceOf(AttestError))
          fake.failing.set('nvmlSystemGetConfComputeSettings', 13)
          const odd = NvmlGpus.open((name, ...args) => {
            if (name === 'nvmlSystemGetConfComputeState') (args[0] as Uint8Array).set(state)
            return name === 'nvmlSystemGetConfComputeState' ? Promise.resolve(0) : fake.nvml(name, ...args)
          })
          await odd.catch((e: unknown) => expect(e).toBeInstanceOf(AttestError))
        },
      ),
    )
  })
})

describe('ready state', () => {
  const yes = (): Promise<boolean> => Promise.resolve(true)

  it('is set after every GPU was verified over a nonce of its own', async () => {
    const { fake, gpus } = await open()
    await admitGpus(gpus, (devices, asked) => {
      expect(fake.ready).toBe(0)
      expect(devices.map((d) => d.report.slice(4, 36))).toEqual(asked)
      expect(new Set(asked.map(String)).size).toBe(2)
      return Promise.resolve(true)
    })
    expect([fake.ready, await gpus.isReady()]).toEqual([1, true])
  })

  it.each<[string, unknown]>([
    ['false', false],
    ['undefined', undefined],
    ['a word that is true in itself', 'accept'],
    ['an object', { decision: 'reject' }],
  ])('is not set, and is taken back, when the verifier says %s', async (_what, answer) => {
    const { fake, gpus } = await open({ ready: 1 })
    await expect(admitGpus(gpus, () => Promise.resolve(answer as boolean))).rejects.toMatchObject({ code: 'EVIDENCE_REJECTED' })
    expect(fake.ready).toBe(0)
  })

  it('is taken back when the verifier throws', async () => {
    const { fake, gpus } = await open({ ready: 1 })
    await expect(admitGpus(gpus, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
    expect(fake.ready).toBe(0)
  })

  it.each<[string, Partial<FakeNvml>]>([
    ['in developer tools mode', { devToolsMode: 1 }],
    ['with confidential computing off', { ccFeature: 0 }],
    ['in a simulated environment', { environment: 1 }],
    ['without a GPU', { gpus: 0 }],
  ])('is never set %s, whatever the verifier says', async (_what, change) => {
    const { fake, gpus } = await open({ ...change, ready: 1 })
    await expect(admitGpus(gpus, yes)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(fake.ready).toBe(0)
  })

  it.each<[string, (fake: FakeNvml) => void]>([
    ['a GPU is added', (fake) => (fake.gpus = 3)],
    ['developer tools mode is switched on', (fake) => (fake.devToolsMode = 1)],
    ['confidential computing is switched off', (fake) => (fake.ccFeature = 0)],
  ])('is not set when %s during the verification', async (_what, change) => {
    const { fake, gpus } = await open()
    const attempt = admitGpus(gpus, () => {
      change(fake)
      return Promise.resolve(true)
    })
    await expect(attempt).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(fake.ready).toBe(0)
  })

  it('says so when the driver takes the call and does nothing', async () => {
    const { fake, gpus } = await open()
    fake.failing.set('nvmlSystemSetConfComputeGpusReadyState', 0)
    await expect(admitGpus(gpus, yes)).rejects.toMatchObject({ message: 'the GPUs did not become ready' })
  })
})
