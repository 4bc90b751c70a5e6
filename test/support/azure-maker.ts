import { u32 } from '../../src/sim/little-endian.ts'
import { concat, utf8 } from '../../src/verify/bytes/bytes.ts'
import { digest, type TestAk } from './tpm-maker.ts'

export interface RuntimeChange {
  readonly keys?: readonly object[]
  readonly userData?: string | null
  readonly secureBoot?: boolean
}

/** Runtime data as an Azure paravisor writes it. */
export function runtimeData(ak: TestAk, change: RuntimeChange = {}): Uint8Array {
  const { n, e } = ak.publicKey.export({ format: 'jwk' })
  const keys = change.keys ?? [
    { kid: 'HCLAkPub', key_ops: ['sign'], kty: 'RSA', e, n },
    { kid: 'HCLEkPub', key_ops: ['encrypt'], kty: 'RSA', e, n },
  ]
  const { secureBoot = true, userData = '00'.repeat(64) } = change
  const configuration = {
    'console-enabled': true,
    'secure-boot': secureBoot,
    'tpm-enabled': true,
    vmUniqueId: '26F8BC30-774E-4290-8E7A-535F3B672AEE',
  }
  return utf8(JSON.stringify({ keys, 'vm-configuration': configuration, ...(userData === null ? {} : { 'user-data': userData }) }))
}

/** REPORT_DATA that stands for runtime data. */
export function reportDataFor(runtime: Uint8Array, hash: 'sha256' | 'sha384' | 'sha512' = 'sha256'): Uint8Array {
  const out = new Uint8Array(64)
  out.set(digest(hash, runtime))
  return out
}

export interface HclChange {
  readonly version?: number
  readonly status?: number
  readonly reportType?: number
  readonly hashType?: number
  readonly runtimeVersion?: number
  readonly dataSize?: number
  readonly reportSize?: number
  readonly variableSize?: number
  readonly reserved?: number
}

/** An HCL report in an NV index of 2600 bytes. @param hardware - SNP report or TDREPORT. */
export function hclReport(hardware: Uint8Array, runtime: Uint8Array, change: HclChange = {}): Uint8Array {
  const size = change.variableSize ?? runtime.length
  const header = concat(
    utf8('HCLA'),
    u32(change.version ?? 2),
    u32(change.reportSize ?? 1236 + runtime.length),
    u32(2),
    u32(change.status ?? 0),
    concat(Uint8Array.of(change.reserved ?? 0), new Uint8Array(11)),
  )
  const report = concat(hardware, new Uint8Array(1184 - hardware.length))
  const words = [
    change.dataSize ?? 20 + runtime.length,
    change.runtimeVersion ?? 1,
    change.reportType ?? (hardware.length === 1184 ? 2 : 4),
    change.hashType ?? 1,
    size,
  ]
  const used = concat(header, report, ...words.map(u32), runtime)
  return concat(used, new Uint8Array(Math.max(2600 - used.length, 0)))
}

/** A TDREPORT with this REPORTDATA; its MAC is of nobody. */
export function tdReportOf(reportData: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x81), new Uint8Array(127), reportData, new Uint8Array(832))
}
