import { AttestError } from '../../errors.ts'
import { decodeCbor } from '../../formats/cbor.ts'
import { CborFields } from '../../formats/cbor-fields.ts'
import { type CoseSign1, parseSign1 } from '../../formats/cose.ts'

/** An attestation document of a Nitro enclave as it was received. Nothing about it is trusted yet. */
export interface NitroDocument {
  readonly message: CoseSign1
  /** `i-<instance>-enc<enclave>`. */
  readonly moduleId: string
  readonly digest: 'SHA384'
  /** Milliseconds since 1970. */
  readonly timestamp: number
  /** By index; PCR0 is among them. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>
  readonly pcr0: Uint8Array
  /** DER, of the key that signed. */
  readonly certificate: Uint8Array
  /** DER, root first. */
  readonly cabundle: readonly Uint8Array[]
  readonly publicKey: Uint8Array | null
  readonly userData: Uint8Array | null
  readonly nonce: Uint8Array | null
}

const AT = 'nitro'
const PAYLOAD = 'nitro.payload'
const MAX_DOCUMENT_SIZE = 32 * 1024

/** AWS nitro-enclaves-nsm-api, docs/attestation_process.md, sections 2.2 and 3.2. */
const MAX_PAYLOAD_SIZE = 16384
const MAX_MODULE_ID = 128
const LAST_PCR = 31
const PCR_SIZE = 48
const MAX_CERTIFICATE_SIZE = 1024
/** AWS: `public_key`, `user_data` and `nonce` have at most 1024 bytes. */
export const MAX_FIELD_SIZE = 1024
/** The end of the year 9999: later instants have another spelling in RFC 3339. */
const MAX_TIMESTAMP: number = Date.parse('9999-12-31T23:59:59Z')
/** Real documents have 4. */
const MAX_BUNDLE = 8

const FIELDS = ['module_id', 'digest', 'timestamp', 'pcrs', 'certificate', 'cabundle', 'public_key', 'user_data', 'nonce']

/** What a NitroTPM document of a whole EC2 instance has in place of `pcrs` (EC2 user guide, "Validate a NitroTPM Attestation Document"). */
const NITRO_TPM_FIELD = 'nitrotpm_pcrs'

/** Array of 4, with or without COSE's tag 18. */
export function looksLikeNitro(bytes: Uint8Array): boolean {
  return bytes[0] === 0x84 || (bytes[0] === 0xd2 && bytes[1] === 0x84)
}

/**
 * Reads an attestation document front to back: COSE_Sign1 whose one header parameter is ES384, and the payload within AWS's
 * limits. The payload may be a map of indefinite length, as the hypervisor has written it since 2025.
 * @throws AttestError `CBOR_MALFORMED`, `EVIDENCE_*`, `DOCUMENT_INVALID`, `LIMIT_EXCEEDED`.
 */
export function parseNitroDocument(input: Uint8Array): NitroDocument {
  const message = parseSign1(input, AT, MAX_DOCUMENT_SIZE)
  if (message.algorithm !== 'ES384') throw new AttestError('EVIDENCE_UNSUPPORTED', `${message.algorithm}, want ES384`, { at: AT })
  if (message.isKeyNamed) throw new AttestError('EVIDENCE_UNSUPPORTED', 'a key name in a header', { at: AT })
  const limits = { maxSize: MAX_PAYLOAD_SIZE, indefiniteMaps: true }
  const fields = new CborFields(decodeCbor(message.payload, PAYLOAD, limits), PAYLOAD)
  if (fields.has(NITRO_TPM_FIELD))
    throw new AttestError('EVIDENCE_UNSUPPORTED', 'NitroTPM document of an EC2 instance, not of an enclave', { at: PAYLOAD })
  const [stranger] = fields.strangers(FIELDS)
  if (stranger !== undefined) throw fields.invalid(stranger, 'is not a field of attestation documents')
  const digest = fields.text('digest', 16)
  if (digest !== 'SHA384') throw fields.invalid('digest', 'want SHA384')
  const pcrs = fields.registers('pcrs', LAST_PCR, PCR_SIZE)
  const pcr0 = pcrs.get(0)
  if (pcr0 === undefined) throw fields.invalid('pcrs', 'want PCR0')
  return {
    message,
    moduleId: fields.text('module_id', MAX_MODULE_ID),
    digest,
    timestamp: fields.integer('timestamp', 1, MAX_TIMESTAMP),
    pcrs,
    pcr0,
    certificate: fields.blob('certificate', 1, MAX_CERTIFICATE_SIZE),
    cabundle: fields.blobs('cabundle', 1, MAX_BUNDLE, MAX_CERTIFICATE_SIZE),
    publicKey: fields.optionalBlob('public_key', MAX_FIELD_SIZE),
    userData: fields.optionalBlob('user_data', MAX_FIELD_SIZE),
    nonce: fields.optionalBlob('nonce', MAX_FIELD_SIZE),
  }
}
