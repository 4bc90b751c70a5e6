import { readFile } from 'node:fs/promises'
import { encodeCanonical } from '../../verify/formats/canonical-json.ts'
import type { Attester } from '../attesters/attester.ts'
import type { Runner } from '../runner/types.ts'
import type { MemoryLeak } from './memory-leaks.ts'

/** What of the agent's configuration matters to a data owner. Travels with the evidence, which binds its digest. */
export interface AgentConfig {
  readonly v: 1
  /** Name and version of this program. */
  readonly agent: string
  readonly attester: { readonly format: string; readonly simulated: boolean }
  readonly runner: { readonly kind: string; readonly grade: string; readonly isolations: readonly string[] }
  /** Registries that it may pull images from; `http://` in front of those without TLS. */
  readonly registries: readonly string[]
  /** Where the operator says that this machine stands; null: he does not say. */
  readonly region: string | null
  /** Ways by which memory of this machine may reach a disk: none, unless somebody has allowed them or the TEE is simulated. */
  readonly memoryLeaks: readonly MemoryLeak[]
  readonly limits: {
    /** Memory for jobs, together with their inputs. */
    readonly memoryBytes: number
    /** Most jobs at a time. */
    readonly jobs: number
    /** How long job keys wait for a release. */
    readonly releaseWaitMs: number
  }
}

/** Canonical bytes. */
export function encodeAgentConfig(
  agent: string,
  attester: Attester,
  runner: Runner,
  { region, memoryLeaks, limits }: Pick<AgentConfig, 'region' | 'memoryLeaks' | 'limits'>,
): Uint8Array {
  return encodeCanonical({
    v: 1,
    agent,
    attester: { format: attester.format, simulated: attester.simulated },
    runner: { kind: runner.kind, grade: runner.grade, isolations: [...runner.isolations] },
    registries: [...runner.registries],
    region,
    memoryLeaks: [...memoryLeaks],
    limits: { memoryBytes: limits.memoryBytes, jobs: limits.jobs, releaseWaitMs: limits.releaseWaitMs },
  } satisfies AgentConfig)
}

/** `sealgate/VERSION`, from the package that this file belongs to. */
export async function agentName(): Promise<string> {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8')
  const { name, version } = JSON.parse(text) as { name: string; version: string }
  return `${name}/${version}`
}
