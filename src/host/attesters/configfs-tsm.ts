import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { equal, toHex } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { type Attester, type AttesterReport, REPORT_DATA_SIZE } from './attester.ts'
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
const SEV_PROVIDER = 'sev_guest'
/** AMD 56860 table 23: REPORT_DATA at 0x050 of an ATTESTATION_REPORT of 1184 bytes. */
const SNP_REPORT_SIZE = 1184
const SNP_REPORT_DATA_AT = 0x050

/**
 * Takes reports from the kernel's configfs-tsm. A report counts only if no other process wrote to our entry while we
 * read it (`generation`) and if it carries our own REPORT_DATA; a lost race is run again a few times.
 * @throws AttestError `ATTESTER_UNAVAILABLE` when the interface is absent or its provider is not SEV-SNP.
 */
export async function openConfigfsTsm(root: string = TSM_ROOT, files: TsmFiles = kernelTsmFiles): Promise<Attester> {
  const provider = await withEntry(root, files, (entry) => readText(files, `${entry}/provider`))
  if (provider !== SEV_PROVIDER) {
    throw new AttestError('ATTESTER_UNAVAILABLE', `TSM provider is ${provider}; supported is ${SEV_PROVIDER}`, { at: root })
  }
  return {
    format: 'sev-snp',
    simulated: false,
    attest: (reportData) => attest(root, files, reportData),
  }
}

async function attest(root: string, files: TsmFiles, reportData: Uint8Array): Promise<AttesterReport> {
  if (reportData.length !== REPORT_DATA_SIZE) throw new AttestError('INTERNAL', `report data of ${reportData.length} bytes`)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const report = await withEntry(root, files, (entry) => readReport(entry, files, reportData))
    if (report !== null) return report
  }
  throw new AttestError('ATTESTER_UNAVAILABLE', `another process disturbed ${MAX_ATTEMPTS} attempts to read a report`, { at: root })
}

/** @returns null when another process got between our write and our reads. */
async function readReport(entry: string, files: TsmFiles, reportData: Uint8Array): Promise<AttesterReport | null> {
  try {
    const before = await readCount(files, `${entry}/generation`)
    await files.write(`${entry}/inblob`, reportData)
    const report = await files.read(`${entry}/outblob`)
    const table = await readOptional(files, `${entry}/auxblob`)
    const provider = await readText(files, `${entry}/provider`)
    const after = await readCount(files, `${entry}/generation`)
    if (after !== before + 1n || provider !== SEV_PROVIDER) return null
    if (report.length !== SNP_REPORT_SIZE) {
      throw new AttestError('ATTESTER_UNAVAILABLE', `report of ${report.length} bytes, want ${SNP_REPORT_SIZE}`, { at: entry })
    }
    const carried = report.subarray(SNP_REPORT_DATA_AT, SNP_REPORT_DATA_AT + REPORT_DATA_SIZE)
    if (!equal(carried, reportData)) return null
    return { report, endorsements: certificatesOf(table) }
  } catch (cause) {
    // EBUSY: a write raced ours; EAGAIN: the report was overtaken by a newer inblob.
    if (codeOf(cause) === 'EBUSY' || codeOf(cause) === 'EAGAIN') return null
    throw cause
  }
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
  return new TextDecoder().decode(await files.read(path)).trimEnd()
}

async function readCount(files: TsmFiles, path: string): Promise<bigint> {
  const text = await readText(files, path)
  if (!/^\d{1,20}$/.test(text)) throw new AttestError('ATTESTER_UNAVAILABLE', 'generation is not a number', { at: path })
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
