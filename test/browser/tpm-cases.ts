import { join } from 'node:path'
import { expect } from 'vitest'
import { fromHex } from '../../src/verify/bytes/bytes.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import { attest, pcrDigest, pcrsJson, TestAk } from '../support/tpm-maker.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'
import { readVector } from '../support/vectors.ts'
import { AZURE_VCEK, cases, file, folder } from '../vectors/tpm/cases.ts'

/** Quotes by every kind of attestation key, and one of each over other PCR values. */
export function simulatedTpmCases(): readonly EvidenceCase[] {
  const keys = [new TestAk('p256'), new TestAk('p384'), new TestAk('rsassa', 'sha512'), new TestAk('rsapss')]
  return keys.flatMap((ak) => [tpmCase(ak, true), tpmCase(ak, false)])
}

function tpmCase(ak: TestAk, isGenuine: boolean): EvidenceCase {
  const selections = [{ bank: 'sha256', pcrs: [0, 7] }] as const
  const input = attest({ selections, pcrDigest: pcrDigest(isGenuine ? ak.hash : 'sha1', selections) })
  const collateral = [ak.sign(input), pcrsJson(), ak.publicArea()]
  return {
    id: `TPM, ${ak.kind}, ${isGenuine ? 'genuine' : 'forged'}`,
    input,
    options: { collateral, trustAnchors: [ak.spki], at: new Date('2026-06-01T00:00:00Z'), allowUnknown: [] },
    check: ({ decision }) => {
      expect(decision).toBe(isGenuine ? 'accept' : 'reject')
      return decision
    },
  }
}

/** Quotes of genuine TPMs, and of Azure confidential VMs with their HCL reports; none where the vectors are missing. */
export function realTpmCases(): readonly EvidenceCase[] {
  return folder === null ? [] : [...googleCases(), ...otherCases(), ...azureCases()]
}

function googleCases(): readonly EvidenceCase[] {
  return ['gce-cos85-nonce9009', 'gce-cos85-no-nonce'].flatMap((run) =>
    ['sha1', 'sha256', 'sha384'].map((bank) => {
      const at = `quotes/${run}`
      const companions = [`${at}/${bank}.sig`, `${at}/${bank}.pcrs.json`, `${at}/ak.tpmt_public.bin`, `${at}/ak.cert.der`]
      const hasNonce = run.endsWith('9009')
      const more = { eventLogs: [file(`${at}/eventlog.bin`)], ...(hasNonce ? { nonce: fromHex('9009') } : {}) }
      const collateral = [...companions, 'certs/gce-ak-intermediate-0.pem'].map(file)
      return realCase(`${run}, ${bank}`, file(`${at}/${bank}.msg`), collateral, more, hasNonce ? 'accept' : 'reject')
    }),
  )
}

function otherCases(): readonly EvidenceCase[] {
  const [trustee, windows] = ['quotes/trustee-tpm', 'quotes/gcp-windows-shielded-sha1']
  const key = file(`${trustee}/ak.pub.der`)
  const named = [`${trustee}/quote.sig`, `${trustee}/pcrs.json`].map(file)
  const ak = file(`${windows}/ak.tpmt_public.bin`)
  const log = { trustAnchors: [ak], eventLogs: [file(`${windows}/eventlog.bin`)] }
  return [
    realCase('trustee, key named', file(`${trustee}/quote.msg`), [...named, key], { trustAnchors: [key] }, 'accept'),
    realCase('trustee, key not named', file(`${trustee}/quote.msg`), [...named, key], {}, 'reject'),
    realCase(
      'windows, SHA-1',
      file(`${windows}/quote.msg`),
      [file(`${windows}/quote.sig`), file(`${windows}/pcrs-sha1.json`), ak],
      log,
      'reject',
    ),
    realCase('keylime', file('quotes/keylime-r-format.txt'), [], {}, 'reject'),
  ]
}

/** The TDX captures have no TD quote beside them. */
function azureCases(): readonly EvidenceCase[] {
  return cases
    .filter((c) => c.kind === 'azure-hcl-vtpm-quote')
    .map(({ id, evidence_files: files, expected }) => {
      const { message = '', signature = '', pcrs = '', hcl_report = '' } = files
      const vek = AZURE_VCEK[id]
      const certificates = vek === undefined ? [] : [readVector(join(folder ?? '', '../sev-snp/certs'), `vcek-${vek}.der`)]
      const collateral = [file(message), file(signature), file(pcrs), ...certificates]
      const more = { nonce: fromHex(expected.parsed?.extraData ?? ''), at: new Date('2025-09-15T00:00:00Z') }
      return realCase(id, file(hcl_report), collateral, more, expected.hcl?.report_type === 4 ? 'reject' : 'accept')
    })
}

function realCase(
  id: string,
  input: Uint8Array,
  collateral: readonly Uint8Array[],
  more: Omit<Partial<VerifyOptions>, 'collateral' | 'cache'>,
  want: 'accept' | 'reject',
): EvidenceCase {
  const options = { collateral, trustAnchors: [], at: new Date('2021-09-15T00:00:00Z'), allowUnknown: ['revocation' as const], ...more }
  return {
    id,
    input,
    options,
    check: ({ decision }) => {
      expect(decision).toBe(want)
      return decision
    },
  }
}
