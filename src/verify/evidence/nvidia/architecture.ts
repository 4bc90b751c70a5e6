import type { Certificate } from '../../formats/x509.ts'
import type { DeviceKind } from './layout.ts'

export type Architecture = 'HOPPER' | 'BLACKWELL' | 'LS10'

/** A class of devices as NVIDIA's certificates name it. */
export interface DeviceClass {
  readonly architecture: Architecture
  readonly kind: DeviceKind
  /** `product` of its reference manifests. */
  readonly product: string
  /** Common names of the certificates from the leaf to the one below the root. */
  readonly names: readonly RegExp[]
  /** First byte of the BROM certificate's serial number; the PDI follows. */
  readonly serialPrefix: string
}

const gpu = (chip: string): readonly RegExp[] => [
  new RegExp(`^${chip} [A-Z]\\d\\d GSP FMC LF$`),
  new RegExp(`^${chip} [A-Z]\\d\\d GSP BROM$`),
  new RegExp(`^NVIDIA ${chip} Provisioner ICA \\d{1,5}$`),
  new RegExp(`^NVIDIA ${chip} Identity$`),
]

/** As read in genuine chains (Hopper, Blackwell, LS10); the switch stands under the identity authority of its Hopper system. */
const CLASSES: readonly DeviceClass[] = [
  { architecture: 'HOPPER', kind: 'gpu', product: 'GH100', names: gpu('GH100'), serialPrefix: '41' },
  { architecture: 'BLACKWELL', kind: 'gpu', product: 'GB100', names: gpu('GB100'), serialPrefix: '41' },
  {
    architecture: 'LS10',
    kind: 'switch',
    product: 'LS10',
    names: [
      /^LS_10 [A-Z]\d\d FSP FMC LF$/,
      /^LS_10 [A-Z]\d\d FSP BROM$/,
      /^NVIDIA LS_10 Provisioner ICA \d{1,5}$/,
      /^NVIDIA (GH100|LS_10) Identity$/,
    ],
    serialPrefix: '50',
  },
]

/** The one class whose every name these certificates have; null when there is none. */
export function classOf(certificates: readonly Certificate[]): DeviceClass | null {
  return CLASSES.find(({ names }) => names.every((name, i) => name.test(certificates[i]?.subject.commonName ?? ''))) ?? null
}

/** True for a leaf or the certificate above it, of any class. */
export function isDeviceCertificate({ subject }: Certificate): boolean {
  return CLASSES.some(({ names }) => names.slice(0, 2).some((name) => name.test(subject.commonName ?? '')))
}
