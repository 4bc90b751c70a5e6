import { fromBase64 } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'
import { isJsonObject, parseStrictJson } from '../../dcap/json.ts'
import { MAX_XML_SIZE } from './xml.ts'

/** A JSON object that NVIDIA's RIM service may have answered. */
export function looksLikeRimAnswer(text: string): boolean {
  return /^\s*\{/.test(text) && text.includes('"id"') && text.includes('"rim"')
}

/**
 * The manifest in an answer of NVIDIA's RIM service, `{"id","rim",…}`. Its name and digest are nobody's word: what counts is
 * the manifest's own signature.
 * @returns XML.
 * @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`, `ENCODING_INVALID`.
 */
export function readRimAnswer(text: string, at: string): Uint8Array {
  const json = parseStrictJson(text, at)
  const rim = isJsonObject(json) ? json.members.get('rim') : undefined
  if (typeof rim !== 'string' || rim.length > 2 * MAX_XML_SIZE)
    throw new AttestError('DOCUMENT_INVALID', 'want base64', { at: `${at}.rim` })
  return fromBase64(rim)
}
