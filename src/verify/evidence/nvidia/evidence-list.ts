import { fromBase64, fromUtf8, utf8 } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { isJsonObject, type JsonValue, parseStrictJson } from '../dcap/json.ts'
import { type DeviceKind, MAX_REPORT_SIZE } from './layout.ts'
import { guessKind, looksLikeDeviceReport } from './parse.ts'

/** The evidence of one device as it was handed over. */
export interface DeviceEvidence {
  readonly kind: DeviceKind
  readonly report: Uint8Array
  /** PEM, leaf first; null where only the report came. */
  readonly chain: Uint8Array | null
}

const AT = 'evidence_list'
/** Two protected systems of eight GPUs and four switches. */
const MAX_DEVICES = 24
const MAX_CHAIN_SIZE = 16 * 1024

/** A JSON object in the form in which NVIDIA's tools hand over evidence. */
export function looksLikeEvidenceList(text: string): boolean {
  return /^\s*\{/.test(text) && text.includes('"evidence_list"')
}

/**
 * The devices in a raw report or in NVIDIA's `{"nonce","arch","evidence_list":[{"evidence","certificate"},…]}`, base64. Nonce
 * and architecture beside the evidence are not read: what counts is signed.
 * @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`, `ENCODING_INVALID`, `LIMIT_EXCEEDED`.
 */
export function readDevices(evidence: Uint8Array): readonly DeviceEvidence[] {
  if (evidence[0] !== '{'.charCodeAt(0)) return [{ kind: guessKind(evidence), report: evidence, chain: null }]
  const json = parseStrictJson(fromUtf8(evidence), AT)
  const list = isJsonObject(json) ? json.members.get('evidence_list') : undefined
  if (!Array.isArray(list) || list.length === 0) throw new AttestError('DOCUMENT_INVALID', 'want a list of evidence', { at: AT })
  if (list.length > MAX_DEVICES) throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_DEVICES} devices`, { at: AT })
  return list.map((item: JsonValue, i) => readDevice(item, `${AT}[${i}]`))
}

function readDevice(item: JsonValue, at: string): DeviceEvidence {
  const report = blob(item, 'evidence', MAX_REPORT_SIZE, at)
  if (!looksLikeDeviceReport(report)) throw new AttestError('EVIDENCE_UNRECOGNIZED', 'want an SPDM report', { at: `${at}.evidence` })
  return { kind: guessKind(report), report, chain: blob(item, 'certificate', MAX_CHAIN_SIZE, at) }
}

function blob(item: JsonValue, name: string, maxBytes: number, at: string): Uint8Array {
  const text = isJsonObject(item) ? item.members.get(name) : undefined
  if (typeof text !== 'string' || text.length > 2 * maxBytes)
    throw new AttestError('DOCUMENT_INVALID', 'want base64', { at: `${at}.${name}` })
  return fromBase64(text)
}

/** The format by which such evidence goes. GPUs name a list that holds both kinds. */
export function formatOfDevices(text: string): 'nvidia-gpu' | 'nvidia-switch' {
  return readDevices(utf8(text)).some(({ kind }) => kind === 'gpu') ? 'nvidia-gpu' : 'nvidia-switch'
}
