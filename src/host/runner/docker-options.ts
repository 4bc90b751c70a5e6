import type { ContainerCreateOptions, DeviceRequest } from 'dockerode'
import type { ContainerProfile } from './profiles.ts'
import { SECCOMP_PROFILE } from './seccomp-profile.ts'
import type { RunRequest } from './types.ts'

export interface ContainerPlace {
  readonly image: string
  readonly in: string
  readonly out: string
  readonly labels: { readonly [name: string]: string }
}

/** The engine's settings for a profile (Docker Engine API 1.41, `POST /containers/create`). Nothing is left to its defaults that the profile names. */
export function containerOptions(profile: ContainerProfile, request: RunRequest, place: ContainerPlace): ContainerCreateOptions {
  const bind = (source: string, target: string, readOnly: boolean) => ({
    Type: 'bind' as const,
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: 'rprivate' as const },
  })
  return {
    Image: place.image,
    Cmd: [...request.argv],
    Env: Object.entries(request.env).map(([name, value]) => `${name}=${value}`),
    User: profile.user,
    Hostname: profile.hostname,
    Tty: false,
    OpenStdin: false,
    NetworkDisabled: true,
    Healthcheck: { Test: ['NONE'] },
    Labels: { ...place.labels },
    HostConfig: {
      Runtime: profile.runtime,
      NetworkMode: profile.network,
      ReadonlyRootfs: true,
      Privileged: false,
      CapDrop: ['ALL'],
      CapAdd: [],
      SecurityOpt: ['no-new-privileges', ...(profile.seccomp === null ? [] : [`seccomp=${JSON.stringify(SECCOMP_PROFILE)}`])],
      IpcMode: profile.ipc,
      Init: false,
      AutoRemove: false,
      RestartPolicy: { Name: '' },
      LogConfig: { Type: profile.logDriver, Config: {} },
      Memory: profile.memoryBytes,
      MemorySwap: profile.memoryBytes + profile.swapBytes,
      NanoCpus: profile.cpuMillis * 1_000_000,
      PidsLimit: profile.pids + profile.sandboxPids,
      DeviceRequests: request.gpus.length === 0 ? [] : [gpuRequest(request.gpus)],
      Ulimits: [{ Name: 'core', Soft: profile.coreBytes, Hard: profile.coreBytes }],
      Tmpfs: { [profile.scratch.target]: `${profile.scratch.options},size=${profile.scratch.bytes},mode=1777` },
      Mounts: [bind(place.in, profile.input.target, true), bind(place.out, profile.output.target, false)],
    },
  }
}

/** The NVIDIA container runtime hands over these GPUs and no other, for computing. */
function gpuRequest(ids: readonly string[]): DeviceRequest {
  return { Driver: 'nvidia', DeviceIDs: [...ids], Capabilities: [['gpu', 'compute', 'utility']] }
}
