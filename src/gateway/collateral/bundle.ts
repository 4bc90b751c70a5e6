import * as z from 'zod'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { blobField, countField, encodeDocument, parseDocument, setField, sha256Field } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { MAX_COLLATERAL_SIZE } from '../../verify/evidence/collateral.ts'
import type { Answer } from './answer.ts'
import { sha256Hex } from './disk.ts'
import { questionOf } from './questions.ts'
import type { StoredAnswer } from './store.ts'

interface Bundle {
  readonly v: 1
  readonly type: 'sealgate/collateral/v1'
  readonly answers: readonly { readonly name: string; readonly fetched: number; readonly items: readonly string[] }[]
  readonly items: readonly { readonly digest: string; readonly content: string }[]
}

/** Largest bundle, in bytes. */
export const MAX_BUNDLE_SIZE: number = 64 * 1024 * 1024
const MAX_ANSWERS = 16_384

const nameField = z.string().refine((name) => questionOf(name) !== null, { error: 'want the name of an answer' })

const schema: z.ZodType<Bundle> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/collateral/v1'),
  answers: z
    .array(z.strictObject({ name: nameField, fetched: countField(), items: z.array(sha256Field).min(1).max(2) }))
    .max(MAX_ANSWERS)
    .refine((list) => setField(z.string(), MAX_ANSWERS).safeParse(list.map((a) => a.name)).success, {
      error: 'want names sorted and without duplicates',
    }),
  items: z
    .array(z.strictObject({ digest: sha256Field, content: blobField(MAX_COLLATERAL_SIZE) }))
    .max(2 * MAX_ANSWERS)
    .refine((list) => setField(z.string(), 2 * MAX_ANSWERS).safeParse(list.map((i) => i.digest)).success, {
      error: 'want digests sorted and without duplicates',
    }),
})

/** Canonical bytes of a bundle of these answers; see docs/formats/collateral.md. */
export function bundleOf(answers: readonly Answer[]): Uint8Array {
  const byName = [...answers].sort((a, b) => (a.name < b.name ? -1 : 1))
  const contents = new Map(answers.flatMap((a) => a.items.map((i) => [digestOf(i.bytes), i.bytes] as const)))
  return encodeDocument('collateral', schema, {
    v: 1,
    type: 'sealgate/collateral/v1',
    answers: byName.map(({ name, fetched, items }) => ({ name, fetched, items: items.map((i) => digestOf(i.bytes)) })),
    items: [...contents].sort(([a], [b]) => (a < b ? -1 : 1)).map(([digest, bytes]) => ({ digest, content: toBase64Url(bytes) })),
  })
}

/**
 * Reads a bundle. Every content has the digest that it goes by, and belongs to an answer; nothing else is checked.
 * @throws AttestError `JSON_*`, `DOCUMENT_INVALID`.
 */
export function readBundle(bytes: Uint8Array): readonly StoredAnswer[] {
  const { answers, items } = parseDocument('collateral', schema, bytes, MAX_BUNDLE_SIZE)
  const contents = new Map(items.map(({ digest, content }) => [digest, contentOf(digest, content)]))
  const used = new Set<string>()
  const read = answers.map(({ name, fetched, items: digests }) => ({
    name,
    fetched,
    items: digests.map((digest) => {
      const content = contents.get(digest)
      if (content === undefined) throw new AttestError('DOCUMENT_INVALID', `${digest} is missing`, { at: `collateral.answers.${name}` })
      used.add(digest)
      return content
    }),
  }))
  if (used.size !== contents.size) throw new AttestError('DOCUMENT_INVALID', 'an item belongs to no answer', { at: 'collateral.items' })
  return read
}

/** True for a file that says it is a bundle. */
export function looksLikeBundle(bytes: Uint8Array): boolean {
  const head = new TextDecoder().decode(bytes.subarray(0, 1))
  return head === '{' && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('"type":"sealgate/collateral/v1"')
}

function contentOf(digest: string, content: string): Uint8Array {
  const bytes = fromBase64Url(content)
  if (digestOf(bytes) !== digest) throw new AttestError('DOCUMENT_INVALID', `content is not that of ${digest}`, { at: 'collateral.items' })
  return bytes
}

function digestOf(bytes: Uint8Array): string {
  return toBase64Url(new Uint8Array(Buffer.from(sha256Hex(bytes), 'hex')))
}
