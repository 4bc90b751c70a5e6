import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

/** What the manifest says of one quote. */
export interface ParsedQuote {
  readonly qualifiedSigner: string
  readonly extraData: string
  readonly clock: number
  readonly reset: number
  readonly restart: number
  readonly safe: number
  readonly fw: string
  readonly sel: readonly (readonly [string, readonly number[]])[]
  readonly pcrDigest: string
}

/** One entry of the manifest of real TPM quotes. */
export interface TpmCase {
  readonly id: string
  readonly kind: string
  readonly evidence_files: Readonly<Record<string, string>>
  readonly verify_at: string | null
  readonly expected: {
    readonly verdict: string
    readonly parsed?: ParsedQuote
    readonly quotes?: readonly { readonly bank: string; readonly parsed: ParsedQuote }[]
    readonly hcl?: { readonly report_type: number; readonly runtime_data_sha256: string }
    readonly ak_name?: string
  }
}

export const folder: string | null = vectorsFolder('tpm')
export const cases: readonly TpmCase[] = folder === null ? [] : readManifest<readonly TpmCase[]>(folder)

/** VCEK of an Azure machine's chip, among the certificates of the SEV-SNP vectors. */
export const AZURE_VCEK: Readonly<Record<string, string>> = {
  'tpm-azsnp-v1': 'milan-b67b09bf',
  'tpm-azsnp-v0': 'milan-b67b09bf',
  'tpm-azsnp-genoa': 'genoa-c065f729',
}

export function file(path: string): Uint8Array {
  return readVector(folder ?? '', path)
}

export function caseOf(id: string): TpmCase {
  const found = cases.find((c) => c.id === id)
  if (found === undefined) throw new Error(`no case ${id}`)
  return found
}

/** The same facts under the names that a verdict gives them. */
export function fieldsOf(want: ParsedQuote): object {
  return {
    qualifiedSigner: want.qualifiedSigner,
    extraData: want.extraData,
    clock: `${want.clock}`,
    resetCount: want.reset,
    restartCount: want.restart,
    safe: want.safe === 1,
    firmwareVersion: want.fw,
    pcrSelections: want.sel.map(([bank, pcrs]) => ({ bank, pcrs })),
    pcrDigest: want.pcrDigest,
  }
}
