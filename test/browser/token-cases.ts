import { readFileSync } from 'node:fs'
import type { Format } from '../../src/verify/evidence/types.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'
import { readManifest, readVector, vectorsFolder } from '../support/vectors.ts'

/** Evidence that brings or needs no collateral. What becomes of it is asked of Node: the answers must be the same. */
function tokenCase(id: string, format: Format, input: Uint8Array, trustAnchors: readonly Uint8Array[], at: string = AT): EvidenceCase {
  return {
    id,
    input,
    options: { format, collateral: [], trustAnchors, at: new Date(at), allowUnknown: [] },
    check: ({ decision }) => decision,
  }
}

interface Entry {
  readonly id: string
  readonly evidence_files?: { readonly document?: string; readonly token?: string }
  readonly collateral_files?: Readonly<Record<string, string>>
  readonly verify_at?: string | null
}

const AT = '2026-06-15T12:00:00Z'

function seed(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../fuzz/seeds/${name}`, import.meta.url)))
}

/** Nitro documents, tokens of Arm, tokens of services, all SIMULATED. */
export function simulatedTokenCases(): readonly EvidenceCase[] {
  const tokenKeys = [seed('token-keys.golden.json')]
  const armKeys = [seed('arm-keys.pem')]
  return [
    tokenCase('simulated Nitro document', 'nitro', seed('nitro.bin'), [seed('nitro-root.der')]),
    tokenCase('simulated CCA token', 'arm-cca', seed('arm-cca.bin'), armKeys),
    tokenCase('simulated PSA token', 'arm-cca', seed('arm-psa.bin'), armKeys),
    tokenCase('simulated answer of NRAS', 'nras-eat', seed('nras-eat.golden.json'), tokenKeys),
    tokenCase('simulated token of ITA', 'ita-jwt', seed('ita.jwt'), tokenKeys),
  ]
}

/** Every real one at hand. */
export function realTokenCases(): readonly EvidenceCase[] {
  return [
    ...realCases('nitro', 'nitro', ({ evidence_files }) => evidence_files?.document, []),
    ...realCases('arm-cca', 'arm-cca', ({ evidence_files }) => evidence_files?.token, ['cpak_public', 'iak_public']),
    ...realCases('nvidia-gpu', 'nras-eat', ({ collateral_files }) => collateral_files?.nras_response, ['nras_jwks']),
  ]
}

function realCases(
  room: string,
  format: Format,
  input: (entry: Entry) => string | undefined,
  anchors: readonly string[],
): readonly EvidenceCase[] {
  const folder = vectorsFolder(room)
  if (folder === null) return []
  return readManifest<readonly Entry[]>(folder).flatMap((entry) => {
    const path = input(entry)
    if (path === undefined) return []
    const trusted = anchors.flatMap((name) => entry.collateral_files?.[name] ?? [])
    const trustAnchors = trusted.map((anchor) => readVector(folder, anchor))
    return [tokenCase(entry.id, format, readVector(folder, path), trustAnchors, entry.verify_at ?? AT)]
  })
}
