import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { checkDocument, textField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'

/** A registry that the agent may pull from (docs/images.md). */
export interface Registry {
  /** `host` or `host:port`, as image sources name it. */
  readonly host: string
  /** Host that gives tokens, where it is another one: credentials go nowhere else. */
  readonly tokenHost?: string | undefined
  /** HTTP without TLS: of this machine's own loopback addresses alone. */
  readonly plainHttp?: boolean | undefined
  readonly credentials?: { readonly username: string; readonly password: string } | undefined
}

const hostField = z.string().regex(/^[a-z0-9-]+(\.[a-z0-9-]+)*(:[1-9]\d{0,4})?$/, { error: 'want host or host:port' })
const LOOPBACK = /^(localhost|127\.0\.0\.1)(:\d+)?$/

const schema: z.ZodType<{ readonly v: 1; readonly registries: readonly Registry[] }> = z.strictObject({
  v: z.literal(1),
  registries: z
    .array(
      z
        .strictObject({
          host: hostField,
          tokenHost: hostField.optional(),
          plainHttp: z.boolean().optional(),
          credentials: z.strictObject({ username: textField(256), password: textField(8192) }).optional(),
        })
        .refine((r) => r.plainHttp !== true || LOOPBACK.test(r.host), {
          error: 'plainHttp is for loopback hosts alone',
          path: ['plainHttp'],
        }),
    )
    .max(32)
    .refine((list) => new Set(list.map((r) => r.host)).size === list.length, { error: 'hosts must differ' }),
})

/**
 * Reads the file that `--registries` names. No error quotes it: it may hold credentials.
 * @throws AttestError `FILE_UNREADABLE`, `JSON_MALFORMED`, `DOCUMENT_INVALID`.
 */
export async function readRegistries(path: string): Promise<readonly Registry[]> {
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read`, { cause })
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The parser's own error would quote the text.
    throw new AttestError('JSON_MALFORMED', 'not JSON', { at: path })
  }
  return checkDocument('registries', schema, value).registries
}
