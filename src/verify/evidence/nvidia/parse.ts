import { isZero, toHex } from '../../bytes/bytes.ts'
import { FieldReader } from '../../bytes/field-reader.ts'
import { AttestError } from '../../errors.ts'
import {
  BLOCK,
  BLOCK_SIZE,
  type DeviceKind,
  DIGEST_SIZE,
  GPU_LINK_SLOTS,
  MAX_BLOCKS,
  MAX_REPORT_SIZE,
  type Mode,
  NONCE_SIZE,
  PDI_SIZE,
  REQUEST_SIZE,
  SIGNATURE_SIZE,
  SPDM,
  SWITCH_GPU_SLOTS,
} from './layout.ts'
import { OpaqueData } from './opaque.ts'

const AT = 'nvidia.report'
const PORTS_SIZE = 64

/** An SPDM request with its response. Nothing about it is trusted yet. */
export interface DeviceReport {
  readonly raw: Uint8Array
  /** Every byte before the signature: what is signed. */
  readonly signed: Uint8Array
  /** r‖s, big-endian. */
  readonly signature: Uint8Array
  readonly requestNonce: Uint8Array
  readonly responderNonce: Uint8Array
  /** SHA-384 values; measurement block i+1 is at i. */
  readonly measurements: readonly Uint8Array[]
  readonly measurementRecordLength: number
  readonly opaqueLength: number
  readonly opaque: OpaqueData
  readonly device: GpuFields | SwitchFields
}

/** What the opaque fields of a GPU say. */
export interface GpuFields {
  readonly kind: 'gpu'
  readonly driverVersion: string
  readonly vbiosVersion: string
  readonly project: string
  readonly projectSku: string
  readonly chipSku: string
  readonly chipInfo: string | null
  readonly nvdec0Status: 'enabled' | 'disabled' | null
  readonly protectedPcieStatus: 'enabled' | 'disabled' | null
  readonly fwid: Uint8Array | null
  readonly mode: Mode
  /** Distinct PDIs of switches, hexadecimal, in the byte order of the switch, sorted; empty where there are none. */
  readonly switchPdis: readonly string[]
}

/** What the opaque fields of a switch say. */
export interface SwitchFields {
  readonly kind: 'switch'
  readonly biosVersion: string
  readonly devicePdi: string
  /** Hexadecimal, as listed; null where it lists none, which completes no system. */
  readonly gpuPdis: readonly string[] | null
  readonly fwid: Uint8Array | null
}

/** True for bytes that begin like the request and response that NVIDIA devices sign. */
export function looksLikeDeviceReport(bytes: Uint8Array): boolean {
  const wants = [SPDM.version, SPDM.getMeasurements, SPDM.signatureRequested, SPDM.allMeasurements]
  return (
    wants.every((byte, i) => bytes[i] === byte) && bytes[REQUEST_SIZE] === SPDM.version && bytes[REQUEST_SIZE + 1] === SPDM.measurements
  )
}

/** A guess by the number of blocks, for choosing the verifier; that one reads the fields. */
export function guessKind(bytes: Uint8Array): DeviceKind {
  return (bytes[REQUEST_SIZE + 4] ?? 0) > MAX_BLOCKS / 2 ? 'gpu' : 'switch'
}

/**
 * Reads a report front to back: GET_MEASUREMENTS ‖ MEASUREMENTS, integers little-endian.
 * @param input - As NVML hands it out, exactly: real tools take the last 96 bytes for the signature, others what stands at its place.
 * @throws AttestError `EVIDENCE_TRUNCATED`, `EVIDENCE_TRAILING`, `EVIDENCE_UNSUPPORTED`, `EVIDENCE_RESERVED_NONZERO`.
 * @see DMTF DSP0274 1.1.0 sections 10.11.1 and 10.11.2; NVIDIA/attestation-sdk for the opaque fields.
 */
export function parseDeviceReport(input: Uint8Array): DeviceReport {
  if (input.length > MAX_REPORT_SIZE) throw new AttestError('EVIDENCE_TRAILING', `larger than ${MAX_REPORT_SIZE} bytes`, { at: AT })
  const raw = input.slice()
  const r = new FieldReader(AT, raw, raw.length)
  want(r, SPDM.version, 'SPDMVersion')
  want(r, SPDM.getMeasurements, 'RequestResponseCode')
  want(r, SPDM.signatureRequested, 'Param1')
  want(r, SPDM.allMeasurements, 'Param2')
  const requestNonce = r.at(4).bytes(NONCE_SIZE) // Nonce
  want(r.at(36), SPDM.slot, 'SlotIDParam')
  want(r.at(REQUEST_SIZE), SPDM.version, 'SPDMVersion')
  want(r, SPDM.measurements, 'RequestResponseCode')
  want(r, 0, 'Param1')
  want(r, SPDM.slot, 'Param2')
  const numberOfBlocks = r.at(41).u8() // NumberOfBlocks
  const measurementRecordLength = r.u16le() + 0x1_0000 * r.u8() // MeasurementRecordLength
  const measurements = readBlocks(r, numberOfBlocks, measurementRecordLength)
  const responderNonce = r.bytes(NONCE_SIZE)
  const opaqueLength = r.u16le()
  const opaque = new OpaqueData(r.bytes(opaqueLength))
  const signed = raw.subarray(0, r.cursor)
  const signature = r.bytes(SIGNATURE_SIZE)
  if (r.cursor !== raw.length) throw new AttestError('EVIDENCE_TRAILING', `${raw.length} bytes, want ${r.cursor}`, { at: AT })
  const device = opaque.has('driverVersion') ? readGpu(opaque) : readSwitch(opaque)
  return {
    raw,
    signed,
    signature,
    requestNonce,
    responderNonce,
    measurements,
    measurementRecordLength,
    opaqueLength,
    opaque,
    device,
  }
}

function readBlocks(r: FieldReader, count: number, length: number): readonly Uint8Array[] {
  const fits = count >= 1 && count <= MAX_BLOCKS && length === count * BLOCK_SIZE
  if (!fits) throw new AttestError('EVIDENCE_UNSUPPORTED', `${count} blocks in ${length} bytes`, { at: r.place(41) })
  const measurements: Uint8Array[] = []
  for (let i = 1; i <= count; i++) {
    want(r, i, 'Index')
    want(r, BLOCK.specification, 'MeasurementSpecification')
    wantU16(r, BLOCK_SIZE - 4, 'MeasurementSize')
    want(r, BLOCK.valueType, 'DMTFSpecMeasurementValueType')
    wantU16(r, DIGEST_SIZE, 'DMTFSpecMeasurementValueSize')
    measurements.push(r.bytes(DIGEST_SIZE))
  }
  return measurements
}

function want(r: FieldReader, value: number, name: string): void {
  const offset = r.cursor
  assertIs(r, offset, r.u8(), value, name)
}

function wantU16(r: FieldReader, value: number, name: string): void {
  const offset = r.cursor
  assertIs(r, offset, r.u16le(), value, name)
}

function assertIs(r: FieldReader, offset: number, got: number, value: number, name: string): void {
  if (got !== value) throw new AttestError('EVIDENCE_UNSUPPORTED', `${name} is ${got}, want ${value}`, { at: r.place(offset) })
}

function readGpu(opaque: OpaqueData): GpuFields {
  return {
    kind: 'gpu',
    driverVersion: opaque.text('driverVersion'),
    vbiosVersion: vbiosText(opaque.bytes('vbiosVersion', 8)),
    project: opaque.text('project'),
    projectSku: opaque.text('projectSku'),
    chipSku: opaque.text('chipSku'),
    chipInfo: opaque.optionalText('chipInfo'),
    nvdec0Status: opaque.status('nvdec0Status'),
    protectedPcieStatus: opaque.status('protectedPcieStatus'),
    fwid: opaque.optionalBytes('fwid', DIGEST_SIZE),
    mode: opaque.mode(),
    switchPdis: linkedSwitches(opaque.optionalBytes('switchPdi', GPU_LINK_SLOTS * PDI_SIZE)),
  }
}

/** u32 little-endian as four dotted bytes, then byte 4: `00 9f 00 96 01` is 96.00.9F.00.01. The other three are not shown. */
function vbiosText(bytes: Uint8Array): string {
  const [b0 = 0, b1 = 0, b2 = 0, b3 = 0, b4 = 0] = bytes
  return toHex(Uint8Array.of(b3, b2, b1, b0, b4))
    .toUpperCase()
    .replace(/..(?=.)/g, '$&.')
}

/** One slot per NVLink; a link without a switch is zero. The bytes stand in the reverse order of the switch's own PDI. */
function linkedSwitches(slots: Uint8Array | null): readonly string[] {
  if (slots === null) return []
  const linked = pieces(slots, PDI_SIZE).filter((pdi) => !isZero(pdi))
  return [...new Set(linked.map((pdi) => toHex(pdi.toReversed())))].sort()
}

function readSwitch(opaque: OpaqueData): SwitchFields {
  const gpus = opaque.optionalBytes('switchGpuPdis', SWITCH_GPU_SLOTS * PDI_SIZE + PORTS_SIZE)
  return {
    kind: 'switch',
    biosVersion: opaque.text('vbiosVersion'),
    devicePdi: toHex(opaque.bytes('switchPdi', PDI_SIZE)),
    gpuPdis: gpus === null ? null : pieces(gpus.subarray(0, SWITCH_GPU_SLOTS * PDI_SIZE), PDI_SIZE).map(toHex),
    fwid: opaque.optionalBytes('fwid', DIGEST_SIZE),
  }
}

function pieces(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}
