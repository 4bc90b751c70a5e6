import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { containerOptions } from '../../../../src/host/runner/docker-options.ts'
import { type ContainerFacts, containerProfile, isolationOf, wasmProfile } from '../../../../src/host/runner/profiles.ts'
import { checkRequest } from '../../../../src/host/runner/request.ts'
import { SECCOMP_PROFILE } from '../../../../src/host/runner/seccomp-profile.ts'
import { LIMITS, requestOf, TABULAR } from '../../../support/run-request.ts'
import { GPU_IDS } from '../fakes.ts'

const DOCKER = { kind: 'docker', isolations: ['sealgate-container-v1', 'sealgate-gvisor-v1'] } as const
const WASM = { kind: 'wasm', isolations: ['sealgate-wasm-v1'] } as const

const FACTS: ContainerFacts = { user: '65532:65532', cpus: 2, gpus: 0, storage: { input: 'tmpfs', output: 'tmpfs', cap: 'filesystem' } }

/** The examples of the documentation: a profile in JSON, and the digest in the line after it. */
const PAGE = readFileSync(new URL('../../../../docs/formats/isolation.md', import.meta.url), 'utf8')
const EXAMPLES = [...PAGE.matchAll(/```json\n([^`]+)```\n\nDigest: `([A-Za-z0-9_-]{43})`/g)].map(([, json, digest]) => ({
  profile: JSON.parse(json ?? ''),
  digest,
}))

describe('isolation profiles', () => {
  it('are what their documentation shows, with the same digests', () => {
    const applied = [
      containerProfile('sealgate-container-v1', LIMITS, FACTS),
      containerProfile('sealgate-gvisor-v1', LIMITS, FACTS),
      wasmProfile(LIMITS),
    ]
    expect(EXAMPLES.map((e) => e.profile)).toEqual(applied)
    expect(EXAMPLES.map((e) => e.digest)).toEqual(applied.map((p) => isolationOf(p).profileDigest))
  })

  it('are named and graded in the receipt', () => {
    expect(isolationOf(containerProfile('sealgate-container-v1', LIMITS, FACTS))).toMatchObject({
      runner: 'docker',
      profile: 'sealgate-container-v1',
      grade: 'container',
    })
    expect(isolationOf(wasmProfile(LIMITS))).toMatchObject({ runner: 'wasm', profile: 'sealgate-wasm-v1', grade: 'wasm-process' })
  })

  it('differ wherever a limit or a fact does', () => {
    const profiles = [
      containerProfile('sealgate-container-v1', LIMITS, FACTS),
      ...(['timeMs', 'memoryBytes', 'outputBytes', 'pids', 'cpuMillis'] as const).map((name) =>
        containerProfile('sealgate-container-v1', { ...LIMITS, [name]: LIMITS[name] + 1 }, FACTS),
      ),
      containerProfile('sealgate-gvisor-v1', LIMITS, FACTS),
      containerProfile('sealgate-container-v1', LIMITS, { ...FACTS, user: '1000:1000' }),
      containerProfile('sealgate-container-v1', LIMITS, { ...FACTS, gpus: 1 }),
      containerProfile('sealgate-container-v1', LIMITS, { ...FACTS, storage: { ...FACTS.storage, cap: 'watched' } }),
      containerProfile('sealgate-container-v1', LIMITS, { ...FACTS, storage: { ...FACTS.storage, input: 'tmpfs-noswap' } }),
    ]
    expect(new Set(profiles.map((p) => isolationOf(p).profileDigest)).size).toBe(profiles.length)
  })

  it('never give more than the contract, nor more processors than there are', () => {
    expect(containerProfile('sealgate-container-v1', { ...LIMITS, cpuMillis: 9000 }, FACTS).cpuMillis).toBe(2000)
    expect(wasmProfile({ ...LIMITS, memoryBytes: 65536 * 20 + 1 }).linearMemoryBytes).toBe(65536 * 20)
    expect(wasmProfile({ ...LIMITS, memoryBytes: 2 ** 40 }).linearMemoryBytes).toBe(2 ** 32)
  })

  it('become engine settings in full', () => {
    const request = requestOf(TABULAR.images.docker, { argv: ['/in/a'], env: { MODE: 'fast' } })
    const place = { image: request.image.digest, in: '/m/in', out: '/m/out', labels: { 'sealgate.job': 'j' } }
    expect(containerOptions(containerProfile('sealgate-container-v1', LIMITS, FACTS), request, place)).toEqual({
      Image: request.image.digest,
      Cmd: ['/in/a'],
      Env: ['MODE=fast'],
      User: '65532:65532',
      Hostname: 'sealgate',
      Tty: false,
      OpenStdin: false,
      NetworkDisabled: true,
      Healthcheck: { Test: ['NONE'] },
      Labels: { 'sealgate.job': 'j' },
      HostConfig: {
        Runtime: 'runc',
        NetworkMode: 'none',
        ReadonlyRootfs: true,
        Privileged: false,
        CapDrop: ['ALL'],
        CapAdd: [],
        SecurityOpt: ['no-new-privileges', `seccomp=${JSON.stringify(SECCOMP_PROFILE)}`],
        IpcMode: 'private',
        Init: false,
        AutoRemove: false,
        RestartPolicy: { Name: '' },
        LogConfig: { Type: 'none', Config: {} },
        Memory: 64 * 1024 ** 2,
        MemorySwap: 64 * 1024 ** 2,
        NanoCpus: 1e9,
        PidsLimit: 32,
        DeviceRequests: [],
        Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
        Tmpfs: { '/tmp': `rw,noexec,nosuid,nodev,size=${64 * 1024 ** 2},mode=1777` },
        Mounts: [
          { Type: 'bind', Source: '/m/in', Target: '/in', ReadOnly: true, BindOptions: { Propagation: 'rprivate' } },
          { Type: 'bind', Source: '/m/out', Target: '/out', ReadOnly: false, BindOptions: { Propagation: 'rprivate' } },
        ],
      },
    })
  })

  it('give gVisor its own runtime, and room for its own threads', () => {
    const request = requestOf(TABULAR.images.docker, { isolation: 'sealgate-gvisor-v1' })
    const { HostConfig } = containerOptions(containerProfile('sealgate-gvisor-v1', LIMITS, FACTS), request, {
      image: request.image.digest,
      in: '/m/in',
      out: '/m/out',
      labels: {},
    })
    expect(HostConfig).toMatchObject({ Runtime: 'runsc', PidsLimit: 32 + 256, SecurityOpt: ['no-new-privileges'], NetworkMode: 'none' })
  })

  it('hand over the GPUs that gave evidence, by their UUIDs, and nothing else', () => {
    const request = requestOf(TABULAR.images.docker, { gpus: GPU_IDS.slice(0, 2) })
    const place = { image: request.image.digest, in: '/m/in', out: '/m/out', labels: {} }
    const { HostConfig } = containerOptions(containerProfile('sealgate-container-v1', LIMITS, { ...FACTS, gpus: 2 }), request, place)
    expect(HostConfig?.DeviceRequests).toEqual([
      { Driver: 'nvidia', DeviceIDs: GPU_IDS.slice(0, 2), Capabilities: [['gpu', 'compute', 'utility']] },
    ])
  })

  it.each(['all', '0', '-1', '', 'GPU-00000000-0000-0000-0000-000000000000,all', 'MIG-GPU-1'])(
    'never hand over a device named %j',
    (name) => {
      expect(() => checkRequest(DOCKER, requestOf(TABULAR.images.docker, { gpus: [name] }))).toThrow('a GPU without a UUID')
    },
  )

  it('give no GPU to a WebAssembly module', () => {
    expect(() => checkRequest(WASM, requestOf(TABULAR.images.wasm, { gpus: GPU_IDS.slice(0, 1) }))).toThrow('cannot be given a GPU')
  })

  it('give no GPU to a gVisor sandbox', () => {
    const request = requestOf(TABULAR.images.docker, { isolation: 'sealgate-gvisor-v1', gpus: GPU_IDS.slice(0, 1) })
    expect(() => checkRequest(DOCKER, request)).toThrow('cannot be given a GPU')
  })
})
