import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { generateKemKey, issueFlattenedJws, issueGeneralJws, type KemKey, publicOf, type SigningPrivateKey } from '../../seal/index.ts'
import type { HpkePublicKey, HpkeSuiteName, SigningKey } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'

/** Fresh keys of one job. They live in memory only; the KEM key opens one release, the signing key signs one receipt, as its last word. */
export class JobKeys {
  /** Monotonic, milliseconds. */
  readonly createdAtMs: number
  readonly kem: HpkePublicKey
  readonly sig: SigningKey
  #kemKey: KemKey | null
  #signingKey: SigningPrivateKey | null
  #taken = false

  private constructor(createdAtMs: number, kemKey: KemKey, signingKey: SigningPrivateKey) {
    this.createdAtMs = createdAtMs
    this.kem = kemKey.publicKey
    this.sig = publicOf(signingKey)
    this.#kemKey = kemKey
    this.#signingKey = signingKey
  }

  /** @param nowMs - Monotonic. Taken before the keys exist, so that they are never older than thought. */
  static async create(suite: HpkeSuiteName, nowMs: number): Promise<JobKeys> {
    const kemKey = await generateKemKey(suite, (size) => new Uint8Array(randomBytes(size)))
    return new JobKeys(nowMs, kemKey, generateSigningKey())
  }

  /**
   * Lends the KEM key to the one opening and destroys it afterwards, whatever comes of it.
   * @throws AttestError `JOB_CONFLICT` for a second opening.
   */
  async openOnce<T>(open: (key: KemKey) => Promise<T>): Promise<T> {
    const key = this.#kemKey
    if (this.#taken || key === null) throw new AttestError('JOB_CONFLICT', 'the job key opens one release and has been used')
    this.#taken = true
    try {
      return await open(key)
    } finally {
      this.destroyKem()
    }
  }

  destroyKem(): void {
    this.#kemKey?.privateKey.wipe()
    this.#kemKey = null
  }

  /** Signs what comes before the receipt. @throws AttestError `JOB_CONFLICT` after it. */
  async sign(payload: Uint8Array, typ: string): Promise<Uint8Array> {
    if (this.#signingKey === null) throw new AttestError('JOB_CONFLICT', 'the job key has signed its receipt')
    return issueFlattenedJws(payload, typ, this.#signingKey)
  }

  /** Signs the receipt and forgets the key. @throws AttestError `JOB_CONFLICT` for a second receipt. */
  async signOnce(payload: Uint8Array, typ: string): Promise<Uint8Array> {
    const key = this.#signingKey
    if (key === null) throw new AttestError('JOB_CONFLICT', 'the job key signs one receipt and has signed it')
    this.#signingKey = null
    return issueGeneralJws(payload, typ, [key])
  }

  destroy(): void {
    this.destroyKem()
    this.#signingKey = null
  }
}

function generateSigningKey(): SigningPrivateKey {
  const { crv, d, kty, x } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  if (crv !== 'Ed25519' || kty !== 'OKP' || d === undefined || x === undefined) throw new AttestError('INTERNAL', 'not an Ed25519 key')
  return { crv, d, kty, x }
}
