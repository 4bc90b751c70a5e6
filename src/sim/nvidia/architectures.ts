/** GPUs and switches under the names that their certificates and manifests give them: Hopper, Blackwell, NVSwitch. */
export type Architecture = 'GH100' | 'GB100' | 'LS10'

/** What one kind of device has in common. */
export interface ArchitectureFacts {
  readonly type: 'gpu' | 'nvswitch'
  /** Begins the commonName of the device's own certificates. */
  readonly model: string
  /** Names the authority that provisions it. */
  readonly provisioner: string
  /** Identity authority above: switches stand under Hopper's. */
  readonly identity: 'GH100' | 'GB100'
  /** Byte before the device's PDI in the serial number of its BROM certificate. */
  readonly serialPrefix: number
  /** Which extension carries the FWID: TCG's CompositeDeviceID form, or DiceTcbInfo. */
  readonly fwid: 'composite' | 'tcb-info'
  /** Measurement blocks in a report. */
  readonly blocks: number
  /** Indices that each manifest gives golden values for. */
  readonly driverIndices: readonly number[]
  readonly biosIndices: readonly number[]
}

const range = (from: number, to: number): readonly number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

const GPU = {
  type: 'gpu',
  serialPrefix: 0x41,
  blocks: 64,
  driverIndices: [7, ...range(21, 40)],
  biosIndices: [...range(0, 6), ...range(8, 12)],
} as const

export const ARCHITECTURES: Readonly<Record<Architecture, ArchitectureFacts>> = {
  GH100: { ...GPU, model: 'GH100 A01 GSP', provisioner: 'GH100', identity: 'GH100', fwid: 'composite' },
  GB100: { ...GPU, model: 'GB100 A01 GSP', provisioner: 'GB100', identity: 'GB100', fwid: 'tcb-info' },
  LS10: {
    type: 'nvswitch',
    model: 'LS_10 A01 FSP',
    provisioner: 'LS_10',
    identity: 'GH100',
    serialPrefix: 0x50,
    fwid: 'composite',
    blocks: 31,
    driverIndices: [],
    biosIndices: range(0, 30),
  },
}
