import { randomBytes } from 'node:crypto'
import type { Extension } from '@peculiar/x509'
import { concat, toHex, utf8 } from '../../verify/bytes/bytes.ts'
import { authorityExtensions, extension, USAGE } from '../certificates.ts'
import { der } from '../der.ts'
import { digest, generateEcKey, spkiOf } from '../keys.ts'
import { encodePem } from '../pem.ts'
import { ARCHITECTURES, type Architecture } from './architectures.ts'
import { issueNvidia, type NamedKey, NO_END, nameOf, type SimulatedNvidia } from './authority.ts'

/** One simulated GPU or switch: its two keys and the certificates above them. */
export interface SimulatedDevice {
  readonly architecture: Architecture
  /** Public device identity, 8 bytes. */
  readonly pdi: Uint8Array
  /** Digest of the firmware that holds the signing key, 48 bytes. */
  readonly fwid: Uint8Array
  /** Signs reports. */
  readonly leaf: NamedKey
  /** Signs the leaf; its serial number holds the PDI. */
  readonly brom: NamedKey
  /** Leaf first: signer, BROM, provisioner, identity, root. DER. */
  readonly chain: readonly Uint8Array[]
}

export interface DeviceOptions {
  readonly pdi?: Uint8Array
  readonly fwid?: Uint8Array
  /** FWID extension of the leaf; null leaves it out. Default: as the architecture has it, for `fwid`. */
  readonly fwidExtension?: Extension | null
}

const SHA384 = der.oid('2.16.840.1.101.3.4.2.2')
const OID_FWID = '2.23.133.5.4.1'
const OID_TCB_INFO = '2.23.133.5.4.1.1'

/** Makes a device and its certificates, which never expire. */
export async function createSimulatedDevice(
  nvidia: SimulatedNvidia,
  architecture: Architecture,
  options: DeviceOptions = {},
): Promise<SimulatedDevice> {
  const { model, serialPrefix, identity } = ARCHITECTURES[architecture]
  const pdi = options.pdi ?? new Uint8Array(randomBytes(8))
  const fwid = options.fwid ?? digest('sha384', utf8(`SIMULATED ${architecture} FMC`))
  const provisioner = nvidia.provisioners[architecture]
  const window = { notBefore: nvidia.createdAt, notAfter: NO_END }
  const bromSerial = toHex(concat(Uint8Array.of(serialPrefix), pdi))
  const bromFields = { name: nameOf(`${model} BROM`, bromSerial.toUpperCase()), serial: bromSerial, extensions: BROM, ...window }
  const brom = await issueNvidia(bromFields, generateEcKey('P-384'), provisioner)
  const key = generateEcKey('P-384')
  const serial = toHex(concat(Uint8Array.of(0x53), digest('sha256', spkiOf(key)).slice(0, 19)))
  const own = options.fwidExtension === undefined ? fwidExtension(architecture, fwid, spkiOf(key)) : options.fwidExtension
  const extensions = own === null ? LEAF : [...LEAF, own]
  const leaf = await issueNvidia({ name: nameOf(`${model} FMC LF`, serial.toUpperCase()), serial, extensions, ...window }, key, brom)
  const above = [provisioner, nvidia.identities[identity], nvidia.deviceRoot]
  return { architecture, pdi, fwid, leaf, brom, chain: [leaf, brom, ...above].map(({ certificate }) => certificate) }
}

const BROM = authorityExtensions(USAGE.certSign, null)
const LEAF: readonly Extension[] = [extension('2.5.29.15', der.bits(Uint8Array.of(0x80)), true)]

/**
 * FWID of the leaf: CompositeDeviceID of TCG's DICE certificate profile 1.0 on Hopper and its switches, DiceTcbInfo (DICE
 * attestation architecture 1.1, section 6.1.1) on Blackwell, where a second FWID is all zero.
 */
export function fwidExtension(architecture: Architecture, fwid: Uint8Array, spki: Uint8Array): Extension {
  const id = (value: Uint8Array): Uint8Array => der.sequence(SHA384, der.octets(value))
  if (ARCHITECTURES[architecture].fwid === 'composite') return extension(OID_FWID, der.sequence(der.integer(1), spki, id(fwid)))
  const info = der.sequence(
    der.implicit(0, utf8('SIMULATED')),
    der.implicit(1, utf8(ARCHITECTURES[architecture].model)),
    der.implicit(2, utf8('01')),
    der.implicit(3, Uint8Array.of(1)),
    der.implicit(4, Uint8Array.of(0)),
    der.implicit(5, Uint8Array.of(0)),
    der.tagged(6, id(fwid), id(new Uint8Array(48))),
    der.implicit(7, Uint8Array.of(0, 0x80, 0, 0, 0)),
    der.implicit(8, Uint8Array.of(0xc0)),
    der.implicit(9, Uint8Array.of(0)),
  )
  return extension(OID_TCB_INFO, info)
}

/** A chain as NVML hands it out: PEM, leaf first. */
export function encodeChain(chain: readonly Uint8Array[]): Uint8Array {
  return utf8(chain.map((certificate) => encodePem(certificate)).join(''))
}
