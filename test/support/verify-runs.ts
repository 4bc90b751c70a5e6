import { join } from 'node:path'
import { readManifest, readVector, vectorsFolder } from './vectors.ts'

/** One command line over files of the manifests, and the exit codes that its entry allows. */
export interface VerifyRun {
  readonly id: string
  readonly args: readonly string[]
  readonly exits: readonly number[]
  /** What the verdict must hold beside. */
  readonly verdict?: object
}

type Files = { readonly [name: string]: string | Files | readonly Files[] }

interface Entry {
  readonly id: string
  readonly kind: string
  readonly evidence_files: Files
  readonly collateral_files: Files
  readonly verify_at: string | null
  readonly expected: {
    readonly verdict: string
    readonly reason?: string | null
    readonly expected_nonce?: string
    readonly client_nonce?: string
    readonly parsed?: { readonly nonce?: string | null; readonly extraData?: string; readonly realm?: Readonly<Record<string, string>> }
  }
}

/** Null where there is no real evidence. */
export function entriesOf(room: string): { readonly folder: string; readonly entries: readonly Entry[] } | null {
  const folder = vectorsFolder(room)
  return folder === null ? null : { folder, entries: readManifest<readonly Entry[]>(folder).filter((e) => e.evidence_files !== undefined) }
}

const paths = (files: Files | undefined, folder: string): readonly string[] =>
  Object.values(files ?? {}).flatMap((f) => (typeof f === 'string' ? [join(folder, f)] : [f].flat().flatMap((g) => paths(g, folder))))
const each = (option: string, values: readonly string[]): readonly string[] => values.flatMap((value) => [option, value])
const at = (instant: string | null | undefined): readonly string[] => (instant ? ['--at', instant] : [])
/** The command takes 64 bytes; longer nonces of Nitro documents are left unasked. */
const nonce = (hex: string | null | undefined): readonly string[] => (hex && hex.length <= 128 ? ['--nonce', hex] : [])
const allow = (...groups: readonly string[]): readonly string[] => each('--allow-unknown', groups)
const REFUSED = [3, 4, 5, 6]

export function nitroRuns(): readonly VerifyRun[] {
  const { folder, entries } = entriesOf('nitro') ?? { folder: '', entries: [] }
  return entries.map(({ id, evidence_files, verify_at, expected: { verdict, reason, parsed } }) => ({
    id,
    args: [...paths(evidence_files, folder), ...at(verify_at), ...nonce(parsed?.nonce)],
    exits: verdict === 'pass' ? [0] : [/debug/.test(reason ?? '') ? 5 : /DER/.test(reason ?? '') ? 3 : 4],
  }))
}

export function ccaRuns(): readonly VerifyRun[] {
  const { folder, entries } = entriesOf('arm-cca') ?? { folder: '', entries: [] }
  return entries.map(({ id, kind, evidence_files, collateral_files, verify_at, expected }) => ({
    id,
    args: [
      ...paths(evidence_files, folder),
      ...each('--trust-anchor', paths(collateral_files, folder)),
      ...at(verify_at),
      ...nonce(expected.parsed?.realm?.['10']),
    ],
    // A set of claims that nobody signed is no evidence, however well-formed.
    exits: kind === 'cca-claims-set' ? [3] : expected.verdict === 'pass' ? [0] : [4],
  }))
}

const VCEK: Readonly<Record<string, string>> = {
  'tpm-azsnp-v1': 'vcek-milan-b67b09bf.der',
  'tpm-azsnp-v0': 'vcek-milan-b67b09bf.der',
  'tpm-azsnp-genoa': 'vcek-genoa-c065f729.der',
}

export function tpmRuns(): readonly VerifyRun[] {
  const { folder, entries } = entriesOf('tpm') ?? { folder: '', entries: [] }
  return entries.flatMap((entry): readonly VerifyRun[] => {
    const { id, evidence_files: files, collateral_files, verify_at, expected } = entry
    const { message, quote, event_log, sha1, sha256, sha384, ...others } = files
    const log = typeof event_log === 'string' ? ['--event-log', join(folder, event_log)] : []
    const companions = each('--collateral', paths(others, folder))
    if (sha1 !== undefined) {
      const shared = [...companions, ...each('--collateral', paths({ i: collateral_files.intermediate_0 ?? '' }, folder)), ...log]
      const banks = { sha1, sha256, sha384 } as Readonly<Record<string, Files>>
      return Object.entries(banks).map(([bank, { message: msg, ...own }]) => ({
        id: `${id}, ${bank}`,
        args: [
          join(folder, msg as string),
          ...each('--collateral', paths(own, folder)),
          ...shared,
          ...at(verify_at),
          ...nonce(expected.expected_nonce),
          ...allow('revocation'),
        ],
        exits: expected.verdict === 'pass' ? [0] : [5],
      }))
    }
    const main = join(folder, (message ?? quote) as string)
    const args = [main, ...companions, ...log, ...at('2025-09-15T00:00:00Z'), ...nonce(expected.parsed?.extraData), ...allow('revocation')]
    if (entry.kind === 'azure-hcl-vtpm-quote') {
      const vcek = VCEK[id]
      // For want of a TD quote the key of the two TDX captures is not anchored.
      const own = vcek === undefined ? [] : ['--collateral', join(folder, '../sev-snp/certs', vcek)]
      return [{ id, args: [...args, ...own], exits: [vcek === undefined ? 6 : 0], verdict: { format: 'azure-cvm' } }]
    }
    if (id !== 'tpm-trustee') return [{ id, args, exits: [id === 'tpm-dstack-structure' ? 6 : 4], verdict: { format: 'tpm' } }]
    const key = join(folder, files.ak_public_spki as string)
    return [
      { id: `${id}, its key named`, args: [...args, '--trust-anchor', key], exits: [0] },
      { id: `${id}, its key not named`, args, exits: [6] },
    ]
  })
}

/** An evidence list as NVIDIA's tools write it. */
function listOf(devices: readonly Files[], folder: string): string {
  const base64 = (path: unknown): string => Buffer.from(readVector(folder, path as string)).toString('base64')
  return JSON.stringify({ evidence_list: devices.map((d) => ({ evidence: base64(d.report), certificate: base64(d.cert_chain) })) })
}

/** @param write - Puts text into a file and says where. */
export function nvidiaRuns(write: (name: string, text: string) => string): readonly VerifyRun[] {
  const { folder, entries } = entriesOf('nvidia-gpu') ?? { folder: '', entries: [] }
  const lenient = allow('revocation', 'reference-values')
  return entries.flatMap(({ id, kind, evidence_files: files, collateral_files, verify_at, expected }): readonly VerifyRun[] => {
    const asked = [...at(verify_at), ...nonce(expected.expected_nonce)]
    const isBad = /signature invalid/.test(expected.reason ?? '') && !/RIM/.test(expected.reason ?? '')
    if (kind === 'gpu-report' || kind === 'nvswitch-report') {
      const device = [join(folder, files.report as string), '--collateral', join(folder, files.cert_chain as string)]
      const runs = [
        { id: `${id}, evidence alone`, args: [...device, ...asked, ...lenient], exits: isBad ? [4] : [0] },
        { id: `${id}, strict`, args: [...device, ...asked], exits: isBad ? [4] : [6] },
      ]
      if (expected.verdict !== 'pass' || collateral_files.ocsp === undefined) return runs
      const all = [...device, ...each('--collateral', paths(collateral_files, folder)), ...nonce(expected.expected_nonce)]
      const whole = ['2025-08-21T12:00:00Z', '2025-10-24T18:00:00Z'].map((instant) => ({
        id: `${id}, all of it at ${instant}`,
        args: [...all, ...at(instant), ...allow('revocation')],
        exits: [0],
      }))
      return [...runs, ...whole, ...rimAttacks([...device, ...asked, ...allow('revocation')], entries, folder)]
    }
    if (kind === 'multi-device') {
      const devices = [...(files.gpus as readonly Files[]), ...(files.switches as readonly Files[])]
      const text = listOf(devices, folder)
      // White space in front is still the same document.
      const list = [write(`${id}.json`, text), write(`${id}-spaced.json`, ` \n${text}\n`)]
      return list.map((path, i) => ({
        id: `${id}, list ${i}`,
        args: [path, ...asked, ...lenient],
        exits: [expected.verdict === 'pass' ? 0 : 5],
      }))
    }
    if (kind === 'composite-cpu-gpu') {
      const [token, keys] = [collateral_files.nras_response, collateral_files.nras_jwks].map((f) => join(folder, f as string))
      const args = [token ?? '', '--format', 'nras-eat', '--trust-anchor', keys ?? '', ...at(verify_at), ...nonce(expected.client_nonce)]
      return [{ id: `${id}, NRAS token`, args, exits: [/overall result is false/.test(expected.reason ?? '') ? 5 : 0] }]
    }
    if (kind === 'nras-eat' || kind === 'eat-claims-sample')
      return paths(files, folder).map((path) => ({
        id: `${id} ${path.slice(folder.length)}`,
        args: [path, '--format', 'nras-eat', ...at('2025-06-11T01:00:00Z')],
        exits: REFUSED,
      }))
    return []
  })
}

/** Manifests that must be refused whoever brings them, beside a genuine report. */
function rimAttacks(args: readonly string[], entries: readonly Entry[], folder: string): readonly VerifyRun[] {
  return entries
    .filter(({ id, kind }) => kind === 'rim-derived-negative' || id.startsWith('rim-parser-failure'))
    .map(({ id, evidence_files }) => ({ id, args: [...args, ...each('--collateral', paths(evidence_files, folder))], exits: [3, 4, 5] }))
}

/** Quotes and reports of CPUs, every `step`th. */
export function cpuRuns(room: 'sev-snp' | 'tdx' | 'sgx', step: number): readonly VerifyRun[] {
  const { folder, entries } = entriesOf(room) ?? { folder: '', entries: [] }
  const quotes = entries.filter(({ kind }) => kind === 'dcap-quote' || kind === 'sev-snp-report')
  return quotes
    .filter((_, i) => i % step === 0)
    .map(({ id, evidence_files, collateral_files, verify_at, expected }) => ({
      id,
      args: [
        ...paths({ e: evidence_files.quote ?? evidence_files.report ?? '' }, folder),
        ...each('--collateral', paths(collateral_files, folder)),
        ...at(verify_at),
        ...(room === 'sev-snp' ? allow('revocation') : []),
      ],
      exits: expected.verdict === 'pass' ? [0] : REFUSED,
    }))
}
