import { expect } from 'vitest'
import { AttestError } from '../../src/verify/errors.ts'
import { createVerifyCache, type VerifyCache } from '../../src/verify/evidence/cache.ts'
import type { Collateral } from '../../src/verify/evidence/collateral.ts'
import type { DcapFields } from '../../src/verify/evidence/dcap/claims.ts'
import type { SgxParsed } from '../../src/verify/evidence/sgx/claims.ts'
import type { SgxResult } from '../../src/verify/evidence/sgx/verify.ts'
import type { TdxParsed } from '../../src/verify/evidence/tdx/claims.ts'
import type { TdReportField } from '../../src/verify/evidence/tdx/td-report.ts'
import type { TdxResult } from '../../src/verify/evidence/tdx/verify.ts'
import type { EvidenceVerdict } from '../../src/verify/verify-evidence.ts'
import { decide, loadItems, troubles } from './dcap.ts'
import type { Expected, QuoteVector } from './dcap-vectors.ts'

/** Counts what real vectors gave, for a line in the output. */
export interface Tally {
  count(what: string): void
  print(): void
}

export function tally(name: string): Tally {
  const counts = new Map<string, number>()
  return {
    count: (what) => void counts.set(what, (counts.get(what) ?? 0) + 1),
    print: () => console.info(`${name}: ${[...counts].map(([what, n]) => `${n} × ${what}`).join(', ')}`),
  }
}

/** What the manifests say of SGX and TDX alike. */
function expectCommon(verdict: EvidenceVerdict, parsed: DcapFields, expected: Expected): void {
  expect([verdict.decision, verdict.checks.filter((c) => c.outcome !== 'pass')]).toEqual(
    expected.verdict === 'pass' ? ['accept', []] : ['reject', expect.anything()],
  )
  if (expected.authentic !== undefined) expect(verdict.authentic).toBe(expected.authentic)
  const want = expected.parsed ?? {}
  expect(parsed).toMatchObject({
    quoteVersion: want.quote_version,
    teeType: want.tee_type,
    attestationKeyType: want.attestation_key_type,
    qeSvn: want.qe_svn,
    pceSvn: want.pce_svn,
    qeVendorId: want.qe_vendor_id,
    headerUserData: want.header_user_data,
    certificationDataType: want.certification_data_type,
  })
  if (want.qe_auth_data_len !== undefined) expect(parsed.qeAuthDataSizeBytes).toBe(want.qe_auth_data_len)
  expectPck(parsed, expected.pck)
  expectTcb(parsed, expected)
}

function expectPck({ pck }: DcapFields, want: Expected['pck']): void {
  if (want === undefined) return
  expect(pck).toMatchObject({
    fmspc: want.fmspc,
    pceId: want.pceid,
    ppid: want.ppid,
    tcbComponentSvns: want.tcb_comp_svns,
    pceSvn: want.pcesvn,
    cpuSvn: want.cpusvn,
    sgxType: want.sgx_type,
    platformInstanceId: want.platform_instance_id,
    issuer: want.issuer,
    notBefore: want.not_before,
    notAfter: want.not_after,
  })
}

function expectTcb({ tcb }: DcapFields, expected: Expected): void {
  if (expected.tcb_status === undefined) return
  expect(tcb).toMatchObject({
    status: expected.tcb_status,
    platformStatus: expected.platform_tcb_status === 'none matched' ? null : expected.platform_tcb_status,
    qeStatus: expected.qe_tcb_status,
    advisoryIds: expected.advisory_ids,
    platformTcbDate: expected.tcb_date,
    tcbEvaluationDataNumber: expected.tcb_evaluation_data_number,
  })
}

/** Rules that fit a manifest's reason. */
const FITTING: Readonly<Record<string, RegExp>> = {
  'quote-signature-invalid': /^signature\.quote=fail$/,
  'qe-report-signature-invalid': /^signature\.qe-report=fail$/,
  'qe-binding-mismatch': /^signature\.qe-binding=fail$/,
  'collateral-signature-invalid': /^signature\.(tcb-info|qe-identity)=fail$/,
  'collateral-expired': /^validity\.tcb-info=unknown$/,
  'collateral-not-yet-valid': /^validity\.tcb-info=unknown$/,
  'cert-expired': /^validity\.pck=fail$/,
  'fmspc-mismatch': /^validity\.tcb-info=unknown$/,
  'tee-type-mismatch': /^validity\.tcb-info=unknown$/,
  'qe-identity-mismatch': /^validity\.qe-identity=unknown$/,
}
/** Reasons for which the quote cannot be read at all. */
const UNREADABLE = /format-invalid|qe-vendor-unknown|attestation-key-type-unsupported/

/** A broken quote is refused, for what is broken in it. */
export function mutationOutcome(verdict: EvidenceVerdict, reason: string): string {
  expect(verdict.decision).toBe('reject')
  if (verdict.decision === 'reject' && verdict.parsed === null) {
    expect(verdict.error).toMatchObject({ code: expect.stringMatching(/^EVIDENCE_/), at: expect.any(String) })
    expect(reason).toMatch(UNREADABLE)
  } else {
    const fits = FITTING[reason]
    expect(troubles(verdict).filter((t) => fits?.test(t))).not.toEqual([])
  }
  return 'recipe'
}

/** Event logs are replayed whatever becomes of the quote. */
export function eventLogOutcome(verdict: EvidenceVerdict, expected: Expected): string {
  const { eventLog } = verdict.parsed as TdxParsed
  expect(eventLog?.events).toBe(expected.events)
  expect(Object.values(eventLog?.replayed ?? {})).toEqual(expected.replayed)
  const wrong = troubles(verdict).filter((t) => t.startsWith('binding.'))
  expect(wrong).toEqual(expected.equal?.flatMap((is, i) => (is ? [] : [`binding.rtmr${i}=fail`])))
  return 'event log'
}

const FIELDS: Readonly<Record<string, TdReportField>> = {
  tee_tcb_svn: 'teeTcbSvn',
  mrseam: 'mrSeam',
  mrsignerseam: 'mrSignerSeam',
  seam_attributes: 'seamAttributes',
  td_attributes: 'tdAttributes',
  xfam: 'xfam',
  mrtd: 'mrTd',
  mrconfigid: 'mrConfigId',
  mrowner: 'mrOwner',
  mrownerconfig: 'mrOwnerConfig',
  rtmr0: 'rtmr0',
  rtmr1: 'rtmr1',
  rtmr2: 'rtmr2',
  rtmr3: 'rtmr3',
  report_data: 'reportData',
  tee_tcb_svn2: 'teeTcbSvn2',
  mrservicetd: 'mrServiceTd',
}

/** Everything that the manifests say of a quote. */
export function expectQuote(tee: 'tdx' | 'sgx', verdict: EvidenceVerdict, expected: Expected): void {
  const { parsed } = verdict
  if (parsed === null) throw new Error('nothing was read')
  expectCommon(verdict, parsed as DcapFields, expected)
  if (tee === 'tdx') expectTd(parsed as TdxParsed, expected)
  else expectEnclave(parsed as SgxParsed, expected)
}

function expectTd({ tdReport, tcb }: TdxParsed, expected: Expected): void {
  for (const [name, value] of Object.entries(expected.parsed?.td_report ?? {})) {
    expect([name, tdReport[FIELDS[name] ?? 'mrTd']]).toEqual([name, value])
  }
  expect(tcb?.tdxModuleStatus ?? 'n/a (TDX module version 0)').toBe(expected.tdx_module_tcb_status)
  const { raw, sept_ve_disable, migratable, debug } = expected.parsed?.td_attributes_decoded ?? {}
  expect(tdReport.tdAttributeBits).toMatchObject({ raw, septVeDisable: sept_ve_disable, migratable, debug })
}

function expectEnclave({ enclave }: SgxParsed, expected: Expected): void {
  const want = expected.parsed?.enclave ?? {}
  expect(enclave).toMatchObject({
    cpuSvn: want.cpusvn,
    attributes: want.attributes,
    mrEnclave: want.mrenclave,
    mrSigner: want.mrsigner,
    isvProdId: want.isvprodid,
    isvSvn: want.isvsvn,
    reportData: want.report_data,
  })
  if (typeof expected.debug === 'boolean') expect(enclave.attributeBits.debug).toBe(expected.debug)
}

/** Flips every bit of the first `size` bytes. @returns How many flips were refused. */
export async function flipBits(
  vector: QuoteVector,
  verify: (one: QuoteVector, cache: VerifyCache, collateral: Collateral) => Promise<TdxResult | SgxResult>,
  size: number,
): Promise<number> {
  const cache = createVerifyCache()
  const collateral = await loadItems(vector.collateral, cache)
  let refused = 0
  for (let bit = 0; bit < 8 * size; bit++) {
    const quote = vector.quote.slice()
    quote[bit >> 3] = (quote[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    try {
      const result = await verify({ ...vector, quote }, cache, collateral)
      if (decide(result).decision === 'reject') refused++
    } catch (error) {
      if (!(error instanceof AttestError)) throw error
      refused++
    }
  }
  return refused
}
