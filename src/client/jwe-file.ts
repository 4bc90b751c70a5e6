import { FlattenedEncrypt, type FlattenedJWE, flattenedDecrypt } from 'jose'
import { z } from 'zod'
import { utf8 } from '../verify/bytes/bytes.ts'
import { AttestError } from '../verify/errors.ts'

/** PBKDF2-HMAC-SHA512 rounds of the key that wraps the content's; OWASP asks for 210,000. */
const ITERATIONS = 600_000
/** A file that asks for more is not ours, and would stop the machine. */
const MAX_ITERATIONS = 2_000_000
const MIN_PASSPHRASE = 12
const ENCRYPTION = 'A256GCM'

/** Under what a file is encrypted: a passphrase (PBES2, RFC 7518 section 4.8), or 32 bytes (A256KW, section 4.4). */
export type FileSecret = { readonly passphrase: string } | { readonly key: Uint8Array }

const envelope = z.strictObject({
  ciphertext: z.string(),
  encrypted_key: z.string(),
  iv: z.string(),
  protected: z.string(),
  tag: z.string(),
})

/** @throws AttestError `USAGE`. */
export function assertPassphrase(passphrase: string): void {
  if (passphrase.length < MIN_PASSPHRASE) throw new AttestError('USAGE', `the passphrase needs at least ${MIN_PASSPHRASE} characters`)
}

/** Encrypts `plaintext` as one JWE in flattened JSON, with a line feed at the end. */
export async function sealJwe(plaintext: Uint8Array, secret: FileSecret, typ: string): Promise<Uint8Array> {
  const jwe = new FlattenedEncrypt(plaintext).setProtectedHeader({ alg: algorithmOf(secret), enc: ENCRYPTION, typ })
  if ('passphrase' in secret) jwe.setKeyManagementParameters({ p2c: ITERATIONS })
  return utf8(`${JSON.stringify(await jwe.encrypt(keyOf(secret)))}\n`)
}

/**
 * Opens what {@link sealJwe} made. The plaintext is secret: wipe it.
 * @param at - Names the file in errors.
 * @throws AttestError `DOCUMENT_INVALID` for what is no such file, `UNWRAP_FAILED` for another secret or a changed byte.
 */
export async function openJwe(bytes: Uint8Array, secret: FileSecret, typ: string, at: string): Promise<Uint8Array> {
  const jwe = readEnvelope(bytes, at)
  try {
    const opened = await flattenedDecrypt(jwe, keyOf(secret), {
      keyManagementAlgorithms: [algorithmOf(secret)],
      contentEncryptionAlgorithms: [ENCRYPTION],
      maxPBES2Count: MAX_ITERATIONS,
    })
    if (opened.protectedHeader?.typ !== typ) throw new Error(`typ is not ${typ}`)
    return opened.plaintext
  } catch (cause) {
    const what = 'passphrase' in secret ? 'the passphrase' : 'the key'
    throw new AttestError('UNWRAP_FAILED', `${what} is another one, or the ${at} was changed`, { at, cause })
  }
}

function algorithmOf(secret: FileSecret): string {
  return 'passphrase' in secret ? 'PBES2-HS512+A256KW' : 'A256KW'
}

function keyOf(secret: FileSecret): Uint8Array {
  return 'passphrase' in secret ? utf8(secret.passphrase) : secret.key
}

function readEnvelope(bytes: Uint8Array, at: string): FlattenedJWE {
  try {
    return envelope.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
  } catch (cause) {
    throw new AttestError('DOCUMENT_INVALID', `not a ${at}`, { at, cause })
  }
}
