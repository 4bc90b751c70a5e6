import { toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { instant } from '../check.ts'
import type { CommonClaims } from '../types.ts'
import type { Architecture } from './architecture.ts'
import type { Comparison } from './compare.ts'
import { type Mode, OPAQUE, SPDM, STATUS } from './layout.ts'
import { opaqueName } from './opaque.ts'
import type { DeviceReport, GpuFields } from './parse.ts'
import type { DeviceFindings } from './verify.ts'

/** One opaque field of a report. */
export interface OpaqueField {
  readonly type: number
  /** Null: of a type that nobody here knows. */
  readonly name: string | null
  readonly hex: string
}

/** An SPDM report as JSON. Byte strings are hexadecimal in the order of the report. */
export interface SpdmFields {
  readonly reportLength: number
  readonly spdmVersion: '1.1'
  readonly request: Readonly<Record<'version' | 'code' | 'param1' | 'param2' | 'slotId', number>> & { readonly nonce: string }
  readonly response: Readonly<
    Record<'version' | 'code' | 'param1' | 'param2' | 'numberOfBlocks' | 'measurementRecordLength' | 'opaqueLength', number>
  > & { readonly responderNonce: string }
  /** Measurement block i+1 is at i. */
  readonly measurements: readonly string[]
  readonly opaqueFields: readonly OpaqueField[]
  readonly opaqueDataVersion: number | null
  readonly signature: string
}

/** What the certificates of a device say. Null without a chain. */
export interface DeviceIdentity {
  readonly arch: Architecture | null
  /** Common name of the BROM certificate. */
  readonly hwmodel: string | null
  /** Decimal serial number of the leaf. */
  readonly ueid: string
  readonly leafSubject: string
  readonly leafSerial: string
  readonly bromSerial: string | null
  /** Device id in the BROM certificate's serial number. */
  readonly pdi: string | null
  readonly fwidOid: string | null
  readonly fwidInLeafCert: string | null
}

/** What a GPU reports beside its measurements. */
export interface GpuParsed {
  readonly driverVersion: string
  readonly vbiosVersion: string
  readonly project: string
  readonly projectSku: string
  readonly chipSku: string
  readonly chipInfo: string | null
  readonly nvdec0Status: string | null
  readonly protectedPcieStatus: string | null
  readonly featureFlag: Mode | null
  /** FEATURE_FLAG, or what stands in its place in older reports. */
  readonly mode: Mode
  readonly switchPdis: readonly string[]
  readonly driverRimId: string
  readonly vbiosRimId: string
}

/** What a switch reports beside its measurements. */
export interface SwitchParsed {
  readonly biosVersion: string
  readonly devicePdi: string
  readonly gpuPdis: readonly string[] | null
  readonly positionId: string | null
  readonly lockStatus: string | null
  readonly biosRimId: string
}

/** A manifest that was found for the device. */
export interface RimParsed {
  readonly source: 'driver' | 'vbios' | 'bios'
  readonly sha256: string
  readonly product: string
  readonly colloquialVersion: string
  readonly signer: string | null
  readonly validUntil: string
}

/** What an OCSP responder says of a certificate, where its answer is current. */
export interface OcspParsed {
  readonly certificate: string
  readonly serial: string
  readonly status: 'good' | 'revoked' | 'unknown'
  readonly reason: number | null
  readonly thisUpdate: string
  readonly nextUpdate: string | null
}

/** What was read of one device, verified or not. */
export interface DeviceParsed extends SpdmFields, Partial<GpuParsed>, Partial<SwitchParsed> {
  readonly kind: 'gpu' | 'switch'
  readonly fwidInReport: string | null
  readonly identity: DeviceIdentity | null
  readonly rims: readonly RimParsed[]
  readonly comparison: Comparison
  readonly ocsp: readonly OcspParsed[]
}

/** What is proven of one device. `measurement` is null: its measurements are compared with the vendor's manifests. */
export interface DeviceClaims extends CommonClaims, DeviceParsed {
  readonly tee: 'nvidia-gpu' | 'nvidia-switch'
}

export function describeDevice(report: DeviceReport, { chain, rims, comparison, answers }: DeviceFindings): DeviceParsed {
  const { device } = report
  return {
    kind: device.kind,
    ...describeSpdm(report),
    ...(device.kind === 'gpu' ? describeGpu(report, device, chain?.class?.architecture ?? null) : describeSwitch(report)),
    fwidInReport: hexOrNull(device.fwid),
    identity: chain === null ? null : describeIdentity(chain),
    rims: rims.map(({ source, facts: { rim, path } }) => ({
      source,
      sha256: rim.sha256,
      product: rim.product,
      colloquialVersion: rim.colloquialVersion,
      signer: rim.chain[0]?.subject.text ?? null,
      validUntil: instant(path.window.notAfter),
    })),
    comparison,
    ocsp: answers.map(({ certificate, response }) => ({
      certificate: certificate.subject.text,
      serial: certificate.serial,
      status: response.status,
      reason: response.reason,
      thisUpdate: instant(response.thisUpdate),
      nextUpdate: response.nextUpdate === null ? null : instant(response.nextUpdate),
    })),
  }
}

export function deviceClaims(parsed: DeviceParsed, simulated: boolean): DeviceClaims {
  return {
    tee: parsed.kind === 'gpu' ? 'nvidia-gpu' : 'nvidia-switch',
    measurement: null,
    reportData: parsed.request.nonce,
    debug: false,
    tcbStatus: 'not-applicable',
    simulated,
    ...parsed,
  }
}

function describeSpdm(report: DeviceReport): SpdmFields {
  const { measurements, measurementRecordLength, opaqueLength, opaque } = report
  return {
    reportLength: report.raw.length,
    spdmVersion: '1.1',
    request: {
      version: SPDM.version,
      code: SPDM.getMeasurements,
      param1: SPDM.signatureRequested,
      param2: SPDM.allMeasurements,
      nonce: toHex(report.requestNonce),
      slotId: SPDM.slot,
    },
    response: {
      version: SPDM.version,
      code: SPDM.measurements,
      param1: 0,
      param2: SPDM.slot,
      numberOfBlocks: measurements.length,
      measurementRecordLength,
      responderNonce: toHex(report.responderNonce),
      opaqueLength,
    },
    measurements: measurements.map(toHex),
    opaqueFields: [...opaque.fields].map(([type, value]) => ({ type, name: opaqueName(type), hex: toHex(value) })),
    opaqueDataVersion: opaque.u16('opaqueDataVersion'),
    signature: toHex(report.signature),
  }
}

function describeGpu({ opaque }: DeviceReport, gpu: GpuFields, arch: Architecture | null): GpuParsed {
  const { driverVersion, vbiosVersion, project, projectSku, chipSku, chipInfo, mode, switchPdis } = gpu
  const driver = arch === 'BLACKWELL' ? `NV_GPU_CC_DRIVER_${chipInfo ?? 'GB100'}` : 'NV_GPU_DRIVER_GH100'
  return {
    driverVersion,
    vbiosVersion,
    project,
    projectSku,
    chipSku,
    chipInfo,
    nvdec0Status: statusHex(gpu.nvdec0Status),
    protectedPcieStatus: statusHex(gpu.protectedPcieStatus),
    featureFlag: opaque.has('featureFlag') ? mode : null,
    mode,
    switchPdis,
    driverRimId: `${driver}_${driverVersion}`.toUpperCase(),
    vbiosRimId: `NV_GPU_VBIOS_${project}_${projectSku}_${chipSku}_${vbiosVersion.replaceAll('.', '')}`.toUpperCase(),
  }
}

/** Board of LS10 in the names of its manifests; the report does not say (NVIDIA/nvtrust). */
const SWITCH_BOARD = '5612_0002_890'

function describeSwitch({ opaque, device }: DeviceReport): SwitchParsed {
  const { biosVersion, devicePdi, gpuPdis } = device as Extract<DeviceReport['device'], { kind: 'switch' }>
  return {
    biosVersion,
    devicePdi,
    gpuPdis,
    positionId: hexOrNull(opaque.fields.get(OPAQUE.positionId)),
    lockStatus: hexOrNull(opaque.fields.get(OPAQUE.lockSwitchStatus)),
    biosRimId: `NV_SWITCH_BIOS_${SWITCH_BOARD}_${biosVersion.replaceAll('.', '')}`.toUpperCase(),
  }
}

function describeIdentity({ certificates, class: deviceClass, pdi, fwid }: NonNullable<DeviceFindings['chain']>): DeviceIdentity | null {
  const [leaf, brom] = certificates
  if (leaf === undefined) return null
  const read = fwid instanceof AttestError ? null : fwid
  return {
    arch: deviceClass?.architecture ?? null,
    hwmodel: brom?.subject.commonName ?? null,
    ueid: BigInt(`0x${leaf.serial}`).toString(),
    leafSubject: leaf.subject.text,
    leafSerial: leaf.serial,
    bromSerial: brom?.serial ?? null,
    pdi,
    fwidOid: read?.oid ?? null,
    fwidInLeafCert: hexOrNull(read?.digest),
  }
}

function hexOrNull(bytes: Uint8Array | null | undefined): string | null {
  return bytes === null || bytes === undefined ? null : toHex(bytes)
}

function statusHex(status: keyof typeof STATUS | null): string | null {
  return status === null ? null : toHex(Uint8Array.of(STATUS[status]))
}
