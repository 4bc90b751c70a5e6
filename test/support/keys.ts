import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { SigningPrivateKey } from '../../src/seal/jws.ts'
import { type MlDsaPrivateKey, type MlDsaSigner, mlDsaKeyFromSeed, mlDsaSigner } from '../../src/seal/ml-dsa.ts'
import type { NoteSigner } from '../../src/seal/note.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey, NOTE_ED25519 } from '../../src/verify/tlog/index.ts'

/** A throwaway Ed25519 key that is the same in every run: its seed is SHA-256 of a label. */
export interface TestKey {
  readonly jwk: SigningPrivateKey
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** PKCS #8 of an Ed25519 key (RFC 8410) up to the seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

export function testKey(label: string): TestKey {
  const seed = createHash('sha256').update(`sealgate test key ${label}`).digest()
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })
  const { x } = createPublicKey(key).export({ format: 'jwk' }) as { x: string }
  return {
    jwk: { crv: 'Ed25519', kty: 'OKP', x, d: seed.toString('base64url') },
    publicKey: new Uint8Array(Buffer.from(x, 'base64url')),
    sign: (message) => new Uint8Array(sign(null, message, key)),
  }
}

export interface TestMlDsaKey extends MlDsaSigner {
  readonly jwk: MlDsaPrivateKey
}

/** The same with ML-DSA-65, in its deterministic variant. */
export async function testMlDsaKey(label: string): Promise<TestMlDsaKey> {
  const jwk = await mlDsaKeyFromSeed(new Uint8Array(createHash('sha256').update(`sealgate test key ${label}`).digest()))
  return { jwk, ...(await mlDsaSigner(jwk, (size) => new Uint8Array(size))) }
}

export function noteSigner(name: string, label: string = name): NoteSigner {
  const key = testKey(label)
  return { name, publicKey: key.publicKey, sign: (message) => key.sign(message) }
}

/** C2SP verifier key of a log. */
export function logKeyOf({ name, publicKey }: NoteSigner): Promise<string> {
  return encodeVerifierKey({ name, type: NOTE_ED25519, publicKey })
}

/** C2SP verifier key of a witness. */
export function cosignerKeyOf({ name, publicKey }: NoteSigner): Promise<string> {
  return encodeVerifierKey({ name, type: COSIGNATURE_ED25519, publicKey })
}

/** Bytes that are the same in every run and differ per label. */
export function testBytes(label: string, size: number): Uint8Array {
  const out = new Uint8Array(size)
  for (let at = 0, i = 0; at < size; at += 32, i++) {
    out.set(
      createHash('sha256')
        .update(`sealgate test bytes ${label} ${i}`)
        .digest()
        .subarray(0, Math.min(32, size - at)),
      at,
    )
  }
  return out
}
