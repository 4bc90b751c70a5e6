import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { encodeKemKey, generateKemKey, type KemKey, parseKemKey, type SigningPrivateKey } from '../seal/index.ts'
import { bytesField, encodeDocument, parseDocument } from '../verify/documents/fields.ts'
import { DEFAULT_HPKE_SUITE, type HpkeSuiteName, hpkeKeyDigest, thumbprint } from '../verify/documents/keys.ts'
import { PRIVATE, readBytes, writeNew } from './files.ts'
import { FILES, MAX_FILE_SIZE } from './folder.ts'
import { Keyring } from './keyring.ts'
import { ReleaseRecord } from './release-record.ts'

const signingSchema: z.ZodType<SigningPrivateKey> = z.strictObject({
  crv: z.literal('Ed25519'),
  kty: z.literal('OKP'),
  x: bytesField(32),
  d: bytesField(32),
})

/** A data owner who also submits jobs and receives results: three keys and the keyring. */
export interface Owner {
  readonly path: string
  /** Signs grants, revocations and release intents; dataset headers name its thumbprint. */
  readonly grantKey: SigningPrivateKey
  /** Signs contracts. */
  readonly submitKey: SigningPrivateKey
  /** Opens results and the keyring. */
  readonly recipient: KemKey
  readonly grantThumbprint: string
  readonly submitThumbprint: string
  /** How grants name the recipient key. */
  readonly recipientDigest: string
  readonly keyring: Keyring
  /** What this client had logged. */
  readonly releases: ReleaseRecord
}

/** A fresh Ed25519 key as a JWK. */
export function generateSigningKey(): SigningPrivateKey {
  const { x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as { x: string; d: string }
  return { crv: 'Ed25519', d, kty: 'OKP', x }
}

export function encodeSigningKey(key: SigningPrivateKey): Uint8Array {
  return encodeDocument('signing-key', signingSchema, key)
}

export async function loadSigningKey(path: string): Promise<SigningPrivateKey> {
  return parseDocument('signing-key', signingSchema, await readBytes(path, MAX_FILE_SIZE))
}

/** Makes the keys of an owner in `folder`. Never overwrites. */
export async function createOwnerKeys(folder: string, suite: HpkeSuiteName = DEFAULT_HPKE_SUITE): Promise<void> {
  const kem = await generateKemKey(suite, random)
  await writeNew(join(folder, FILES.grantKey), encodeSigningKey(generateSigningKey()), PRIVATE)
  await writeNew(join(folder, FILES.submitKey), encodeSigningKey(generateSigningKey()), PRIVATE)
  await writeNew(join(folder, FILES.recipientKey), encodeKemKey(kem), PRIVATE)
  kem.privateKey.wipe()
}

/** @throws AttestError `FILE_UNREADABLE` naming the key that is missing: `sealgate init` makes them. */
export async function loadOwner(folder: string): Promise<Owner> {
  const grantKey = await loadSigningKey(join(folder, FILES.grantKey))
  const submitKey = await loadSigningKey(join(folder, FILES.submitKey))
  const recipient = parseKemKey(await readBytes(join(folder, FILES.recipientKey), MAX_FILE_SIZE))
  return {
    path: folder,
    grantKey,
    submitKey,
    recipient,
    grantThumbprint: await thumbprint(grantKey),
    submitThumbprint: await thumbprint(submitKey),
    recipientDigest: await hpkeKeyDigest(recipient.publicKey),
    keyring: new Keyring(join(folder, FILES.keyring), recipient),
    releases: new ReleaseRecord(join(folder, FILES.releases)),
  }
}

export function random(size: number): Uint8Array {
  return new Uint8Array(randomBytes(size))
}
