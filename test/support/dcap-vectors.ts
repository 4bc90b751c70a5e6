import { join } from 'node:path'
import { concat, fromHex, utf8 } from '../../src/verify/bytes/bytes.ts'
import { readManifest, readVector, vectorsFolder } from './vectors.ts'

/** Folders of real quotes; null where they are missing. */
export const tdxFolder: string | null = vectorsFolder('tdx')
export const sgxFolder: string | null = vectorsFolder('sgx')

/** What the manifest expects of a quote. */
export interface Expected {
  readonly verdict: 'pass' | 'fail'
  readonly reason: string | null
  readonly tcb_status?: string
  readonly platform_tcb_status?: string
  readonly qe_tcb_status?: string
  readonly tdx_module_tcb_status?: string
  readonly advisory_ids?: readonly string[]
  readonly tcb_date?: string | null
  readonly tcb_evaluation_data_number?: number
  readonly authentic?: boolean
  readonly debug?: boolean | null
  readonly pck?: Readonly<Record<string, unknown>>
  readonly parsed?: Readonly<Record<string, unknown>> & {
    readonly td_report?: Readonly<Record<string, string>>
    readonly enclave?: Readonly<Record<string, unknown>>
    readonly td_attributes_decoded?: Readonly<Record<string, unknown>>
  }
  readonly events?: number
  readonly replayed?: readonly string[]
  readonly equal?: readonly boolean[]
}

interface ManifestCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: Readonly<Record<string, string>>
  readonly collateral_files?: Readonly<Record<string, string>>
  readonly verify_at?: string
  readonly expected: Expected
  readonly cases?: readonly Recipe[]
}

interface Recipe {
  readonly id: string
  readonly base: string
  readonly ops: readonly Op[]
  readonly expected: { readonly reason: string }
}

interface Op {
  readonly file?: string
  readonly offset?: number
  readonly xor?: string
  readonly truncate_to?: number
  readonly verify_at?: string
  readonly collateral_from?: string
  readonly keys?: readonly string[]
  readonly key?: string
  readonly replace?: string
  readonly with?: string
}

/** One quote with what belongs to it. `collateral` is empty where the case has none. */
export interface QuoteVector {
  readonly id: string
  readonly quote: Uint8Array
  readonly collateral: readonly Uint8Array[]
  readonly at: Date
  readonly expected: Expected
}

/** A quote vector with one thing changed. */
export interface MutatedVector extends Omit<QuoteVector, 'expected'> {
  readonly base: string
  readonly reason: string
}

export interface EventLogVector {
  readonly id: string
  readonly quote: Uint8Array
  readonly eventLog: Uint8Array
  readonly expected: Expected
}

export function quoteVectors(tee: 'tdx' | 'sgx'): readonly QuoteVector[] {
  return manifest(tee)
    .filter((c) => c.kind === 'dcap-quote')
    .map((c) => readQuote(tee, c))
}

function readQuote(tee: 'tdx' | 'sgx', { id, evidence_files, collateral_files, verify_at, expected }: ManifestCase): QuoteVector {
  const collateral = collateral_files?.quote_collateral_v3
  return {
    id,
    quote: readBytes(tee, evidence_files.quote ?? ''),
    collateral: collateral === undefined ? [] : [readBytes(tee, collateral)],
    at: new Date(verify_at ?? 0),
    expected,
  }
}

export function mutatedVectors(tee: 'tdx' | 'sgx'): readonly MutatedVector[] {
  const cases = manifest(tee)
  const recipes = cases.flatMap((c) => c.cases ?? [])
  return recipes.map(({ id, base, ops, expected }) => {
    const source = cases.find((c) => c.id === base)
    if (source === undefined) throw new Error(`no base case ${base}`)
    const { expected: _, ...vector } = readQuote(tee, source)
    return { ...ops.reduce(applyOp, vector), id, base, reason: expected.reason }
  })
}

type Changeable = Omit<QuoteVector, 'expected'>

function applyOp(vector: Changeable, op: Op): Changeable {
  if (op.verify_at !== undefined) return { ...vector, at: new Date(op.verify_at) }
  if (op.truncate_to !== undefined) return { ...vector, quote: vector.quote.slice(0, op.truncate_to) }
  if (op.xor !== undefined && op.offset !== undefined) return { ...vector, quote: flipped(vector.quote, op.offset, fromHex(op.xor)) }
  const collateral = JSON.parse(new TextDecoder().decode(vector.collateral[0])) as Record<string, string>
  if (op.collateral_from !== undefined) {
    const other = JSON.parse(new TextDecoder().decode(readBytes('tdx', join('..', op.collateral_from)))) as Record<string, string>
    for (const key of op.keys ?? []) collateral[key] = other[key] ?? ''
  }
  if (op.key !== undefined && op.replace !== undefined) {
    const before = collateral[op.key] ?? ''
    if (!before.includes(op.replace)) throw new Error(`nothing to replace in ${op.key}`)
    collateral[op.key] = before.replace(op.replace, op.with ?? '')
  }
  return { ...vector, collateral: [utf8(JSON.stringify(collateral))] }
}

/** A copy with bytes XORed at an offset. */
export function flipped(bytes: Uint8Array, offset: number, mask: Uint8Array): Uint8Array {
  return concat(
    bytes.subarray(0, offset),
    Uint8Array.from(mask, (m, i) => m ^ (bytes[offset + i] ?? 0)),
    bytes.subarray(offset + mask.length),
  )
}

export function eventLogVectors(): readonly EventLogVector[] {
  return manifest('tdx')
    .filter((c) => c.kind === 'tdx-event-log')
    .map(({ id, evidence_files, expected }) => ({
      id,
      quote: readBytes('tdx', evidence_files.quote ?? ''),
      eventLog: readBytes('tdx', evidence_files.event_log ?? ''),
      expected,
    }))
}

function folderOf(tee: 'tdx' | 'sgx'): string {
  const folder = tee === 'tdx' ? tdxFolder : sgxFolder
  if (folder === null) throw new Error(`no real ${tee} evidence`)
  return folder
}

function manifest(tee: 'tdx' | 'sgx'): readonly ManifestCase[] {
  return readManifest<readonly ManifestCase[]>(folderOf(tee))
}

function readBytes(tee: 'tdx' | 'sgx', path: string): Uint8Array {
  return readVector(folderOf(tee), path)
}
