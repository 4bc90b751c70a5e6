import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { REPORT_SIZE } from '../../verify/evidence/sev-snp/layout.ts'
import type { Attester, AttesterReport } from './attester.ts'
import { carries } from './carries.ts'
import { certificatesOf } from './certificate-table.ts'

/** Where Linux 6.7 and later offer reports (Documentation/ABI/testing/configfs-tsm-report). */
export const TSM_ROOT = '/sys/kernel/config/tsm/report'

/** The four file operations that the interface needs. */
export interface TsmFiles {
  mkdir(path: string): Promise<void>
  rmdir(path: string): Promise<void>
  write(path: string, bytes: Uint8Array): Promise<void>
  read(path: string): Promise<Uint8Array>
}

export const kernelTsmFiles: TsmFiles = {
  mkdir: (path) => mkdir(path),
  rmdir: (path) => rmdir(path),
  write: (path, bytes) => writeFile(path, bytes),
  read: async (path) => new Uint8Array(await readFile(path)),
}

const MAX_ATTEMPTS = 5

/** Evidence that the kernel's providers make (drivers/virt/coco); `sizeBytes` where it has but one size. */
const PROVIDERS: ReadonlyMap<string, { readonly format: Attester['format']; readonly sizeBytes?: number }> = new Map([
  ['sev_guest', { format: 'sev-snp', sizeBytes: REPORT_SIZE }],
  ['tdx_guest', { format: 'tdx' }],
  ['arm_cca_guest', { format: 'arm-cca' }],
] as const)

/** TSM_REPORT_OUTBLOB_MAX in include/linux/tsm.h. */
const MAX_REPORT_SIZE = 32 * 1024

interface Tsm {
  readonly root: string
  readonly files: TsmFiles
  readonly provider: string
}

/**
 * Takes reports from the kernel's configfs-tsm: SEV-SNP reports, TDX quotes, Arm CCA tokens. A report counts only if no
 * other process wrote to our entry while we read it (`generation`) and if it carries our own data; a lost race is run again
 * a few times. The manifest of a service below us (`manifestblob`) is not asked for.
 * @throws AttestError `ATTESTER_UNAVAILABLE` when the interface is absent or its provider is unknown.
 */
export async function openConfigfsTsm(root: string = TSM_ROOT, files: TsmFiles = kernelTsmFiles): Promise<Attester> {
  const provider = await withEntry(root, files, (entry) => readText(files, `${entry}/provider`))
  const known = PROVIDERS.get(provider)
  if (known === undefined) {
    const supported = [...PROVIDERS.keys()].join(', ')
    throw new AttestError('ATTESTER_UNAVAILABLE', `TSM provider is ${provider}; supported are ${supported}`, { at: root })
  }
  const tsm = { root, files, provider }
  return { format: known.format, simulated: false, attest: ({ reportData }) => attest(tsm, reportData) }
}

async function attest(tsm: Tsm, reportData: Uint8Array): Promise<AttesterReport> {
  const { root, files } = tsm
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const report = await withEntry(root, files, (entry) => readReport(entry, tsm, reportData))
    if (report !== null) return report
  }
  throw new AttestError('ATTESTER_UNAVAILABLE', `another process disturbed ${MAX_ATTEMPTS} attempts to read a report`, { at: root })
}

/** @returns null when another process got between our writes and our reads. */
async function readReport(entry: string, { files, provider }: Tsm, reportData: Uint8Array): Promise<AttesterReport | null> {
  try {
    const before = await readCount(files, `${entry}/generation`)
    const writes = await writeRequest(entry, files, reportData)
    const report = await files.read(`${entry}/outblob`)
    const table = await readOptional(files, `${entry}/auxblob`)
    const stillThere = await readText(files, `${entry}/provider`)
    const after = await readCount(files, `${entry}/generation`)
    if (after !== before + writes || stillThere !== provider) return null
    assertSize(report, PROVIDERS.get(provider)?.sizeBytes ?? null, entry)
    if (!carries(report, reportData)) return null
    return { report, endorsements: provider === 'sev_guest' ? certificatesOf(table) : [] }
  } catch (cause) {
    // EBUSY: a write raced ours; EAGAIN: the report was overtaken by a newer inblob.
    if (codeOf(cause) === 'EBUSY' || codeOf(cause) === 'EAGAIN') return null
    throw cause
  }
}

/** @returns How far our own writes move the generation. */
async function writeRequest(entry: string, files: TsmFiles, reportData: Uint8Array): Promise<bigint> {
  const floor = await readOptional(files, `${entry}/privlevel_floor`)
  // Below a paravisor or SVSM the guest may speak for its own level only, and the kernel's default is level 0.
  if (floor.length > 0) await files.write(`${entry}/privlevel`, utf8(String(toCount(decodeText(floor), `${entry}/privlevel_floor`))))
  await files.write(`${entry}/inblob`, reportData)
  return floor.length > 0 ? 2n : 1n
}

function assertSize(report: Uint8Array, want: number | null, entry: string): void {
  if (want === null ? report.length <= MAX_REPORT_SIZE : report.length === want) return
  const wanted = want === null ? `at most ${MAX_REPORT_SIZE}` : want
  throw new AttestError('ATTESTER_UNAVAILABLE', `report of ${report.length} bytes, want ${wanted}`, { at: entry })
}

async function withEntry<T>(root: string, files: TsmFiles, use: (entry: string) => Promise<T>): Promise<T> {
  const entry = `${root}/sealgate-${toHex(randomBytes(8))}`
  try {
    await files.mkdir(entry)
  } catch (cause) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'cannot make a TSM report entry', { at: root, cause })
  }
  try {
    return await use(entry)
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    throw new AttestError('ATTESTER_UNAVAILABLE', 'cannot read a TSM report', { at: root, cause })
  } finally {
    await files.rmdir(entry).catch(() => undefined)
  }
}

async function readText(files: TsmFiles, path: string): Promise<string> {
  return decodeText(await files.read(path))
}

function decodeText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).trimEnd()
}

async function readCount(files: TsmFiles, path: string): Promise<bigint> {
  return toCount(await readText(files, path), path)
}

function toCount(text: string, at: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw new AttestError('ATTESTER_UNAVAILABLE', 'not a number', { at })
  return BigInt(text)
}

async function readOptional(files: TsmFiles, path: string): Promise<Uint8Array> {
  try {
    return await files.read(path)
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return new Uint8Array()
    throw cause
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
