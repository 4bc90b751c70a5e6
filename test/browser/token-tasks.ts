import { readFileSync } from 'node:fs'
import { toBase64 } from '../../src/verify/bytes/bytes.ts'
import type { Format } from '../../src/verify/evidence/types.ts'
import { readManifest, readVector, vectorsFolder } from '../support/vectors.ts'

/** What a verification of evidence that brings or needs no collateral is made of. Bytes are base64. */
interface TokenTask {
  readonly id: string
  readonly format: Format
  readonly input: string
  readonly collateral: readonly []
  readonly trustAnchors: readonly string[]
  readonly at: string
  readonly allowUnknown: readonly []
}

interface Entry {
  readonly id: string
  readonly evidence_files?: { readonly document?: string; readonly token?: string }
  readonly collateral_files?: Readonly<Record<string, string>>
  readonly verify_at?: string | null
}

const COMMON = { collateral: [], allowUnknown: [] } as const
const AT = '2026-06-15T12:00:00Z'

function seed(name: string): string {
  return toBase64(new Uint8Array(readFileSync(new URL(`../fuzz/seeds/${name}`, import.meta.url))))
}

/** Nitro documents, tokens of Arm, tokens of services: simulated ones, and every real one at hand. */
export function tokenTasks(): readonly TokenTask[] {
  const tokenKeys = [seed('token-keys.golden.json')]
  const armKeys = [seed('arm-keys.pem')]
  return [
    {
      ...COMMON,
      id: 'simulated Nitro document',
      format: 'nitro',
      input: seed('nitro.bin'),
      trustAnchors: [seed('nitro-root.der')],
      at: AT,
    },
    { ...COMMON, id: 'simulated CCA token', format: 'arm-cca', input: seed('arm-cca.bin'), trustAnchors: armKeys, at: AT },
    { ...COMMON, id: 'simulated PSA token', format: 'arm-cca', input: seed('arm-psa.bin'), trustAnchors: armKeys, at: AT },
    { ...COMMON, id: 'simulated answer of NRAS', format: 'nras-eat', input: seed('nras-eat.golden.json'), trustAnchors: tokenKeys, at: AT },
    { ...COMMON, id: 'simulated token of ITA', format: 'ita-jwt', input: seed('ita.jwt'), trustAnchors: tokenKeys, at: AT },
    ...realTasks('nitro', 'nitro', ({ evidence_files }) => evidence_files?.document, []),
    ...realTasks('arm-cca', 'arm-cca', ({ evidence_files }) => evidence_files?.token, ['cpak_public', 'iak_public']),
    ...realTasks('nvidia-gpu', 'nras-eat', ({ collateral_files }) => collateral_files?.nras_response, ['nras_jwks']),
  ]
}

function realTasks(
  room: string,
  format: Format,
  input: (entry: Entry) => string | undefined,
  anchors: readonly string[],
): readonly TokenTask[] {
  const folder = vectorsFolder(room)
  if (folder === null) return []
  return readManifest<readonly Entry[]>(folder).flatMap((entry) => {
    const path = input(entry)
    if (path === undefined) return []
    const trusted = anchors.flatMap((name) => entry.collateral_files?.[name] ?? [])
    const trustAnchors = trusted.map((anchor) => toBase64(readVector(folder, anchor)))
    return [{ ...COMMON, id: entry.id, format, input: toBase64(readVector(folder, path)), trustAnchors, at: entry.verify_at ?? AT }]
  })
}
