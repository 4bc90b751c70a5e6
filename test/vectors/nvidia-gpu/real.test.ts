import { afterAll, describe, expect, it } from 'vitest'
import { fromHex, toBase64, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { endorsementCheck } from '../../../src/verify/endorsements.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import type { DeviceParsed } from '../../../src/verify/evidence/nvidia/claims.ts'
import type { DevicesParsed } from '../../../src/verify/evidence/nvidia/devices.ts'
import { encodeRim } from '../../../src/verify/evidence/nvidia/rim/encode.ts'
import { exitCodeOf, type Group } from '../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { caseOf, cases, type DeviceFiles, type ExpectedParsed, evidenceList, folder, read, troubles, type VectorCase } from './cases.ts'

const cache = createVerifyCache()
const counts = { 'devices verified': 0, 'reports refused': 0, 'parsed values compared': 0, 'devices in sets': 0 }
const EVIDENCE_ONLY: readonly Group[] = ['revocation', 'reference-values']

interface Asked {
  readonly collateral: readonly (string | undefined)[]
  readonly at: string | null
  readonly allow?: readonly Group[]
  readonly nonce?: string
}

function verify(input: Uint8Array, { collateral, at, allow = EVIDENCE_ONLY, nonce }: Asked): Promise<EvidenceVerdict> {
  const more = nonce === undefined ? {} : { nonce: fromHex(nonce) }
  const options = { collateral: collateral.map(read), trustAnchors: [], at: new Date(at ?? 0), allowUnknown: allow, cache }
  return verifyEvidence(input, { ...options, ...more })
}

const verifyReport = (
  { evidence_files: files, verify_at, expected }: VectorCase,
  more: readonly (string | undefined)[] = [],
  allow = EVIDENCE_ONLY,
) => verify(read(files.report), { collateral: [files.cert_chain, ...more], at: verify_at, allow, nonce: expected.expected_nonce })

/** Values of the manifest against ours, by their place. */
function expectParsed(parsed: DeviceParsed, want: ExpectedParsed): void {
  const { request, response } = want as unknown as { request: object; response: Record<string, unknown> }
  const { number_of_blocks, measurement_record_length, responder_nonce, opaque_length } = response
  const { slot_id, ...rest } = request as Record<string, unknown>
  const fields = want.opaque_fields.map(({ type, hex }) => ({ type, hex }))
  expect(parsed).toMatchObject({
    reportLength: want.report_length,
    spdmVersion: want.spdm_version,
    request: { ...rest, slotId: slot_id },
    response: {
      numberOfBlocks: number_of_blocks,
      measurementRecordLength: measurement_record_length,
      responderNonce: responder_nonce,
      opaqueLength: opaque_length,
    },
    opaqueFields: fields,
    identity: {
      leafSubject: String(want.leaf_subject).split(',').reverse().join(),
      hwmodel: want.hwmodel_cert1_cn,
      ueid: want.ueid_leaf_serial_dec,
      bromSerial: want.brom_cert_serial_hex,
      fwidOid: want.fwid_oid,
      fwidInLeafCert: want.fwid_in_leaf_cert,
    },
  })
  const names = {
    driverVersion: want.driver_version,
    vbiosVersion: want.vbios_version,
    project: want.project,
    projectSku: want.project_sku,
    chipSku: want.chip_sku,
    chipInfo: want.chip_info,
    nvdec0Status: want.nvdec0_status,
    protectedPcieStatus: want.protected_pcie_status,
    opaqueDataVersion: want.opaque_data_version,
    featureFlag: want.feature_flag,
    fwidInReport: want.fwid_in_report,
    driverRimId: want.driver_rim_id,
    vbiosRimId: want.vbios_rim_id,
    biosVersion: want.bios_version,
    devicePdi: want.device_pdi,
    gpuPdis: want.gpu_pdis,
    positionId: want.position_id,
    lockStatus: want.lock_status,
    switchPdis: want.switch_pdis,
  }
  const stated = Object.fromEntries(Object.entries(names).filter(([, value]) => value !== undefined))
  expect(parsed).toMatchObject(stated)
  for (const [index, value] of Object.entries(want.first_measurements as Record<string, string>))
    expect(parsed.measurements[Number(index) - 1]).toBe(value)
  counts['parsed values compared'] += Object.keys(stated).length + fields.length + 20
}

const reports = cases.filter((c) => c.kind === 'gpu-report' || c.kind === 'nvswitch-report')

describe.skipIf(folder === null)('real NVIDIA reports', () => {
  it.each(reports)('reads and judges $id as evidence alone', async (vector) => {
    const verdict = await verifyReport(vector)
    const genuine = Object.values(vector.expected.checks ?? {}).every((holds) => holds !== false)
    // An early driver names no firmware id; that is no fault before driver 550.
    expect([verdict.decision, genuine ? [] : troubles(verdict.checks)]).toEqual(
      genuine ? ['accept', []] : ['reject', expect.arrayContaining(['signature.report=fail'])],
    )
    counts[genuine ? 'devices verified' : 'reports refused']++
    if (vector.expected.parsed !== undefined) expectParsed(verdict.parsed as DeviceParsed, vector.expected.parsed)
    const strict = await verifyReport(vector, [], [])
    expect([strict.decision, exitCodeOf(strict.checks)]).toEqual(['reject', genuine ? 6 : 4])
  })

  it('takes the list that NVIDIA tools make, base64 and hexadecimal too', async () => {
    const { evidence_files: files, verify_at } = caseOf('gpu-h100pcie-spt-550.90.07-full')
    const [report, chain] = [read(files.report), read(files.cert_chain)]
    const list = evidenceList([{ report, chain }], 'HOPPER')
    expect((await verify(list, { collateral: [], at: verify_at })).decision).toBe('accept')
    const texts = [utf8(toBase64(report)), utf8(Buffer.from(report).toString('hex'))]
    for (const text of texts) expect((await verify(text, { collateral: [files.cert_chain], at: verify_at })).decision).toBe('accept')
    expect((await verify(report, { collateral: [], at: verify_at })).checks).toContainEqual(
      expect.objectContaining({ rule: 'chain.device', outcome: 'unknown' }),
    )
  })

  it('finds the chain of the device among those of others', async () => {
    const files = reports.map((c) => c.evidence_files)
    const first = caseOf('gpu-h100pcie-spt-550.90.07-full')
    const collateral = files.map((f) => f.cert_chain).reverse()
    expect((await verify(read(first.evidence_files.report), { collateral, at: first.verify_at })).decision).toBe('accept')
  })
})

describe.skipIf(folder === null)('the complete H100 case', () => {
  const vector = cases.find((c) => c.id === 'gpu-h100pcie-spt-550.90.07-full')
  const { driver_rim, vbios_rim, ocsp } = vector?.collateral_files ?? {}
  const everything = [driver_rim, vbios_rim, ...Object.values(ocsp ?? {})]

  it('compares 32 of 32 measurements and has 7 of 7 OCSP answers, each at its time', async () => {
    const good = new Set<string>()
    for (const at of ['2025-08-21T12:00:00Z', '2025-10-24T18:00:00Z']) {
      const { evidence_files: files, expected } = vector as VectorCase
      const collateral = [files.cert_chain, ...everything]
      const verdict = await verify(read(files.report), { collateral, at, allow: ['revocation'], nonce: expected.expected_nonce })
      expect([verdict.decision, troubles(verdict.checks)]).toEqual(['accept', []])
      const { comparison, ocsp: answers } = verdict.parsed as DeviceParsed
      expect([comparison.compared.length, comparison.mismatches, comparison.skipped, comparison.conflicts]).toEqual([32, [], [35], []])
      for (const answer of answers) good.add(`${answer.serial} ${answer.status}`)
      const strict = await verify(read(files.report), { collateral, at, allow: [] })
      expect([strict.decision, exitCodeOf(strict.checks)]).toEqual(['reject', 6])
    }
    expect([...good].filter((answer) => answer.endsWith('good'))).toHaveLength(7)
    console.info('complete H100 case: 32 of 32 measurements equal, 7 of 7 OCSP answers good')
  })

  it('is not complete without a manifest', async () => {
    for (const missing of [driver_rim, vbios_rim]) {
      const verdict = await verifyReport(
        vector as VectorCase,
        everything.filter((path) => path !== missing),
        ['revocation'],
      )
      expect(troubles(verdict.checks)).toEqual([expect.stringMatching(/^reference-values\.(driver|vbios)-rim=unknown$/)])
    }
  })

  it('compares the same with manifests in the one form that endorsements have', async () => {
    const { evidence_files: files, verify_at } = vector as VectorCase
    const given = [driver_rim, vbios_rim].map((path, i) => ({ name: `${i}`, bytes: read(path) }))
    const { rims } = await loadCollateral(given, cache)
    const spelled = rims.map(encodeRim)
    expect(spelled).toHaveLength(2)
    const again = await loadCollateral(
      spelled.map((bytes, i) => ({ name: `${i}`, bytes })),
      cache,
    )
    expect(again.rims.map(encodeRim)).toEqual(spelled)
    const options = { trustAnchors: [], at: new Date(verify_at ?? 0), allowUnknown: ['revocation' as const], cache }
    const verdict = await verifyEvidence(read(files.report), { ...options, collateral: [read(files.cert_chain), ...spelled] })
    expect([verdict.decision, (verdict.parsed as DeviceParsed).comparison.compared.length]).toEqual(['accept', 32])
    const check = await endorsementCheck([...spelled, ...Object.values(ocsp ?? {}).map(read)], [read(files.cert_chain)], cache)
    expect([check.outcome, check.got]).toEqual(['pass', 'all are'])
  })

  it('reads a manifest as the RIM service answers it', async () => {
    const { evidence_files: files, verify_at } = vector as VectorCase
    const answers = [driver_rim, vbios_rim].map((path) => utf8(JSON.stringify({ id: 'x', rim: toBase64(read(path)), rim_format: 'CORIM' })))
    const options = { trustAnchors: [], at: new Date(verify_at ?? 0), allowUnknown: ['revocation' as const], cache }
    const verdict = await verifyEvidence(read(files.report), { ...options, collateral: [read(files.cert_chain), ...answers] })
    expect(verdict.decision).toBe('accept')
  })
})

describe.skipIf(folder === null)('manifests against reports', () => {
  it.each([
    ['gpu-h100pcie-535.86.09-nofwid', ['driver_rim_bad', 'vbios_rim'], ['signature.driver-rim=fail']],
    [
      'gpu-h100-570.124.03-driver-rim-expired',
      ['driver_rim', 'vbios_rim'],
      ['signature.driver-rim=fail', 'validity.driver-rim=fail', 'reference-values.measurements=fail'],
    ],
    ['gpu-h100-580.159.03-parse', ['vbios_rim_stale'], []],
    ['switch-ls10-96.10.55.00.01-full', ['bios_rim_invalid_signature'], ['signature.bios-rim=fail']],
    ['switch-ls10-96.10.55.00.01-full', ['bios_rim_wrong_product'], ['signature.bios-rim=fail', 'reference-values.bios-rim=fail']],
  ])('%s with %j is refused', async (id, names, rules) => {
    const vector = caseOf(id)
    const more = names.map((name) => (vector.collateral_files as Record<string, string>)[name])
    const verdict = await verifyReport(vector, more, ['revocation'])
    expect(verdict.decision).toBe('reject')
    expect(troubles(verdict.checks)).toEqual(expect.arrayContaining(rules))
  })

  it('compares 20 of 20 with the driver manifest, 12 of 12 with that of the vBIOS, 31 of 31 of the switch', async () => {
    const compared: Record<string, number> = {}
    for (const [id, name] of [
      ['gpu-hopper-550.144.03-driver-rim-ok', 'driver_rim'],
      ['gpu-h100pcie-535.86.09-nofwid', 'vbios_rim'],
      ['switch-ls10-96.10.55.00.01-full', 'bios_rim'],
    ] as const) {
      const vector = caseOf(id)
      const at = id.includes('535') ? '2024-08-01T00:00:00Z' : vector.verify_at
      const collateral = [vector.evidence_files.cert_chain, (vector.collateral_files as Record<string, string>)[name]]
      const verdict = await verify(read(vector.evidence_files.report), { collateral, at })
      expect([id, troubles(verdict.checks)]).toEqual([id, []])
      const { comparison } = verdict.parsed as DeviceParsed
      expect(comparison.mismatches).toEqual([])
      compared[id] = comparison.compared.length
    }
    expect(Object.values(compared)).toEqual([20, 12, 31])
  })

  it('names index 9 where a vBIOS manifest is stale, and lets it pass only where it was allowed by name', async () => {
    const { evidence_files: files, collateral_files } = caseOf('gpu-h100-580.159.03-parse')
    const rim = (collateral_files as Record<string, string>).vbios_rim_stale
    const options = { collateral: [read(files.cert_chain), read(rim)], trustAnchors: [], at: new Date('2025-08-01T00:00:00Z'), cache }
    for (const allowedMismatches of [[], [9]]) {
      const more = { allowUnknown: EVIDENCE_ONLY, nvidia: { allowedMismatches } }
      const verdict = await verifyEvidence(read(files.report), { ...options, ...more })
      expect((verdict.parsed as DeviceParsed).comparison.mismatches.map((m) => m.index)).toEqual([9])
      expect(troubles(verdict.checks)).toEqual(allowedMismatches.length === 0 ? ['reference-values.measurements=fail'] : [])
    }
  })
})

const devicesOf = ({ evidence_files: { gpus = [], switches = [] } }: VectorCase): readonly DeviceFiles[] => [...gpus, ...switches]
const listOf = (devices: readonly DeviceFiles[]): Uint8Array =>
  evidenceList(
    devices.map((d) => ({ report: read(d.report), chain: read(d.cert_chain) })),
    'HOPPER',
  )

describe.skipIf(folder === null)('sets of devices', () => {
  it.each(cases.filter((c) => c.kind === 'multi-device'))('$id: $expected.verdict', async (vector) => {
    const verdict = await verify(listOf(devicesOf(vector)), { collateral: [], at: vector.verify_at, nonce: vector.expected.expected_nonce })
    expect(verdict.decision).toBe(vector.expected.verdict === 'pass' ? 'accept' : 'reject')
    const { devices } = verdict.parsed as DevicesParsed
    for (const [i, want] of (vector.expected.devices ?? []).entries()) {
      const device = devices[i]
      if (device !== undefined) expectParsed(device, want.parsed)
      counts['devices in sets']++
    }
    if (verdict.decision === 'accept') {
      expect(new Set(devices.map((d) => d.identity?.pdi)).size).toBe(devices.length)
      expect(verdict.claims).toMatchObject({ simulated: false, reportData: vector.expected.expected_nonce })
    } else expect(troubles(verdict.checks).every((t) => t.startsWith('binding.'))).toBe(true)
  })

  const hgx = cases.find((c) => c.id === 'gpu-h100x8-ppcie-590.12-topology') as VectorCase
  const b200 = cases.find((c) => c.id === 'gpu-b200x8-mpt-590.48.01') as VectorCase
  const attack = async (devices: readonly DeviceFiles[]): Promise<readonly string[]> =>
    troubles((await verify(listOf(devices), { collateral: [], at: hgx.verify_at })).checks)

  it('a GPU shown twice in place of another is refused', async () => {
    const { gpus = [], switches = [] } = hgx.evidence_files
    const rules = await attack([...gpus.slice(0, 7), ...gpus.slice(0, 1), ...switches])
    expect(rules).toEqual(['binding.distinct-devices=fail', 'binding.switch-links=fail'])
  })

  it('seven of eight GPUs are refused, and three of four switches', async () => {
    const { gpus = [], switches = [] } = hgx.evidence_files
    expect(await attack([...gpus.slice(0, 7), ...switches])).toEqual(['binding.device-count=fail'])
    expect(await attack([...gpus, ...switches.slice(0, 3)])).toEqual(['binding.device-count=fail'])
  })

  it('GPUs in protected PCIe mode without any switch are unknown, not good', async () => {
    expect(await attack(hgx.evidence_files.gpus ?? [])).toEqual(['binding.device-count=unknown'])
  })

  it('a switch of another system is refused', async () => {
    const { gpus = [], switches = [] } = hgx.evidence_files
    const [other] = caseOf('switch-ls10x4-duplicated-report').evidence_files.switches ?? []
    expect(await attack([...gpus, ...(other === undefined ? [] : [other]), ...switches.slice(1)])).toEqual([
      'binding.gpu-links=fail',
      'binding.switch-links=fail',
    ])
  })

  it('GPUs of two modes in one set are refused', async () => {
    const mixed = [...(b200.evidence_files.gpus ?? []), ...(hgx.evidence_files.gpus ?? []).slice(0, 1)]
    expect(await attack(mixed)).toContain('policy.one-mode=fail')
  })

  it('every device of every set is also good by itself', async () => {
    for (const vector of cases.filter((c) => c.kind === 'multi-device')) {
      for (const device of devicesOf(vector)) {
        const verdict = await verify(read(device.report), { collateral: [device.cert_chain], at: vector.verify_at })
        expect([device.report, verdict.decision, verdict.notChecked.includes('topology')]).toEqual([device.report, 'accept', true])
        counts['devices verified']++
      }
    }
  })
})

describe.skipIf(folder === null)('GPU evidence in what providers publish', () => {
  it.each(cases.filter((c) => c.kind === 'composite-cpu-gpu'))('$id: every report verifies', async (vector) => {
    const json = JSON.parse(new TextDecoder().decode(read(vector.evidence_files.attestation_response))) as unknown
    const found = deviceLists(json)
    expect(found.length).toBeGreaterThan(0)
    for (const list of found) {
      const verdict = await verify(utf8(JSON.stringify({ evidence_list: list })), { collateral: [], at: vector.verify_at })
      const rules = troubles(verdict.checks)
      // Eight GPUs in protected PCIe mode, and nobody shows the switches.
      expect(rules).toEqual(list.length === 8 ? ['binding.device-count=unknown'] : [])
      counts['devices verified'] += list.length
    }
  })
})

/** Lists of `{evidence, certificate}` anywhere in a document, also in JSON inside of its texts. */
function deviceLists(value: unknown): readonly (readonly unknown[])[] {
  if (typeof value === 'string') return value.startsWith('{"') ? deviceLists(JSON.parse(value)) : []
  if (typeof value !== 'object' || value === null) return []
  const isDevice = (item: unknown): boolean =>
    typeof item === 'object' && item !== null && 'evidence' in item && 'certificate' in item && 'arch' in item
  if (Array.isArray(value) && value.some(isDevice)) return [value]
  return Object.values(value).flatMap(deviceLists)
}

afterAll(() => console.table({ ...counts, reports: reports.length }))
