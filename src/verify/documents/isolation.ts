import type { RunnerKind } from './contract.ts'

/** How strong a profile is, the weaker first: see docs/formats/isolation.md. */
export const ISOLATION_GRADES = ['wasm-process', 'container', 'gvisor'] as const
export type IsolationGrade = (typeof ISOLATION_GRADES)[number]

/** Names of isolation profiles, as contracts and receipts have them. */
export const ISOLATION_NAMES = ['sealgate-container-v1', 'sealgate-gvisor-v1', 'sealgate-wasm-v1'] as const
export type IsolationName = (typeof ISOLATION_NAMES)[number]

/** What each profile runs, and how strong it is. */
export const ISOLATION_PROFILES: Readonly<Record<IsolationName, { readonly runner: RunnerKind; readonly grade: IsolationGrade }>> = {
  'sealgate-container-v1': { runner: 'docker', grade: 'container' },
  'sealgate-gvisor-v1': { runner: 'docker', grade: 'gvisor' },
  'sealgate-wasm-v1': { runner: 'wasm', grade: 'wasm-process' },
}

/** The profile of a runner that a contract names where nobody asks for another one. */
export const DEFAULT_ISOLATION: Readonly<Record<RunnerKind, IsolationName>> = {
  docker: 'sealgate-container-v1',
  wasm: 'sealgate-wasm-v1',
}

export function isAtLeast(grade: IsolationGrade, minimum: IsolationGrade): boolean {
  return ISOLATION_GRADES.indexOf(grade) >= ISOLATION_GRADES.indexOf(minimum)
}
