import { toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { assertDer, DerReader, TAG } from '../../formats/der.ts'
import type { Certificate } from '../../formats/x509.ts'
import { COMPONENTS } from './layout.ts'

/** What a PCK certificate says of its platform. */
export interface PckExtension {
  /** Hexadecimal, lower case. */
  readonly ppid: string
  /** 16 component SVNs: what levels are matched with. */
  readonly sgx: Uint8Array
  readonly pceSvn: number
  readonly cpuSvn: string
  readonly pceId: string
  readonly fmspc: string
  /** 0 standard, 1 scalable, 2 scalable with integrity. */
  readonly sgxType: number
  /** Multi-package platforms only. */
  readonly platformInstanceId: string | null
  readonly configuration: PckConfiguration | null
}

export interface PckConfiguration {
  readonly dynamicPlatform: boolean | null
  readonly cachedKeys: boolean | null
  readonly smtEnabled: boolean | null
}

/** Intel SGX PCK Certificate and CRL Profile, section 1.3.5: the arc of the extension and of its members. */
export const OID_SGX_EXTENSION = '1.2.840.113741.1.13.1'
const oid = (path: string): string => `${OID_SGX_EXTENSION}.${path}`
const TCB = oid('2')
const PCE_SVN = 17
const CPU_SVN = 18
const MAX_SGX_TYPE = 2

/**
 * Reads the SGX extension of a PCK certificate. Members that are not known are passed over; the known ones must be there,
 * once, in their form.
 * @throws AttestError `CERTIFICATE_MALFORMED`, `DER_MALFORMED`.
 * @see Intel SGX PCK Certificate and CRL Profile Specification, section 1.3.5.
 */
export function parsePckExtension(certificate: Certificate): PckExtension {
  const at = 'pck.sgx-extension'
  const extension = certificate.extensions.get(OID_SGX_EXTENSION)
  if (extension === undefined) throw new AttestError('CERTIFICATE_MALFORMED', 'no SGX extension', { at })
  assertDer(extension.value, at)
  const outer = new DerReader(extension.value, at)
  const members = readMembers(outer.open(TAG.sequence), at)
  outer.end()
  const tcb = readMembers(member(members, TCB, at).open(TAG.sequence), at)
  const svn = (index: number, max: number): number => {
    const value = member(tcb, `${TCB}.${index}`, at).smallInteger()
    if (value > max) throw new AttestError('CERTIFICATE_MALFORMED', `SVN ${value}`, { at })
    return value
  }
  const instance = members.get(oid('6'))
  const configuration = members.get(oid('7'))
  return {
    ppid: octets(member(members, oid('1'), at), 16, at),
    sgx: Uint8Array.from({ length: COMPONENTS }, (_, i) => svn(i + 1, 255)),
    pceSvn: svn(PCE_SVN, 0xffff),
    cpuSvn: octets(member(tcb, `${TCB}.${CPU_SVN}`, at), 16, at),
    pceId: octets(member(members, oid('3'), at), 2, at),
    fmspc: octets(member(members, oid('4'), at), 6, at),
    sgxType: readSgxType(member(members, oid('5'), at), at),
    platformInstanceId: instance === undefined ? null : octets(instance, 16, at),
    configuration: configuration === undefined ? null : readConfiguration(configuration, at),
  }
}

/** SEQUENCE OF SEQUENCE { OBJECT IDENTIFIER, value }: a reader for each value, by OID. */
function readMembers(list: DerReader, at: string): ReadonlyMap<string, DerReader> {
  const members = new Map<string, DerReader>()
  while (!list.done) {
    const pair = list.open(TAG.sequence)
    const name = pair.oid()
    if (members.has(name)) throw new AttestError('CERTIFICATE_MALFORMED', `${name} appears twice`, { at })
    members.set(name, new DerReader(pair.whole(), at))
    pair.end()
  }
  return members
}

function member(members: ReadonlyMap<string, DerReader>, name: string, at: string): DerReader {
  const found = members.get(name)
  if (found === undefined) throw new AttestError('CERTIFICATE_MALFORMED', `${name} is missing`, { at })
  return found
}

function octets(reader: DerReader, size: number, at: string): string {
  const bytes = reader.content(TAG.octetString)
  if (bytes.length !== size) throw new AttestError('CERTIFICATE_MALFORMED', `${bytes.length} bytes, want ${size}`, { at })
  return toHex(bytes)
}

/** The profile names three. */
function readSgxType(reader: DerReader, at: string): number {
  const [type = MAX_SGX_TYPE + 1, ...more] = reader.content(TAG.enumerated)
  if (type > MAX_SGX_TYPE || more.length > 0) throw new AttestError('CERTIFICATE_MALFORMED', 'SGX type is not 0, 1 or 2', { at })
  return type
}

function readConfiguration(reader: DerReader, at: string): PckConfiguration {
  const members = readMembers(reader.open(TAG.sequence), at)
  const flag = (index: number): boolean | null => members.get(oid(`7.${index}`))?.boolean() ?? null
  return { dynamicPlatform: flag(1), cachedKeys: flag(2), smtEnabled: flag(3) }
}
