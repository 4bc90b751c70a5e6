import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../../src/verify/errors.ts'
import { describeDevice } from '../../../../../src/verify/evidence/nvidia/claims.ts'
import { guessKind, looksLikeDeviceReport, parseDeviceReport } from '../../../../../src/verify/evidence/nvidia/parse.ts'
import { type Field, gpuFields, makeReport, switchFields } from '../../../../support/nvidia-report.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

const report = makeReport()
const set = (at: number, value: number): Uint8Array => report.map((b, i) => (i === at ? value : b))
const withFields =
  (...change: Field[]): (() => unknown) =>
  () =>
    parseDeviceReport(makeReport({ fields: gpuFields(change) }))

describe('an SPDM report', () => {
  it('of a GPU is read in every field', () => {
    const parsed = parseDeviceReport(report)
    expect(parsed.device).toMatchObject({
      kind: 'gpu',
      driverVersion: '550.90.07',
      vbiosVersion: '96.00.9F.00.01',
      project: '1010',
      projectSku: '0200',
      chipSku: '882',
      chipInfo: null,
      nvdec0Status: 'disabled',
      protectedPcieStatus: 'disabled',
      mode: 'SPT',
      switchPdis: [],
    })
    expect(parsed.measurements.map((m) => m[0])).toEqual(Array.from({ length: 64 }, (_, i) => i))
    expect(toHex(concat(parsed.signed, parsed.signature))).toBe(toHex(report))
    expect(
      describeDevice(parsed, {
        chain: null,
        rims: [],
        comparison: { compared: [], mismatches: [], conflicts: [], skipped: [] },
        answers: [],
      }),
    ).toMatchObject({
      driverRimId: 'NV_GPU_DRIVER_GH100_550.90.07',
      vbiosRimId: 'NV_GPU_VBIOS_1010_0200_882_96009F0001',
      nvdec0Status: '55',
    })
  })

  it('of a switch names itself and its GPUs', () => {
    const gpus = Array.from({ length: 8 }, (_, i) => `0${i}`.repeat(8))
    const bytes = makeReport({
      measurements: Array.from({ length: 31 }, () => new Uint8Array(48)),
      fields: switchFields('ab'.repeat(8), gpus),
    })
    expect(parseDeviceReport(bytes).device).toEqual({
      kind: 'switch',
      biosVersion: '96.10.55.00.01',
      devicePdi: 'ab'.repeat(8),
      gpuPdis: gpus,
      fwid: null,
    })
    expect([guessKind(bytes), guessKind(report), looksLikeDeviceReport(bytes)]).toEqual(['switch', 'gpu', true])
  })

  it('lists the switches of its links once, in their own byte order', () => {
    const links = concat(fromHex('0102030405060708'), fromHex('0102030405060708'), fromHex('1112131415161718'), new Uint8Array(15 * 8))
    expect(parseDeviceReport(makeReport({ fields: gpuFields([[22, links]]) })).device).toMatchObject({
      switchPdis: ['0807060504030201', '1817161514131211'],
    })
  })

  it.each([
    ['SPDM 1.2 in the request', set(0, 0x12)],
    ['another request', set(1, 0xe1)],
    ['a request without signature', set(2, 0)],
    ['a request for one measurement', set(3, 1)],
    ['another slot', set(36, 1)],
    ['SPDM 1.2 in the response', set(37, 0x12)],
    ['another response', set(38, 0x7f)],
    ['63 blocks in the room of 64', set(41, 63)],
    ['no blocks', set(41, 0)],
    ['an index twice', set(45 + 55, 1)],
    ['a block that is not of the DMTF', set(46, 2)],
    ['a block of another size', set(47, 50)],
    ['a raw measurement', set(49, 0x81)],
    ['a value of another size', set(50, 47)],
  ])('with %s is refused', async (_, bytes) => {
    expect(await outcomeOf(() => parseDeviceReport(bytes))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it.each([
    ['a driver version that climbs out of a folder', withFields([3, utf8('../../x\0')])],
    ['a driver version with text after its end', withFields([3, utf8('550\0.90')])],
    ['a driver version of 33 characters', withFields([3, utf8('5'.repeat(33))])],
    ['a vBIOS version of another size', withFields([6, new Uint8Array(7)])],
    ['an NVDEC0 status that is neither on nor off', withFields([11, Uint8Array.of(0)])],
    ['a firmware id of another hash', withFields([20, new Uint8Array(32)])],
    ['a mode that nobody knows', withFields([36, Uint8Array.of(3, 0)])],
    ['protected PCIe in mode SPT', withFields([21, Uint8Array.of(0xaa)], [36, Uint8Array.of(0, 0)])],
    ['an opaque field twice', () => parseDeviceReport(makeReport({ fields: [...gpuFields(), [3, utf8('1')]] }))],
  ])('with %s is refused', async (_, parse) => {
    expect(await outcomeOf(parse)).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('takes protected PCIe from either field, and MPT from the flag', () => {
    const modeOf = (...change: Field[]): unknown =>
      (parseDeviceReport(makeReport({ fields: gpuFields(change) })).device as { mode: string }).mode
    expect([modeOf([21, Uint8Array.of(0xaa)]), modeOf([36, Uint8Array.of(2, 0)]), modeOf([36, Uint8Array.of(1, 0)])]).toEqual([
      'PPCIE',
      'PPCIE',
      'MPT',
    ])
  })

  it('keeps opaque fields that nobody knows apart', () => {
    expect(parseDeviceReport(makeReport({ fields: gpuFields([[40, utf8('?')]]) })).opaque.unknownTypes).toEqual([40])
  })

  it('with a byte too many is refused, also at its very end', async () => {
    expect(await outcomeOf(() => parseDeviceReport(concat(report, Uint8Array.of(0))))).toBe('EVIDENCE_TRAILING')
    expect(await outcomeOf(() => parseDeviceReport(new Uint8Array(0x2001)))).toBe('EVIDENCE_TRAILING')
  })

  it('is refused at every truncation', async () => {
    for (let size = 0; size < report.length; size++)
      expect(await outcomeOf(() => parseDeviceReport(report.subarray(0, size)))).not.toBe('accepted')
  })

  it('fails only with an AttestError, whatever the bytes', () => {
    const parse = (bytes: Uint8Array): void => {
      try {
        parseDeviceReport(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(AttestError)
        expect((error as AttestError).code).not.toBe('INTERNAL')
      }
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 4096 }), parse))
    fc.assert(
      fc.property(fc.nat(report.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => parse(set(at, value))),
      { numRuns: 500 },
    )
  })
})
