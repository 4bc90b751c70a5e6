import { concat, fromHex } from '../../../src/verify/bytes/bytes.ts'
import { parsePem } from '../../../src/verify/formats/pem.ts'
import type { Check } from '../../../src/verify/verdict.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

export const folder: string | null = vectorsFolder('nvidia-gpu')

/** What the manifest says was read of a device. */
export interface ExpectedParsed extends Readonly<Record<string, unknown>> {
  readonly opaque_fields: readonly { readonly type: number; readonly name: string; readonly hex: string }[]
}

export interface Expected {
  readonly verdict: string
  readonly reason: string | null
  readonly expected_nonce: string
  readonly parsed?: ExpectedParsed
  readonly checks?: Readonly<Record<'cert_chain_to_pinned_root' | 'fwid_match' | 'report_signature_valid', boolean | null>>
  readonly devices?: readonly { readonly device: string; readonly parsed: ExpectedParsed }[]
  readonly mode?: string
}

/** One entry of the manifest. */
export interface VectorCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: Readonly<Record<string, string>> & {
    readonly gpus?: readonly DeviceFiles[]
    readonly switches?: readonly DeviceFiles[]
  }
  readonly collateral_files: Readonly<Record<string, string>> & { readonly ocsp?: Readonly<Record<string, string>> }
  readonly verify_at: string | null
  readonly expected: Expected
  readonly recipes?: readonly Recipe[]
}

export interface DeviceFiles {
  readonly device: string
  readonly report: string
  readonly cert_chain: string
}

export type Recipe = Readonly<Record<'op' | 'why', string>> & Readonly<Record<string, string | number>>

export const cases: readonly VectorCase[] = folder === null ? [] : readManifest<readonly VectorCase[]>(folder)

export function read(path: string | undefined): Uint8Array {
  return readVector(folder ?? '', path ?? '')
}

export function caseOf(id: string): VectorCase {
  const found = cases.find((c) => c.id === id)
  if (found === undefined) throw new Error(`no case ${id}`)
  return found
}

/** Certificates of a PEM chain as DER. */
export function chainOf(path: string | undefined): readonly Uint8Array[] {
  return parsePem(new TextDecoder().decode(read(path)), 'chain').map((block) => block.der)
}

/** Rules that stand in the way, such as `chain.device=fail`. */
export function troubles(checks: readonly Check[]): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => `${c.rule}=${c.outcome}`)
}

/** NVIDIA's `evidence_list` of devices. */
export function evidenceList(devices: readonly { readonly report: Uint8Array; readonly chain: Uint8Array }[], arch: string): Uint8Array {
  const list = devices.map(({ report, chain }) => ({
    evidence: Buffer.from(report).toString('base64'),
    certificate: Buffer.from(chain).toString('base64'),
  }))
  return new TextEncoder().encode(JSON.stringify({ nonce: '00'.repeat(32), arch, evidence_list: list }))
}

/** A report with one recipe carried out upon it. */
export function mutateReport(report: Uint8Array, { op, offset, with: mask, hex }: Recipe): Uint8Array {
  const at = Number(offset) < 0 ? report.length + Number(offset) : Number(offset)
  if (op === 'append') return concat(report, fromHex(String(hex)))
  const patch = op === 'xor' ? fromHex(String(mask)).map((m, i) => m ^ (report[at + i] ?? 0)) : fromHex(String(hex))
  return concat(report.subarray(0, at), patch, report.subarray(at + patch.length))
}
