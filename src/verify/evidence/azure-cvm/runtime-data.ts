import { fromBase64Url, fromUtf8, toHex } from '../../bytes/bytes.ts'
import { rsaSpki } from '../../formats/spki.ts'
import { parseStrictJson } from '../dcap/json.ts'
import { JsonFields } from '../dcap/json-fields.ts'

/** What Azure says of the virtual machine, measured into the hardware report. */
export interface VmConfiguration {
  readonly consoleEnabled: boolean | null
  readonly secureBoot: boolean | null
  readonly tpmEnabled: boolean | null
  readonly tpmPersisted: boolean | null
  readonly vmUniqueId: string | null
  readonly rootCertThumbprint: string | null
}

/** Runtime data: the keys of the vTPM and what the machine is like. */
export interface RuntimeData {
  /** DER SubjectPublicKeyInfo of HCLAkPub, which signs quotes. */
  readonly akSpki: Uint8Array
  readonly vmConfiguration: VmConfiguration
  /** What the guest wrote to NV index 0x01400002, hexadecimal; null where the paravisor knows no such thing. */
  readonly userData: string | null
}

const AK = 'HCLAkPub'
/** base64url of an RSA modulus of 4096 bits. */
const MAX_MODULUS_TEXT = 683
const USER_DATA_SIZE = 64

/**
 * Reads the JSON whose hash the hardware report carries. Members beyond these are left alone: Azure adds some now and then.
 * @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`, `ENCODING_INVALID`, `CERTIFICATE_MALFORMED`.
 */
export function parseRuntimeData(bytes: Uint8Array): RuntimeData {
  const json = new JsonFields(parseStrictJson(fromUtf8(bytes), 'hcl.runtime-data'), 'hcl.runtime-data')
  const keys = json.list('keys').filter((key) => key.text('kid') === AK)
  const [key] = keys
  if (key === undefined || keys.length > 1) throw json.invalid(`want one key ${AK}, found ${keys.length}`)
  return {
    akSpki: readKey(key),
    vmConfiguration: readConfiguration(json.fields('vm-configuration')),
    userData: json.has('user-data') ? toHex(json.hex('user-data', USER_DATA_SIZE)) : null,
  }
}

/** A JWK (RFC 7517) for signatures: RSA is all that Azure's vTPM has. */
function readKey(key: JsonFields): Uint8Array {
  if (key.text('kty') !== 'RSA' || !key.texts('key_ops').includes('sign')) throw key.invalid('want an RSA key that signs')
  return rsaSpki(fromBase64Url(key.text('n', MAX_MODULUS_TEXT)), fromBase64Url(key.text('e')), `hcl.runtime-data.${AK}`)
}

function readConfiguration(json: JsonFields): VmConfiguration {
  const flag = (name: string): boolean | null => (json.has(name) ? json.flag(name) : null)
  const text = (name: string): string | null => (json.has(name) ? json.text(name) : null)
  return {
    consoleEnabled: flag('console-enabled'),
    secureBoot: flag('secure-boot'),
    tpmEnabled: flag('tpm-enabled'),
    tpmPersisted: flag('tpm-persisted'),
    vmUniqueId: text('vmUniqueId'),
    rootCertThumbprint: text('root-cert-thumbprint'),
  }
}
