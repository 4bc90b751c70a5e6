import { join } from 'node:path'
import { exists, PUBLIC, writeNew } from '../client/index.ts'
import {
  collateralSchema,
  GATEWAY_FILES,
  type GatewayConfig,
  type Listed,
  loadConfig,
  looksLikeBundle,
  MAX_BUNDLE_SIZE,
  type OpenCollateral,
  openCollateral,
  systemClock,
} from '../gateway/index.ts'
import { fromBase64Url, fromUtf8 } from '../verify/bytes/bytes.ts'
import { parseEvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { AttestError } from '../verify/errors.ts'
import { MAX_COLLATERAL_SIZE } from '../verify/evidence/collateral.ts'
import { FORMATS } from '../verify/evidence/types.ts'
import { isBundle, MAX_EVIDENCE_SIZE } from '../verify/evidence/unwrap.ts'
import type { FetchOptions, FolderChoice } from './commands/collateral.ts'
import { readPaths, readUpTo } from './evidence-files.ts'
import { type Output, table } from './output.ts'

/** One answer as `--json` shows it. */
interface Shown {
  readonly name: string
  readonly freshness: Listed['freshness']
  readonly fetched: string
  readonly expires: string
  readonly items: readonly { readonly sha256: string; readonly kind: string; readonly about: string; readonly expires: string }[]
}

/** @returns 6 when something could not be had. */
export async function fetchCollateral(output: Output, options: FetchOptions, folder: string, evidence: readonly string[]): Promise<number> {
  const subjects: Parameters<OpenCollateral['service']['gather']>[0][] = []
  for (const path of evidence) subjects.push(subjectOf(await readUpTo(path, MAX_EVIDENCE_SIZE)))
  return withFolder(output, folder, options, async ({ service }) => {
    const failures = new Map((await service.refresh(options.all === true)).map((f) => [f.name, f.error]))
    for (const subject of subjects) {
      output.progress('Fetching what the evidence needs')
      const found = await service.gather(subject, options.early === true ? ['standard', 'early'] : ['standard'])
      for (const { name, error } of found.failures) failures.set(name, error)
    }
    const answers = (await service.list()).map(shown)
    const failed = [...failures].map(([name, { code, message }]) => ({ name, code, message }))
    output.answer({ answers, failed }, [
      ...lines(answers),
      ...failed.map((f) => output.paint.bad(`failed  ${shortName(f.message)}`)),
      ...(failed.length === 0 ? [] : ['fix: try again later, or import a bundle (sealgate collateral import).']),
    ])
    return failed.length === 0 ? 0 : 6
  })
}

export function exportCollateral(output: Output, options: FolderChoice, folder: string, file: string): Promise<void> {
  return withFolder(output, folder, options, async ({ service }) => {
    const answers = (await service.list()).filter((l) => l.freshness !== 'expired').map(shown)
    await writeNew(file, await service.export(), PUBLIC)
    output.answer({ file, answers }, [`In ${file}: ${countText(answers.length)}.`])
  })
}

export async function importCollateral(output: Output, options: FolderChoice, folder: string, paths: readonly string[]): Promise<void> {
  const files = await readPaths(paths, MAX_BUNDLE_SIZE)
  const loose = files.filter((f) => !looksLikeBundle(f.bytes))
  const large = loose.find((f) => f.bytes.length > MAX_COLLATERAL_SIZE)
  if (large !== undefined) throw new AttestError('LIMIT_EXCEEDED', `larger than ${MAX_COLLATERAL_SIZE} bytes`, { at: large.path })
  await withFolder(output, folder, options, async ({ service }) => {
    const [taken, left]: [string[], string[]] = [[], []]
    const take = (found: { readonly taken: readonly string[]; readonly left: readonly string[] }): void => {
      taken.push(...found.taken)
      left.push(...found.left)
    }
    for (const file of files.filter((f) => looksLikeBundle(f.bytes))) take(await service.import(file.bytes))
    if (loose.length > 0) take(await service.seed(loose.map((f) => f.bytes)))
    const human = [
      `Verified and taken over: ${countText(taken.length)}.`,
      ...left.map((name) => output.paint.warn(`left  ${name}: out of date, or older than what is there`)),
    ]
    output.answer({ taken, left }, human)
  })
}

export function showCollateral(output: Output, options: FolderChoice, folder: string): Promise<void> {
  return withFolder(output, folder, options, async ({ service }) => {
    const answers = (await service.list()).map(shown)
    output.answer({ answers }, answers.length === 0 ? ['The folder holds no collateral.'] : lines(answers))
  })
}

async function withFolder<T>(
  output: Output,
  folder: string,
  options: FetchOptions,
  work: (opened: OpenCollateral) => Promise<T>,
): Promise<T> {
  const opened = await openFolder(output, folder, options)
  try {
    return await work(opened)
  } finally {
    await opened.close()
  }
}

/** Whoever says `fetch` wants the network, whatever a gateway of the folder may do by itself. */
async function openFolder(output: Output, folder: string, options: FetchOptions): Promise<OpenCollateral> {
  const isGateway = await exists(join(folder, GATEWAY_FILES.config))
  const gateway = isGateway ? loadConfig(folder) : null
  const { intelKeyFile, caFile } = gateway?.collateral ?? {}
  const text = async (path: string): Promise<string> => fromUtf8(await readUpTo(path, MAX_COLLATERAL_SIZE))
  const anchors = await readPaths(options.trustAnchor, MAX_COLLATERAL_SIZE)
  const ca = options.ca ?? (caFile === undefined ? undefined : join(folder, caFile))
  return openCollateral({
    folder: isGateway ? join(folder, GATEWAY_FILES.collateralCache) : folder,
    config: configOf(gateway, options),
    intelKey: intelKeyFile === undefined ? null : (await text(join(folder, intelKeyFile))).trim(),
    ca: ca === undefined ? null : await text(ca),
    trustAnchors: [...(gateway?.simulatedRoots ?? []).map(fromBase64Url), ...anchors.map((f) => f.bytes)],
    clock: systemClock,
    random: Math.random,
    warn: ({ name, error }, message) => output.line(output.paint.warn(`${message}: ${name} (${error})`)),
  })
}

function configOf(gateway: GatewayConfig | null, { amdKds, intelPcs, intelRootCrl }: FetchOptions): GatewayConfig['collateral'] {
  const chosen = Object.entries({ amdKds, intelPcs, intelRootCrl }).filter(([, value]) => value !== undefined)
  const result = collateralSchema.safeParse({ ...gateway?.collateral, ...Object.fromEntries(chosen), fetch: true })
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new AttestError('USAGE', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}`)
}

/** @throws AttestError for a bundle that cannot be read. */
function subjectOf(input: Uint8Array): Parameters<OpenCollateral['service']['gather']>[0] {
  if (!isBundle(input)) return { format: 'auto', report: input, endorsements: [] }
  const { cpu, endorsements } = parseEvidenceBundle(input)
  return { format: FORMATS.find((f) => f === cpu.format) ?? 'auto', report: cpu.report, endorsements }
}

function shown({ answer, freshness }: Listed): Shown {
  const items = answer.items.map((item) => ({
    sha256: item.sha256,
    kind: item.kind,
    about: item.text,
    expires: instant(item.notAfter),
  }))
  const expires = instant(Math.min(...answer.items.map((item) => item.notAfter)))
  return { name: answer.name, freshness, fetched: instant(answer.fetched), expires, items }
}

function lines(answers: readonly Shown[]): readonly string[] {
  return table(answers.map((a) => [a.freshness, `until ${a.expires}`, shortName(a.name)]))
}

function countText(answers: number): string {
  return answers === 1 ? '1 answer' : `${answers} answers`
}

/** The id of a chip has 128 digits. */
function shortName(text: string): string {
  return text.replace(/[0-9a-f]{33,}/, (id) => `${id.slice(0, 16)}…`)
}

function instant(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -'.000Z'.length)}Z`
}
