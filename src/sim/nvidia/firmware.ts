import { randomBytes } from 'node:crypto'
import { concat, utf8 } from '../../verify/bytes/bytes.ts'
import { GPU_LINK_SLOTS, MODES, type Mode, OPAQUE, type OpaqueName, STATUS } from '../../verify/evidence/nvidia/layout.ts'
import { digest } from '../keys.ts'
import { u16 } from '../little-endian.ts'
import { ARCHITECTURES, type Architecture } from './architectures.ts'
import type { SimulatedDevice } from './device.ts'
import { cText, type DeviceReportFields, type MeasurementBlock, type OpaqueField } from './report.ts'
import type { RimFields, RimMeasurement } from './rim.ts'

/** What a device runs and says about itself. */
export interface Firmware {
  readonly driver: string
  readonly bios: string
  readonly project: string
  readonly projectSku: string
  readonly chipSku: string
  /** Whether the first video decoder is on: else its measurement does not count. */
  readonly nvdec0: boolean
}

const NAMES = { project: 'S100', projectSku: '0200', chipSku: '900', nvdec0: true } as const

/** Versions that no NVIDIA product has. */
export const FIRMWARE: Readonly<Record<Architecture, Firmware>> = {
  GH100: { ...NAMES, driver: '599.10.01', bios: '96.00.FE.00.01' },
  GB100: { ...NAMES, driver: '599.20.02', bios: '97.00.FE.00.02' },
  LS10: { ...NAMES, driver: '', bios: '96.10.FE.00.03' },
}

const YES = Uint8Array.of(STATUS.enabled)
const NO = Uint8Array.of(STATUS.disabled)

/** The one good value of a measurement: a digest of what it is of. */
export function goldenValue(architecture: Architecture, version: string, index: number): Uint8Array {
  return digest('sha384', utf8(`SIMULATED ${architecture} ${version} ${index}`))
}

/** Measurements of a device that runs this and nothing else; what no manifest speaks of is zero. */
export function measure(architecture: Architecture, { driver, bios }: Firmware): readonly MeasurementBlock[] {
  const { blocks, driverIndices, biosIndices } = ARCHITECTURES[architecture]
  return Array.from({ length: blocks }, (_, i) => {
    const version = driverIndices.includes(i) ? driver : biosIndices.includes(i) ? bios : null
    return { index: i + 1, value: version === null ? new Uint8Array(48) : goldenValue(architecture, version, i) }
  })
}

/** Manifest of a driver. */
export function driverRim(architecture: Architecture, { driver }: Firmware): RimFields {
  return rimOf(architecture, driver, ARCHITECTURES[architecture].driverIndices)
}

/** Manifest of a GPU's or switch's firmware. */
export function biosRim(architecture: Architecture, { bios }: Firmware): RimFields {
  return rimOf(architecture, bios, ARCHITECTURES[architecture].biosIndices)
}

function rimOf(architecture: Architecture, colloquialVersion: string, active: readonly number[]): RimFields {
  const { type, blocks } = ARCHITECTURES[architecture]
  const measurements = Array.from({ length: blocks }, (_, index): RimMeasurement => {
    const value = active.includes(index) ? goldenValue(architecture, colloquialVersion, index) : new Uint8Array(48)
    return { index, active: active.includes(index), alternatives: [value] }
  })
  return { product: architecture, edition: type === 'gpu' ? 'GPU' : 'SWITCH', colloquialVersion, measurements }
}

/** A report's fields as the device would fill them. @param peers - PDIs of the devices at the other end of its links. */
export function reportFields(
  device: Pick<SimulatedDevice, 'architecture' | 'pdi' | 'fwid'>,
  nonce: Uint8Array,
  mode: Mode,
  peers: readonly Uint8Array[],
  firmware: Firmware = FIRMWARE[device.architecture],
): DeviceReportFields {
  const { architecture } = device
  return {
    nonce,
    responderNonce: new Uint8Array(randomBytes(32)),
    blocks: measure(architecture, firmware),
    opaque: architecture === 'LS10' ? switchFields(device, firmware, peers) : gpuFields(device, firmware, mode, peers),
  }
}

function gpuFields(
  device: Pick<SimulatedDevice, 'architecture' | 'fwid'>,
  firmware: Firmware,
  mode: Mode,
  switches: readonly Uint8Array[],
): readonly OpaqueField[] {
  const { driver, bios, project, projectSku, chipSku, nvdec0 } = firmware
  const common = [
    field('vbiosVersion', encodeVersion(bios)),
    field('boardId', Uint8Array.of(0xb1, 3, 0, 0)),
    field('chipSku', concat(cText(chipSku), new Uint8Array(8 - chipSku.length))),
    field('chipSkuMod', concat(cText('0'), new Uint8Array(3))),
    field('project', cText(project)),
    field('projectSku', cText(projectSku)),
    field('projectSkuMod', new Uint8Array(2)),
    field('driverVersion', cText(driver)),
    field('gpuInfo', Uint8Array.of(0x80, 1, 0, 0, 0, 0, 0, 0)),
    field('msrscnt', new Uint8Array(256)),
    field('cprinfo', Uint8Array.of(0, 0xc0, 1, 0)),
    field('nvdec0Status', nvdec0 ? YES : NO),
    field('fwid', device.fwid),
  ]
  const hopper = [
    field('protectedPcieStatus', mode === 'PPCIE' ? YES : NO),
    ...(mode === 'PPCIE' ? [field('switchPdi', concat(...linksTo(switches)))] : []),
  ]
  const blackwell = [field('sysEnableStatus', Uint8Array.of(7, 7)), field('chipInfo', cText(device.architecture))]
  return [
    ...common,
    ...(device.architecture === 'GH100' ? hopper : blackwell),
    field('opaqueDataVersion', u16(1)),
    field('featureFlag', u16(MODES.indexOf(mode))),
  ]
}

function switchFields(device: Pick<SimulatedDevice, 'pdi'>, { bios }: Firmware, gpus: readonly Uint8Array[]): readonly OpaqueField[] {
  return [
    field('vbiosVersion', utf8(bios)),
    field('switchPdi', device.pdi),
    field('msrscnt', new Uint8Array(4 * 27)),
    field('switchGpuPdis', concat(...gpus, new Uint8Array(128 - 8 * gpus.length).fill(0xff))),
    field('floorsweptPorts', Uint8Array.of(0xec, 0)),
    field('positionId', new Uint8Array(2)),
    field('lockSwitchStatus', u16(1)),
  ]
}

/** A GPU writes the PDIs of its switches back to front, one for each link. */
function linksTo(switches: readonly Uint8Array[]): readonly Uint8Array[] {
  return Array.from({ length: GPU_LINK_SLOTS }, (_, link) => switches[link % switches.length]?.slice().reverse() ?? new Uint8Array(8))
}

/** `96.00.9F.00.01`: four bytes, little-endian, and one; three more are zero. */
function encodeVersion(bios: string): Uint8Array {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = bios.split('.').map((part) => Number.parseInt(part, 16))
  return Uint8Array.of(d, c, b, a, e, 0, 0, 0)
}

function field(name: OpaqueName, value: Uint8Array): OpaqueField {
  return { type: OPAQUE[name], value }
}
