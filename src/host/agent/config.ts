import { readFile } from 'node:fs/promises'
import { encodeCanonical } from '../../verify/formats/canonical-json.ts'
import type { Attester } from '../attesters/attester.ts'
import type { Runner } from '../runner/types.ts'

/** What of the agent's configuration matters to a data owner. Travels with the evidence, which binds its digest. */
export interface AgentConfig {
  readonly v: 1
  /** Name and version of this program. */
  readonly agent: string
  readonly attester: { readonly format: string; readonly simulated: boolean }
  readonly runner: { readonly kind: string; readonly grade: string }
  /** Where the operator says that this machine stands; null: he does not say. */
  readonly region: string | null
  readonly limits: {
    /** Most memory that a job may ask for. */
    readonly memoryBytes: number
    /** How long job keys wait for a release. */
    readonly releaseWaitMs: number
  }
}

/** Canonical bytes. */
export function encodeAgentConfig(
  agent: string,
  attester: Attester,
  runner: Runner,
  { region, limits }: Pick<AgentConfig, 'region' | 'limits'>,
): Uint8Array {
  return encodeCanonical({
    v: 1,
    agent,
    attester: { format: attester.format, simulated: attester.simulated },
    runner: { kind: runner.kind, grade: runner.grade },
    region,
    limits: { memoryBytes: limits.memoryBytes, releaseWaitMs: limits.releaseWaitMs },
  } satisfies AgentConfig)
}

/** `sealgate/VERSION`, from the package that this file belongs to. */
export async function agentName(): Promise<string> {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8')
  const { name, version } = JSON.parse(text) as { name: string; version: string }
  return `${name}/${version}`
}
