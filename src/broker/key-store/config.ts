import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { MAX_FILE_SIZE, readBytes } from '../../client/index.ts'
import { assertPassphrase } from '../../client/jwe-file.ts'
import { fromBase64Url, fromUtf8, utf8 } from '../../verify/bytes/bytes.ts'
import { checkDocument, countField, textField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { FileKeks } from './file-keks.ts'
import type { KekProvider } from './kek.ts'
import { type KmsAccess, KmsHttp } from './kms/http-client.ts'
import { KmsKeks } from './kms/kms-keks.ts'
import { Pkcs11Keks } from './pkcs11/pkcs11-keks.ts'
import { Token } from './pkcs11/token.ts'

/** Where the key-encryption keys are, by paths of secrets and never by secrets. Paths are relative to the broker's folder. */
export type KeyStoreConfig =
  | { readonly v: 1; readonly kind: 'file'; readonly folder?: string | undefined; readonly passphraseFile: string }
  | { readonly v: 1; readonly kind: 'file'; readonly folder?: string | undefined; readonly keyFile: string }
  | {
      readonly v: 1
      readonly kind: 'pkcs11'
      readonly module: string
      readonly token: string
      readonly serial?: string | undefined
      readonly pinFile: string
    }
  | {
      readonly v: 1
      readonly kind: 'kms'
      readonly url: string
      readonly caFile?: string | undefined
      readonly certFile?: string | undefined
      readonly keyFile?: string | undefined
      readonly tokenFile?: string | undefined
      readonly timeoutMs?: number | undefined
    }

const path = textField(4096)
const file = { v: z.literal(1), kind: z.literal('file'), folder: path.optional() }
const schema: z.ZodType<KeyStoreConfig> = z.union([
  z.strictObject({ ...file, passphraseFile: path }),
  z.strictObject({ ...file, keyFile: path }),
  z.strictObject({
    v: z.literal(1),
    kind: z.literal('pkcs11'),
    module: path,
    token: textField(32),
    serial: textField(16).optional(),
    pinFile: path,
  }),
  z.strictObject({
    v: z.literal(1),
    kind: z.literal('kms'),
    url: textField(1024),
    caFile: path.optional(),
    certFile: path.optional(),
    keyFile: path.optional(),
    tokenFile: path.optional(),
    timeoutMs: countField(120_000).optional(),
  }),
])

const KEKS_FOLDER = 'keks'
const TIMEOUT_MS = 10_000

/** @throws AttestError `JSON_MALFORMED`, `DOCUMENT_INVALID`. */
export function parseKeyStoreConfig(text: string): KeyStoreConfig {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new AttestError('JSON_MALFORMED', 'not JSON', { at: 'keystore' })
  }
  return checkDocument('keystore', schema, value)
}

/**
 * Opens what a configuration names.
 * @param folder - The broker's, to which paths are relative.
 * @throws AttestError `FILE_UNREADABLE`, `USAGE` for a secret that is none, `KEYSTORE_*`.
 */
export async function openKeks(config: KeyStoreConfig, folder: string): Promise<KekProvider> {
  const at = (name: string): string => resolve(folder, name)
  const text = async (name: string): Promise<string> => fromUtf8(await readBytes(at(name), MAX_FILE_SIZE))
  const line = async (name: string): Promise<string> => (await text(name)).split(/\r?\n/)[0] ?? ''
  if (config.kind === 'file') {
    const keks = at(config.folder ?? KEKS_FOLDER)
    if ('keyFile' in config) return new FileKeks(keks, { key: keyOf(await line(config.keyFile)) })
    const passphrase = await line(config.passphraseFile)
    assertPassphrase(passphrase)
    return new FileKeks(keks, { passphrase })
  }
  if (config.kind === 'pkcs11') {
    return new Pkcs11Keks(new Token(config, async () => utf8(await line(config.pinFile))))
  }
  const { certFile, keyFile, tokenFile } = config
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new AttestError('USAGE', 'certFile and keyFile belong together', { at: 'keystore' })
  const access: KmsAccess = {
    url: config.url,
    timeoutMs: config.timeoutMs ?? TIMEOUT_MS,
    ...(config.caFile === undefined ? {} : { ca: await text(config.caFile) }),
    ...(certFile === undefined || keyFile === undefined ? {} : { identity: { cert: await text(certFile), key: await text(keyFile) } }),
    ...(tokenFile === undefined ? {} : { token: () => line(tokenFile) }),
  }
  return new KmsKeks(new KmsHttp(access, (ms) => delay(ms)))
}

function keyOf(line: string): Uint8Array {
  try {
    const key = fromBase64Url(line)
    if (key.length === 32) return key
  } catch {
    // Without its cause, which may quote the line.
  }
  throw new AttestError('USAGE', 'the key file holds 32 random bytes as base64url in its first line', { at: 'keystore.keyFile' })
}
