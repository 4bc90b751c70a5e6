import * as z from 'zod'
import { fromBase64Url } from '../bytes/bytes.ts'
import { AttestError } from '../errors.ts'
import { encodeCanonical, type Json, parseCanonical } from '../formats/canonical-json.ts'

z.config({ jitless: true })

/** Largest document that any parser here reads, in bytes. Receipt files have a limit of their own. */
export const MAX_DOCUMENT_SIZE: number = 256 * 1024

/** base64url of exactly `size` bytes. */
export function bytesField(size: number): z.ZodType<string> {
  return z.string().refine((text) => decodedLength(text) === size, { error: `want base64url of ${size} bytes` })
}

/** base64url of 1 to `max` bytes. */
export function blobField(max: number): z.ZodType<string> {
  const fits = (text: string): boolean => {
    const length = decodedLength(text)
    return length > 0 && length <= max
  }
  return z.string().refine(fits, { error: `want base64url of 1 to ${max} bytes` })
}

function decodedLength(text: string): number {
  try {
    return fromBase64Url(text).length
  } catch {
    return -1
  }
}

export const sha256Field: z.ZodType<string> = bytesField(32)

/** RFC 3339, UTC, whole seconds: the one spelling `2026-01-31T12:00:00Z`. */
export const instantField: z.ZodType<string> = z.string().refine(isInstant, { error: 'want YYYY-MM-DDTHH:MM:SSZ' })

function isInstant(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return false
  const ms = Date.parse(text)
  return Number.isFinite(ms) && new Date(ms).toISOString().replace('.000Z', 'Z') === text
}

/** Text for people or programs: no control characters, at most `max` UTF-16 units, not empty. */
export function textField(max: number): z.ZodType<string> {
  return z
    .string()
    .min(1)
    .max(max)
    .refine((t) => t.isWellFormed() && !hasControl(t), { error: 'control characters are not allowed' })
}

function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x20 || unit === 0x7f) return true
  }
  return false
}

/** A file name without folders: no slash, not hidden, not a dot path. */
export const fileNameField: z.ZodType<string> = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, { error: 'want a plain file name' })

export const iriField: z.ZodType<string> = z
  .string()
  .max(512)
  .regex(/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i, { error: 'want an absolute IRI' })

/** Non-negative safe integer up to `max`. */
export function countField(max: number = Number.MAX_SAFE_INTEGER): z.ZodType<number> {
  return z.number().int().min(0).max(max)
}

/** Sorted, without duplicates: a set has one spelling. */
export function setField<T extends string>(item: z.ZodType<T>, max: number): z.ZodType<readonly T[]> {
  const sorted = (list: readonly T[]): boolean => list.every((v, i) => i === 0 || (list[i - 1] ?? '') < v)
  return z.array(item).max(max).refine(sorted, { error: 'want sorted values without duplicates' })
}

/**
 * Reads a signed document: canonical JSON that fits its schema, nothing unknown, nothing missing.
 * @throws AttestError `JSON_*`, or `DOCUMENT_INVALID` naming the first wrong member.
 */
export function parseDocument<T>(name: string, schema: z.ZodType<T>, bytes: Uint8Array, maxBytes: number = MAX_DOCUMENT_SIZE): T {
  return checkDocument(name, schema, parseCanonical(bytes, maxBytes, name))
}

/** As {@link parseDocument}, for a value that is already parsed. */
export function checkDocument<T>(name: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = (issue?.path ?? []).map((p) => (typeof p === 'number' ? `[${p}]` : `.${String(p)}`)).join('')
  throw new AttestError('DOCUMENT_INVALID', issue?.message ?? 'does not fit its schema', { at: `${name}${path}` })
}

/** Canonical bytes of a document, checked against its own schema first: we issue nothing that we would not read. */
export function encodeDocument<T>(name: string, schema: z.ZodType<T>, value: T): Uint8Array {
  return encodeCanonical(checkDocument(name, schema, value) as Json)
}
