import { crypto } from '#crypto'
import { equal, toHex, utf8 } from '../../../bytes/bytes.ts'
import { AttestError } from '../../../errors.ts'
import { encodeCanonical } from '../../../formats/canonical-json.ts'
import { type JsonValue, parseStrictJson } from '../../dcap/json.ts'
import { JsonFields } from '../../dcap/json-fields.ts'

/** One entry of an event log in dstack's JSON form. */
export interface RuntimeEvent {
  /** 0 to 3: RTMR0 to RTMR3. */
  readonly register: number
  readonly type: number
  /** SHA-384 that was extended: for runtime events worked out from name and payload, never taken from the log. */
  readonly digest: Uint8Array
  readonly name: string
  readonly payload: Uint8Array
  readonly isRuntime: boolean
  /** False for a runtime event of version 1 whose name has a colon: the same digest has another name and payload as well. */
  readonly isUnambiguous: boolean
}

/** Type of the events that software in the TD extends into RTMR3 (dstack cc-eventlog, runtime_events.rs). */
export const RUNTIME_EVENT_TYPE = 0x08000001
const DIGEST_SIZE = 48
const MAX_EVENTS = 4096
const MAX_PAYLOAD = 64 * 1024

export function looksLikeRuntimeLog(text: string): boolean {
  return /^\s*\[/.test(text) && text.includes('"imr"')
}

/**
 * Reads a list of `{"imr","event_type","digest","event","event_payload"}`, optionally with `version`. A runtime event's digest
 * is SHA-384 of type (little-endian) ‖ `:` ‖ name ‖ `:` ‖ payload, from version 2 on of canonical JSON of the same; a digest
 * in the log that says otherwise is refused.
 * @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`, `ENCODING_INVALID`.
 * @see dstack cc-eventlog tdx.rs `TdxEvent`, runtime_events.rs.
 */
export async function parseRuntimeLog(text: string): Promise<readonly RuntimeEvent[]> {
  const list = parseStrictJson(text, 'event-log')
  if (!Array.isArray(list) || list.length > MAX_EVENTS) {
    throw new AttestError('DOCUMENT_INVALID', `want a list of at most ${MAX_EVENTS} events`, { at: 'event-log' })
  }
  return Promise.all((list as readonly JsonValue[]).map((item, i) => readEvent(item, `event-log[${i}]`)))
}

/** Async from its first line: an error thrown before would leave the promises of earlier entries without anybody to catch theirs. */
async function readEvent(item: JsonValue, at: string): Promise<RuntimeEvent> {
  const json = new JsonFields(item, at)
  const register = json.count('imr', 3)
  const type = json.count('event_type', 0xffffffff)
  const name = json.text('event')
  const payload = json.blob('event_payload', MAX_PAYLOAD)
  const logged = json.has('digest') ? json.blob('digest', DIGEST_SIZE) : new Uint8Array(0)
  const isRuntime = type === RUNTIME_EVENT_TYPE
  if (!isRuntime && logged.length !== DIGEST_SIZE) throw json.invalid(`digest is not ${DIGEST_SIZE} bytes`)
  const version = isRuntime && json.has('version') ? json.count('version', 2) : 1
  if (version === 0) throw json.invalid('event version 0')
  const digest = isRuntime ? await runtimeDigest(version, name, payload) : logged
  if (isRuntime && logged.length > 0 && !equal(logged, digest)) throw json.invalid('digest is not that of the event')
  return { register, type, digest, name, payload, isRuntime, isUnambiguous: version === 2 || !name.includes(':') }
}

async function runtimeDigest(version: number, name: string, payload: Uint8Array): Promise<Uint8Array> {
  if (version === 2) {
    return crypto.digest('SHA-384', encodeCanonical({ name, payload: toHex(payload), type: RUNTIME_EVENT_TYPE }))
  }
  const type = new Uint8Array(4)
  new DataView(type.buffer).setUint32(0, RUNTIME_EVENT_TYPE, true)
  return crypto.digestParts('SHA-384', [type, utf8(':'), utf8(name), utf8(':'), payload])
}
