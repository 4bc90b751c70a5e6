import { parseCanonical } from '../verify/formats/canonical-json.ts'
import {
  attestTd,
  createSimulatedTdx,
  encodeSimulatedTdx,
  parseSimulatedTdx,
  type SimulatedTdxPlatform,
  TDX_PLATFORM_TYPE,
} from './intel/platform.ts'
import { attest } from './sev-snp/attest.ts'
import { createSimulatedPlatform, type SimulatedPlatform } from './sev-snp/platform.ts'
import { encodeSimulatedPlatform, parseSimulatedPlatform } from './sev-snp/platform-file.ts'

/** Kinds of CPU that a host can simulate, by the names of evidence formats. */

export type SimulatedFormat = 'sev-snp' | 'tdx'

/** The simulated CPU of one host, of whatever kind. */
export interface SimulatedTee {
  readonly format: SimulatedFormat
  /** Root certificate, DER. Evidence verifies only where it is named as a trust anchor. */
  readonly root: Uint8Array
  /** What a verifier needs beyond the endorsements that come with the evidence; null: nothing. */
  readonly collateral: Uint8Array | null
  /** What {@link parseSimulatedTee} reads. */
  readonly file: Uint8Array
  /** @param reportData - 64 bytes. @param measurement - 48 bytes. */
  attest(reportData: Uint8Array, measurement: Uint8Array): { readonly report: Uint8Array; readonly endorsements: readonly Uint8Array[] }
}

/** @param at - Start of validity. Keys of SEV-SNP take seconds to make. */
export async function createSimulatedTee(format: SimulatedFormat, at: Date): Promise<SimulatedTee> {
  return format === 'tdx' ? tdxTee(await createSimulatedTdx({ at })) : sevSnpTee(await createSimulatedPlatform({ at }))
}

/** Reads the platform file of a simulated host, whatever its kind. @throws AttestError `JSON_*`, `DOCUMENT_INVALID`. */
export function parseSimulatedTee(file: Uint8Array): SimulatedTee {
  const value = parseCanonical(file, MAX_FILE_SIZE, 'simulated-platform')
  const type = typeof value === 'object' && value !== null && 'type' in value ? value.type : null
  return type === TDX_PLATFORM_TYPE ? tdxTee(parseSimulatedTdx(file)) : sevSnpTee(parseSimulatedPlatform(file))
}

const MAX_FILE_SIZE = 256 * 1024

function tdxTee(platform: SimulatedTdxPlatform): SimulatedTee {
  return {
    format: 'tdx',
    root: platform.root,
    collateral: platform.collateral,
    file: encodeSimulatedTdx(platform),
    attest: (reportData, mrTd) => attestTd(platform, { reportData, mrTd }),
  }
}

export function sevSnpTee(platform: SimulatedPlatform): SimulatedTee {
  return {
    format: 'sev-snp',
    root: platform.root.certificate,
    collateral: null,
    file: encodeSimulatedPlatform(platform),
    attest: (reportData, measurement) => attest(platform, { reportData, measurement }),
  }
}
