import { AttestError } from '../../errors.ts'
import { assertDer, DerReader, TAG } from '../../formats/der.ts'
import type { Certificate } from '../../formats/x509.ts'
import { DIGEST_SIZE } from './layout.ts'

/** Hopper and LS10: composite device id (TCG DICE Attestation Architecture 1.0, "RIoT" form). */
const OID_COMPOSITE_DEVICE_ID = '2.23.133.5.4.1'
/** Blackwell: DiceTcbInfo (TCG DICE Attestation Architecture 1.1 section 6.1.1). */
const OID_TCB_INFO = '2.23.133.5.4.1.1'
const OID_SHA384 = '2.16.840.1.101.3.4.2.2'

const FWIDS = 0xa6
/** Members 0 to 9 of DiceTcbInfo, implicitly tagged; only `fwids` is constructed. */
const LAST_MEMBER = 9

/** Firmware id of a leaf: which firmware the key was derived for. */
export interface Fwid {
  readonly oid: string
  readonly digest: Uint8Array
}

/**
 * The firmware id that a device leaf names.
 * @returns Null when it names none.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`.
 */
export function readFwid({ extensions }: Certificate): Fwid | null {
  const [composite, tcbInfo] = [extensions.get(OID_COMPOSITE_DEVICE_ID), extensions.get(OID_TCB_INFO)]
  if (composite !== undefined && tcbInfo !== undefined)
    throw new AttestError('CERTIFICATE_MALFORMED', 'two firmware ids', { at: 'leaf.fwid' })
  if (composite !== undefined) return { oid: composite.oid, digest: readComposite(open(composite.value)) }
  return tcbInfo === undefined ? null : { oid: tcbInfo.oid, digest: readTcbInfo(open(tcbInfo.value)) }
}

function open(value: Uint8Array): DerReader {
  assertDer(value, 'leaf.fwid')
  return new DerReader(value, 'leaf.fwid').only((r) => r.open(TAG.sequence))
}

/** SEQUENCE { version, deviceID SubjectPublicKeyInfo, fwid }. */
function readComposite(reader: DerReader): Uint8Array {
  reader.smallInteger()
  reader.open(TAG.sequence)
  return reader.only(readDigest)
}

/** The first of `fwids` counts; a second one has been seen all zero. */
function readTcbInfo(reader: DerReader): Uint8Array {
  let digest: Uint8Array | null = null
  for (let last = -1; !reader.done; ) {
    const tag = reader.peek
    const member = tag & 0x1f
    if ((tag & 0x80) === 0 || member <= last || member > LAST_MEMBER)
      throw new AttestError('CERTIFICATE_MALFORMED', 'DiceTcbInfo has members out of order', { at: reader.place })
    if (tag === FWIDS) digest = readDigest(reader.open(FWIDS))
    else reader.content(tag)
    last = member
  }
  if (digest === null) throw new AttestError('CERTIFICATE_MALFORMED', 'DiceTcbInfo without fwids', { at: reader.place })
  return digest
}

/** FWID ::= SEQUENCE { hashAlg, digest }. */
function readDigest(reader: DerReader): Uint8Array {
  const place = reader.place
  const fwid = reader.open(TAG.sequence)
  const hash = fwid.oid()
  const digest = fwid.only((r) => r.content(TAG.octetString))
  if (hash !== OID_SHA384 || digest.length !== DIGEST_SIZE)
    throw new AttestError('CERTIFICATE_MALFORMED', 'firmware id is not SHA-384', { at: place })
  return digest
}
