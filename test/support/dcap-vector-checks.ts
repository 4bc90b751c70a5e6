import { expect } from 'vitest'
import { AttestError } from '../../src/verify/errors.ts'
import { createVerifyCache, type VerifyCache } from '../../src/verify/evidence/cache.ts'
import type { Collateral } from '../../src/verify/evidence/collateral.ts'
import type { DcapFields } from '../../src/verify/evidence/dcap/claims.ts'
import type { SgxResult } from '../../src/verify/evidence/sgx/verify.ts'
import type { TdxResult } from '../../src/verify/evidence/tdx/verify.ts'
import type { Verdict } from '../../src/verify/verdict.ts'
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
export function expectCommon(verdict: Verdict<DcapFields, unknown>, expected: Expected): void {
  expect([verdict.decision, verdict.checks.filter((c) => c.outcome !== 'pass')]).toEqual(
    expected.verdict === 'pass' ? ['accept', []] : ['reject', expect.anything()],
  )
  if (expected.authentic !== undefined) expect(verdict.authentic).toBe(expected.authentic)
  const { parsed } = verdict
  if (parsed === null) throw new Error('nothing was read')
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

export async function mutationOutcome(
  verify: () => Promise<TdxResult | SgxResult>,
  reason: string,
): Promise<{ refused: boolean; fitting: boolean }> {
  try {
    const result = await verify()
    const fits = FITTING[reason]
    return { refused: decide(result).decision === 'reject', fitting: fits !== undefined && troubles(result).some((t) => fits.test(t)) }
  } catch (error) {
    if (!(error instanceof AttestError) || !error.code.startsWith('EVIDENCE_')) throw error
    return { refused: true, fitting: UNREADABLE.test(reason) && error.at !== undefined }
  }
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
