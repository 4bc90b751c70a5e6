import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { SigningPrivateKey } from '../seal/jws.ts'
import type { NoteSigner } from '../seal/note.ts'
import { fromBase64Url } from '../verify/bytes/bytes.ts'
import { bytesField, fileNameField, textField } from '../verify/documents/fields.ts'
import { AttestError } from '../verify/errors.ts'
import { NOTE_ED25519, parseVerifierKey } from '../verify/tlog/index.ts'

/** Names of the files in a witness folder. The key is readable by its owner alone. */
export const WITNESS_FILES = {
  config: 'witness.json',
  key: 'witness.key.json',
  /** The newest checkpoint of each log that was cosigned. Never restored from a backup. */
  state: 'state.json',
} as const

/** A log that is cosigned. */
export interface WitnessedLog {
  readonly origin: string
  /** C2SP verifier key of type 0x01, named like the origin. */
  readonly key: string
  /**
   * URL prefix of its entries (C2SP tlog-tiles). Where it stands, the leaves are read before a checkpoint is cosigned, and one
   * in which a use slot was used twice is not.
   */
  readonly tiles?: string | undefined
}

/** `witness.json`. */
export interface WitnessConfig {
  readonly v: 1
  /** `host:port`; port 0 lets the system choose. */
  readonly listen: string
  /** PEM files in the folder. Without them HTTP is spoken, for this machine or for a proxy in front that speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Only these are cosigned. */
  readonly logs: readonly WitnessedLog[]
}

/** `witness.key.json`: an Ed25519 JWK with the name of the witness, which is its key name. */
export interface WitnessPrivateKey extends SigningPrivateKey {
  readonly name: string
}

export const MAX_LOGS = 64

/** What is read is held against the log's signature; plain HTTP tells others which witness reads. */
const urlField: z.ZodType<string> = z
  .string()
  .max(512)
  .refine((text) => URL.canParse(text) && /^https?:\/\/[^?#@]+[^/?#@]$/.test(text), {
    error: 'want http(s)://HOST[:PORT][/PATH] without a slash at the end',
  })

const configSchema: z.ZodType<WitnessConfig> = z.strictObject({
  v: z.literal(1),
  listen: textField(256),
  tls: z.strictObject({ cert: fileNameField, key: fileNameField }).optional(),
  logs: z.array(z.strictObject({ origin: textField(256), key: textField(512), tiles: urlField.optional() })).max(MAX_LOGS),
})

const keySchema: z.ZodType<WitnessPrivateKey> = z.strictObject({
  crv: z.literal('Ed25519'),
  kty: z.literal('OKP'),
  x: bytesField(32),
  d: bytesField(32),
  name: textField(255),
})

/**
 * Reads the configuration of a witness folder.
 * @throws AttestError `FILE_UNREADABLE`, `JSON_MALFORMED`, `DOCUMENT_INVALID`, `NOTE_MALFORMED` for a log key that is none.
 */
export async function loadWitnessConfig(folder: string): Promise<WitnessConfig> {
  const config = readJson(join(folder, WITNESS_FILES.config), configSchema)
  for (const { origin, key } of config.logs) {
    const { name } = await parseVerifierKey(key, NOTE_ED25519)
    if (name !== origin) throw invalid(`the key of ${origin} is named ${name}`)
  }
  if (new Set(config.logs.map((log) => log.origin)).size < config.logs.length) throw invalid('an origin is named twice')
  return config
}

/**
 * Reads the key of a witness folder.
 * @throws AttestError `FILE_UNREADABLE`, `JSON_MALFORMED`, `DOCUMENT_INVALID`; the contents never stand in the error.
 */
export function loadWitnessKey(folder: string): NoteSigner {
  const jwk = readJson(join(folder, WITNESS_FILES.key), keySchema)
  const key = keyObjectOf(jwk)
  return { name: jwk.name, publicKey: fromBase64Url(jwk.x), sign: (message) => new Uint8Array(sign(null, message, key)) }
}

function keyObjectOf({ crv, kty, x, d }: WitnessPrivateKey): KeyObject {
  const key = createPrivateKey({ key: { crv, kty, x, d }, format: 'jwk' })
  if (createPublicKey(key).export({ format: 'jwk' }).x !== x) throw invalid('the two halves of the key do not match')
  return key
}

function readJson<T>(path: string, want: z.ZodType<T>): T {
  const text = readText(path)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Without its cause, which may quote the text.
    throw new AttestError('JSON_MALFORMED', `${path} is not JSON`)
  }
  const result = want.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new AttestError('DOCUMENT_INVALID', `${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'does not fit'}`, { at: path })
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`, { cause })
  }
}

function invalid(message: string): AttestError {
  return new AttestError('DOCUMENT_INVALID', message, { at: 'witness' })
}
