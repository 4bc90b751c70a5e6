import { mkdir } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import type { BaseLogger } from 'pino'
import { GatewayChannel } from '../../rpc/index.ts'
import { dialRelay, relayPath } from '../../rpc/service/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Attester, DeviceAttester } from '../attesters/attester.ts'
import { admitGpus } from '../attesters/nvml/admit.ts'
import { NvmlGpus } from '../attesters/nvml/gpus.ts'
import { deviceVerifier } from '../attesters/nvml/verify-devices.ts'
import { type Clock, systemClock } from '../job/clock.ts'
import { openDurableFiles } from '../job/durable-files.ts'
import { Outbox } from '../job/outbox.ts'
import { gatewayTransfers } from '../job/transfers.ts'
import type { Runner } from '../runner/types.ts'
import { Agent } from './agent.ts'
import { agentName, encodeAgentConfig } from './config.ts'
import { HOST_FILES, loadHostIdentity, tlsKeyDigest } from './folder.ts'
import { lockFolder } from './folder-lock.ts'
import { type MemoryLeak, secureMemory } from './memory-leaks.ts'
import { connectThrough } from './session.ts'
import type { AgentState } from './states.ts'

export interface HostOptions {
  /** Made by `sealgate ca issue`: identity, and `state/`, which the agent makes. */
  readonly folder: string
  /** host:port; default: the one that the identity names. */
  readonly gateway?: string
  readonly attester: Attester
  /** Devices that give evidence of their own; default: none. */
  readonly devices?: DeviceAttester | null
  /** Stays the caller's: to be closed after the host. */
  readonly runner: Runner
  readonly logger: BaseLogger
  /** Memory for jobs, together with their inputs; default: seven eighths of what this process may use. */
  readonly memoryBytes?: number
  /** Where the machine stands, in the operator's word, such as `DE`; default: not stated. */
  readonly region?: string
  /** Most jobs at a time, of those that share the machine; default 16. */
  readonly jobs?: number
  /** Ways by which plaintext in memory may reach a disk here. They stand in the evidence. Default: none. */
  readonly dangerouslyAllow?: readonly MemoryLeak[]
  /** How long the keys of a job wait for their release; default 15 minutes. */
  readonly releaseWaitMs?: number
  /** How long a closing host lets its job go on before it cancels it; default 20 seconds. */
  readonly drainMs?: number
  readonly clock?: Clock
  /** Uniform in [0, 1), for jitter. */
  readonly random?: () => number
}

export interface RunningHost {
  readonly name: string
  /** The address that the agent dials. */
  readonly gateway: string
  readonly state: AgentState
  /** Resolves after `close`. Rejects when the first connection shows that none will ever be: wrong certificates. */
  readonly ended: Promise<void>
  /** Finishes or cancels the running job, delivers its outcome, disconnects. A second call cancels at once. */
  close(): Promise<void>
}

const DEFAULT_RELEASE_WAIT_MS = 15 * 60_000
const DEFAULT_DRAIN_MS = 20_000
const DEFAULT_JOBS = 16
const MOST_JOBS = 1024

/**
 * Starts a host agent. It keeps trying while its gateway is away. GPUs take work only once their own evidence has verified, with
 * the manifests and OCSP responses in the folder's `collateral`.
 * @throws AttestError `FILE_UNREADABLE`, `USAGE`, `DOCUMENT_INVALID` for a folder that is none; `STORE_LOCKED`;
 *   `MEMORY_EXPOSED` for a machine that may write memory to a disk; `EVIDENCE_REJECTED`, `ATTESTER_UNAVAILABLE` for GPUs that may not take work.
 */
export async function startHost(options: HostOptions): Promise<RunningHost> {
  const { folder, attester, devices = null, runner, logger, jobs = DEFAULT_JOBS } = options
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > MOST_JOBS) throw new AttestError('USAGE', `want 1 to ${MOST_JOBS} jobs at a time`)
  const identity = await loadHostIdentity(folder)
  const state = join(folder, HOST_FILES.state)
  await mkdir(state, { recursive: true, mode: 0o700 })
  const unlock = await lockFolder(state)
  try {
    const leaks = await secureMemory(options.dangerouslyAllow ?? [], attester.simulated)
    for (const what of leaks) logger.warn({ what }, 'plaintext in memory may reach a disk of this machine')
    const outbox = await Outbox.open(await openDurableFiles(state))
    for (const jobId of outbox.lost) logger.warn({ jobId }, 'this job was cut off by a crash and is reported as lost')
    for (const what of devices?.unattested ?? []) logger.warn({ what }, 'these devices give no evidence')
    if (devices instanceof NvmlGpus && (await devices.count()) > 0) {
      const now = (): Date => new Date((options.clock ?? systemClock).nowMs())
      await admitGpus(devices, deviceVerifier({ folder: join(folder, HOST_FILES.collateral), now, logger }))
    }
    const gateway = options.gateway ?? identity.gateway
    const channel = new GatewayChannel(gateway, identity.tls)
    const agentText = await agentName()
    const region = checkRegion(options.region ?? null)
    const limits = {
      memoryBytes: options.memoryBytes ?? Math.floor((machineMemory() * 7) / 8),
      jobs,
      releaseWaitMs: options.releaseWaitMs ?? DEFAULT_RELEASE_WAIT_MS,
    }
    const agent = new Agent({
      connect: connectThrough(channel),
      attester,
      devices,
      runner,
      transfers: gatewayTransfers(channel),
      outbox,
      clock: options.clock ?? systemClock,
      random: options.random ?? Math.random,
      logger,
      config: encodeAgentConfig(agentText, attester, runner, { region, memoryLeaks: leaks, limits }),
      agent: agentText,
      region,
      tls: tlsKeyDigest(identity.tls.cert),
      ...limits,
      drainMs: options.drainMs ?? DEFAULT_DRAIN_MS,
      dialService: (connection, signal) => dialRelay(channel, relayPath(connection), signal),
    })
    const ended = agent.ended.finally(() => {
      channel.close()
      unlock()
    })
    ended.catch(() => undefined)
    return {
      name: identity.name,
      gateway,
      get state() {
        return agent.state
      },
      ended,
      close: () => agent.close().then(() => ended.catch(() => undefined)),
    }
  } catch (error) {
    unlock()
    throw error
  }
}

function checkRegion(region: string | null): string | null {
  if (region === null || /^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(region)) return region
  throw new AttestError('USAGE', 'a region is 1 to 64 letters, digits and hyphens, such as DE or US-CA')
}

/** The limit of this process's control group counts where there is one. */
function machineMemory(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
