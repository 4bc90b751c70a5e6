import * as z from 'zod'
import { utf8 } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { looksLikeCca } from './arm-cca/parse.ts'
import { looksLikePsa } from './arm-cca/psa.ts'
import { looksLikeHclReport } from './azure-cvm/hcl-report.ts'
import { isJsonObject, parseStrictJson } from './dcap/json.ts'
import { teeOfQuote } from './dcap/quote.ts'
import { looksLikeNitro } from './nitro/parse.ts'
import { formatOfDevices, looksLikeEvidenceList } from './nvidia/evidence-list.ts'
import { guessKind, looksLikeDeviceReport } from './nvidia/parse.ts'
import { looksLikeCertificateTable, parseCertificateTable } from './sev-snp/certificate-table.ts'
import { looksLikeSnp, unwrapSnp } from './sev-snp/wrappers.ts'
import { decodeText, printableText } from './text-encoding.ts'
import { looksLikeAttest } from './tpm/attest.ts'
import { splitKeylime } from './tpm/keylime.ts'
import type { Format } from './types.ts'

/** Evidence without its wrappers: what it is, the structure that was signed, certificates that came with it. */
export interface Unwrapped {
  readonly format: Format
  readonly evidence: Uint8Array
  readonly endorsements: readonly Uint8Array[]
}

/** Largest input that is looked at, in bytes. */
export const MAX_EVIDENCE_SIZE: number = 8 * 1024 * 1024

/** Values of configfs-tsm's `provider` (Linux Documentation/ABI/testing/configfs-tsm). */
const PROVIDERS: Readonly<Record<string, Format>> = { sev_guest: 'sev-snp', tdx_guest: 'tdx', arm_cca_guest: 'arm-cca' }

/** Formats without wrappers of their own. */
const BARE: readonly Format[] = ['tdx', 'sgx', 'nitro', 'arm-cca', 'nvidia-gpu', 'nvidia-switch', 'tpm', 'azure-cvm']

/** Text that is read as it stands. Only who names the format gets it read: in `auto` a token is nothing that is known. */
const TOKENS: readonly Format[] = ['nras-eat', 'ita-jwt', 'maa-jwt']

/** Attributes of one configfs-tsm report as JSON, blobs in base64 or base64url. Others are not looked at. */
const tsmSchema = z.object({ provider: z.string().optional(), outblob: z.string(), auxblob: z.string().optional() })

/**
 * Finds out what evidence is, by content, and takes it out of its wrappers: text (hex, base64, base64url), configfs-tsm
 * JSON, and the wrappers of the format itself.
 * @throws AttestError `EVIDENCE_TRUNCATED` (empty), `EVIDENCE_UNRECOGNIZED`, `EVIDENCE_UNSUPPORTED`, and those of the wrappers.
 */
export function unwrapEvidence(input: Uint8Array, format: Format | 'auto'): Unwrapped {
  if (input.length === 0) throw new AttestError('EVIDENCE_TRUNCATED', 'the input is empty', { at: 'evidence' })
  if (input.length > MAX_EVIDENCE_SIZE)
    throw new AttestError('EVIDENCE_UNRECOGNIZED', `larger than ${MAX_EVIDENCE_SIZE} bytes`, { at: 'evidence' })
  if (format !== 'auto' && TOKENS.includes(format)) return { format, evidence: input, endorsements: [] }
  const text = printableText(input)
  if (format === 'auto' && isBundle(input))
    throw new AttestError('EVIDENCE_UNSUPPORTED', 'a bundle is for verifyBundle', { at: 'evidence' })
  if (text !== null && looksLikeEvidenceList(text)) return unwrapDevices(text, format)
  if (text?.startsWith('{')) return unwrapJson(text, format)
  const keylime = text === null || (format !== 'auto' && format !== 'tpm') ? null : splitKeylime(text)
  if (keylime !== null) return { format: 'tpm', evidence: keylime[0], endorsements: keylime.slice(1) }
  const bytes = text === null ? input : (decodeText(text) ?? input)
  return openFormat(bytes, format === 'auto' ? detect(bytes) : format, [])
}

/** True for the JSON form of an evidence bundle, which `verifyBundle` takes. */
export function isBundle(input: Uint8Array): boolean {
  const text = input.length > MAX_EVIDENCE_SIZE ? null : printableText(input)
  return text?.startsWith('{') === true && text.includes('"sealgate/evidence-bundle/v1"')
}

function openFormat(bytes: Uint8Array, format: Format, endorsements: readonly Uint8Array[]): Unwrapped {
  if (BARE.includes(format)) return { format, evidence: bytes, endorsements }
  if (format !== 'sev-snp') throw new AttestError('EVIDENCE_UNSUPPORTED', `format ${format} is not for verifyEvidence`, { at: 'evidence' })
  const { report, certificates } = unwrapSnp(bytes)
  return { format, evidence: report, endorsements: [...endorsements, ...certificates] }
}

function detect(bytes: Uint8Array): Format {
  if (looksLikeAttest(bytes)) return 'tpm'
  if (looksLikeHclReport(bytes)) return 'azure-cvm'
  if (looksLikeSnp(bytes)) return 'sev-snp'
  if (looksLikeDeviceReport(bytes)) return `nvidia-${guessKind(bytes)}`
  const tee = teeOfQuote(bytes)
  if (tee !== null) return tee
  if (looksLikeCca(bytes) || looksLikePsa(bytes)) return 'arm-cca'
  if (looksLikeNitro(bytes)) return 'nitro'
  throw new AttestError('EVIDENCE_UNRECOGNIZED', 'the content is no evidence that is known here', { at: 'evidence' })
}

/** The list stays as it is: it is taken apart where the devices are verified. */
function unwrapDevices(text: string, wanted: Format | 'auto'): Unwrapped {
  const format = formatOfDevices(text)
  if (wanted !== 'auto' && wanted !== format)
    throw new AttestError('EVIDENCE_UNSUPPORTED', `evidence of ${format}, want ${wanted}`, { at: 'evidence' })
  return { format, evidence: utf8(text), endorsements: [] }
}

function unwrapJson(text: string, wanted: Format | 'auto'): Unwrapped {
  const { provider, outblob, auxblob } = parseTsm(text)
  const named = provider === undefined ? undefined : PROVIDERS[provider.trim()]
  if (provider !== undefined && named === undefined)
    throw new AttestError('EVIDENCE_UNSUPPORTED', `provider ${provider.trim()}`, { at: 'tsm.provider' })
  const report = decodeBlob(outblob, 'tsm.outblob')
  const table = auxblob === undefined || auxblob === '' ? null : decodeBlob(auxblob, 'tsm.auxblob')
  const format = wanted === 'auto' ? (named ?? detect(report)) : wanted
  return openFormat(report, format, table !== null && looksLikeCertificateTable(table) ? parseCertificateTable(table) : [])
}

function parseTsm(text: string): z.infer<typeof tsmSchema> {
  const json = parseStrictJson(text, 'evidence')
  const result = tsmSchema.safeParse(isJsonObject(json) ? Object.fromEntries(json.members) : null)
  if (!result.success) throw new AttestError('EVIDENCE_UNRECOGNIZED', 'JSON that is no evidence known here', { at: 'evidence' })
  return result.data
}

function decodeBlob(text: string, at: string): Uint8Array {
  const bytes = decodeText(text)
  if (bytes === null) throw new AttestError('ENCODING_INVALID', 'neither hexadecimal nor base64', { at })
  return bytes
}
