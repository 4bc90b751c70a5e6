import { createHash } from 'node:crypto'
import type { Limits } from '../../verify/documents/contract.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import { SECCOMP } from './seccomp-profile.ts'
import type { AppliedIsolation } from './types.ts'

const MiB = 1024 ** 2

/** Each of stdout and stderr is kept up to this many bytes; the rest is read and dropped. */
export const STREAM_BYTES: number = MiB
/** With stdout and stderr, the 1024 outputs that a statement can name. */
export const OUTPUT_FILES = 1022
export const OUTPUT_ENTRIES = 4096
/** Folders below /out. */
export const OUTPUT_DEPTH = 8
export const TMP_BYTES: number = 64 * MiB
export const WASM_PAGE_BYTES = 65536

/** How /out is kept within its size: by the file system itself, or by the agent's looking at it while the job runs. */
export type CapEnforcement = 'filesystem' | 'watched'
export type MemoryStorage = 'tmpfs' | 'tmpfs-noswap'

/** gVisor's own threads, and the processes in which it runs those of the workload, count in the container's process limit. */
const SANDBOX_PIDS = 256

export type ContainerIsolation = Exclude<IsolationName, 'sealgate-wasm-v1'>

/** What the two tiers of containers differ in. */
const TIERS = {
  'sealgate-container-v1': { grade: 'container', runtime: 'runc', seccomp: SECCOMP, sandboxPids: 0 },
  // System calls end in gVisor's own kernel, which has a seccomp filter of its own towards the machine's.
  'sealgate-gvisor-v1': { grade: 'gvisor', runtime: 'runsc', seccomp: null, sandboxPids: SANDBOX_PIDS },
} as const

/** A profile as applied to one run: data, from which the runner derives its settings and the receipt its digest. */
export interface ContainerProfile {
  readonly v: 1
  readonly profile: ContainerIsolation
  readonly runner: 'docker'
  readonly grade: 'container' | 'gvisor'
  /** The engine's name of the OCI runtime. */
  readonly runtime: 'runc' | 'runsc'
  readonly network: 'none'
  readonly rootFilesystem: 'read-only'
  readonly capabilities: readonly []
  readonly noNewPrivileges: true
  /** The filter that the workload's system calls meet (seccomp-profile.ts); null where they never reach the machine's kernel. */
  readonly seccomp: typeof SECCOMP | null
  readonly ipc: 'private'
  readonly user: string
  readonly hostname: 'sealgate'
  readonly logDriver: 'none'
  readonly coreBytes: 0
  readonly memoryBytes: number
  readonly swapBytes: 0
  readonly cpuMillis: number
  readonly pids: number
  /** Added to `pids` for the sandbox itself. */
  readonly sandboxPids: number
  /** GPUs that it is given. */
  readonly gpus: number
  readonly timeMs: number
  readonly input: { readonly target: '/in'; readonly mode: 'ro'; readonly storage: MemoryStorage }
  readonly output: {
    readonly target: '/out'
    readonly mode: 'rw'
    readonly storage: MemoryStorage
    readonly cap: CapEnforcement
    readonly bytes: number
    readonly files: number
    readonly depth: number
  }
  readonly scratch: { readonly target: '/tmp'; readonly options: 'rw,noexec,nosuid,nodev'; readonly bytes: number }
  readonly streamBytes: number
}

export interface WasmProfile {
  readonly v: 1
  readonly profile: 'sealgate-wasm-v1'
  readonly runner: 'wasm'
  readonly grade: 'wasm-process'
  readonly process: {
    readonly environment: 'empty'
    readonly permissions: 'node-permission-model'
    readonly coreBytes: 0
    readonly cpuSeconds: number
  }
  readonly wasi: {
    readonly version: 'wasi_snapshot_preview1'
    readonly sockets: false
    readonly clock: 'real'
    readonly random: 'system'
  }
  readonly linearMemoryBytes: number
  readonly threads: 1
  readonly timeMs: number
  readonly input: { readonly target: '/in'; readonly mode: 'ro'; readonly storage: 'process' }
  readonly output: {
    readonly target: '/out'
    readonly mode: 'rw'
    readonly storage: 'process'
    readonly cap: 'filesystem'
    readonly bytes: number
    readonly files: number
    readonly depth: number
  }
  readonly streamBytes: number
}

export type IsolationProfile = ContainerProfile | WasmProfile

/** What the machine decides about a container: everything else follows from the contract's limits. */
export interface ContainerFacts {
  readonly gpus: number
  readonly user: string
  readonly cpus: number
  readonly storage: { readonly input: MemoryStorage; readonly output: MemoryStorage; readonly cap: CapEnforcement }
}

export function containerProfile(profile: ContainerIsolation, limits: Limits, facts: ContainerFacts): ContainerProfile {
  const { grade, runtime, seccomp, sandboxPids } = TIERS[profile]
  return {
    v: 1,
    profile,
    runner: 'docker',
    grade,
    runtime,
    network: 'none',
    rootFilesystem: 'read-only',
    capabilities: [],
    noNewPrivileges: true,
    seccomp,
    ipc: 'private',
    user: facts.user,
    hostname: 'sealgate',
    logDriver: 'none',
    coreBytes: 0,
    memoryBytes: limits.memoryBytes,
    swapBytes: 0,
    cpuMillis: Math.min(limits.cpuMillis, facts.cpus * 1000),
    pids: limits.pids,
    sandboxPids,
    gpus: facts.gpus,
    timeMs: limits.timeMs,
    input: { target: '/in', mode: 'ro', storage: facts.storage.input },
    output: {
      target: '/out',
      mode: 'rw',
      storage: facts.storage.output,
      cap: facts.storage.cap,
      bytes: limits.outputBytes,
      files: OUTPUT_FILES,
      depth: OUTPUT_DEPTH,
    },
    scratch: { target: '/tmp', options: 'rw,noexec,nosuid,nodev', bytes: TMP_BYTES },
    streamBytes: STREAM_BYTES,
  }
}

export function wasmProfile(limits: Limits): WasmProfile {
  const pages = Math.min(Math.floor(limits.memoryBytes / WASM_PAGE_BYTES), 65536)
  return {
    v: 1,
    profile: 'sealgate-wasm-v1',
    runner: 'wasm',
    grade: 'wasm-process',
    // The kernel ends a process whose agent died: compiler threads add to the module's own time, hence the factor.
    process: {
      environment: 'empty',
      permissions: 'node-permission-model',
      coreBytes: 0,
      cpuSeconds: 2 * Math.ceil(limits.timeMs / 1000) + 10,
    },
    wasi: { version: 'wasi_snapshot_preview1', sockets: false, clock: 'real', random: 'system' },
    linearMemoryBytes: pages * WASM_PAGE_BYTES,
    threads: 1,
    timeMs: limits.timeMs,
    input: { target: '/in', mode: 'ro', storage: 'process' },
    output: {
      target: '/out',
      mode: 'rw',
      storage: 'process',
      cap: 'filesystem',
      bytes: limits.outputBytes,
      files: OUTPUT_FILES,
      depth: OUTPUT_DEPTH,
    },
    streamBytes: STREAM_BYTES,
  }
}

/** The digest is over the canonical JSON of the profile as applied, limits included. */
export function isolationOf(profile: IsolationProfile): AppliedIsolation {
  const digest = createHash('sha256')
    .update(encodeCanonical(profile as unknown as Json))
    .digest('base64url')
  return { runner: profile.runner, profile: profile.profile, profileDigest: digest, grade: profile.grade }
}
