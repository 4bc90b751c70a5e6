import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { TlsIdentity } from '../../rpc/index.ts'
import type { SigningPrivateKey } from '../../seal/jws.ts'
import { type MlDsaPrivateKey, mlDsaPrivateKeySchema } from '../../seal/ml-dsa.ts'
import { blobField, bytesField, textField } from '../../verify/documents/fields.ts'
import { AttestError } from '../../verify/errors.ts'
import { GATEWAY_FILES, readJson, readText } from './config.ts'

/** `log.key.json`: an Ed25519 JWK with the name of the log, which is origin and key name in one. */
export interface LogPrivateKey extends SigningPrivateKey {
  readonly origin: string
}

export interface GatewayKeys {
  readonly tls: TlsIdentity
  /** Countersigns receipts. */
  readonly signing: SigningPrivateKey
  /** Signs them too, with ML-DSA-65; null: this gateway has no such key. */
  readonly mlDsa: MlDsaPrivateKey | null
  /** Signs checkpoints. */
  readonly log: LogPrivateKey
}

const jwk = { crv: z.literal('Ed25519'), kty: z.literal('OKP'), x: bytesField(32), d: bytesField(32) }
const signingSchema: z.ZodType<SigningPrivateKey> = z.strictObject(jwk)
const logSchema: z.ZodType<LogPrivateKey> = z.strictObject({ ...jwk, origin: textField(256) })

/**
 * `rotation.key.json`: a rotation that is decided and not finished. Its keys count, whatever the two key files say, so that the one
 * write of this file exchanges both keys and a crash leaves no pair of an old and a new one.
 */
export interface Rotation {
  readonly signing: SigningPrivateKey
  readonly mlDsa: MlDsaPrivateKey
  /** The signed succession, base64url. */
  readonly succession: string
}

const rotationSchema: z.ZodType<Rotation> = z.strictObject({
  signing: signingSchema,
  mlDsa: mlDsaPrivateKeySchema,
  succession: blobField(65_536),
})

/** Null: none is under way. @throws AttestError `FILE_UNREADABLE`, `DOCUMENT_INVALID`. */
export function loadRotation(folder: string): Rotation | null {
  const path = join(folder, GATEWAY_FILES.rotation)
  return existsSync(path) ? readJson(path, rotationSchema) : null
}

/**
 * Reads the keys of a gateway folder.
 * @throws AttestError `FILE_UNREADABLE`, `DOCUMENT_INVALID`; the contents never stand in the error.
 */
export function loadKeys(folder: string): GatewayKeys {
  const text = (name: string): string => readText(join(folder, name))
  const rotation = loadRotation(folder)
  const signing = rotation?.signing ?? readJson(join(folder, GATEWAY_FILES.signingKey), signingSchema)
  const log = readJson(join(folder, GATEWAY_FILES.logKey), logSchema)
  const mlDsaPath = join(folder, GATEWAY_FILES.mlDsaKey)
  const mlDsa = rotation !== null ? rotation.mlDsa : existsSync(mlDsaPath) ? readJson(mlDsaPath, mlDsaPrivateKeySchema) : null
  keyObjectOf(signing)
  keyObjectOf(log)
  const tls = { ca: text(GATEWAY_FILES.ca), cert: text(GATEWAY_FILES.tlsCert), key: text(GATEWAY_FILES.tlsKey) }
  return { tls, signing, mlDsa, log }
}

/** Key files that others on this machine may read. */
export function exposedKeyFiles(folder: string): readonly string[] {
  const names = [GATEWAY_FILES.tlsKey, GATEWAY_FILES.signingKey, GATEWAY_FILES.mlDsaKey, GATEWAY_FILES.logKey, GATEWAY_FILES.rotation]
  return names.map((name) => join(folder, name)).filter((path) => existsSync(path) && (statSync(path).mode & 0o077) !== 0)
}

/** @throws AttestError `DOCUMENT_INVALID` when the public half does not belong to the private one. */
export function keyObjectOf({ crv, kty, x, d }: SigningPrivateKey): KeyObject {
  const key = createPrivateKey({ key: { crv, kty, x, d }, format: 'jwk' })
  if (createPublicKey(key).export({ format: 'jwk' }).x !== x)
    throw new AttestError('DOCUMENT_INVALID', 'the two halves of a key do not match')
  return key
}
