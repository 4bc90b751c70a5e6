import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { concat, toHex, utf8 } from '../../src/verify/bytes/bytes.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { testBytes } from './keys.ts'

/** Writes what a TPM writes, for tests: any field can be other than a TPM would make it. */
export const be16 = (n: number): Uint8Array => Uint8Array.of(n >> 8, n & 0xff)
export const be32 = (n: number): Uint8Array => Uint8Array.of(n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff)
export const sized = (bytes: Uint8Array): Uint8Array => concat(be16(bytes.length), bytes)

export const AT = new Date('2026-01-01T00:00:00Z')
export const NONCE = testBytes('tpm nonce', 32)

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512'
const HASH_ID = { sha1: 4, sha256: 11, sha384: 12, sha512: 13 } as const

export function digest(hash: HashName, ...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(
    createHash(hash)
      .update(concat(...parts))
      .digest(),
  )
}

export interface AttestFields {
  readonly magic?: number
  readonly type?: number
  readonly qualifiedSigner?: Uint8Array
  readonly extraData?: Uint8Array
  readonly resetCount?: number
  readonly restartCount?: number
  readonly safe?: number
  readonly selections?: readonly { readonly bank: HashName; readonly pcrs: readonly number[] }[]
  readonly pcrDigest?: Uint8Array
}

/** Value of a PCR in tests. */
export function pcrValue(bank: HashName, index: number): Uint8Array {
  return digest(bank, utf8(`pcr ${index}`))
}

const ALL_PCRS = Array.from({ length: 24 }, (_, i) => i)
export const ALL_SHA256 = [{ bank: 'sha256', pcrs: ALL_PCRS }] as const

/** Digest over the values of {@link pcrValue}. */
export function pcrDigest(hash: HashName, selections: NonNullable<AttestFields['selections']>): Uint8Array {
  return digest(hash, ...selections.flatMap(({ bank, pcrs }) => pcrs.map((i) => pcrValue(bank, i))))
}

export function attest(fields: AttestFields = {}): Uint8Array {
  const selections = fields.selections ?? ALL_SHA256
  const list = selections.map(({ bank, pcrs }) => {
    const bitmap = new Uint8Array(3)
    for (const i of pcrs) bitmap[i >> 3] = (bitmap[i >> 3] ?? 0) | (1 << (i & 7))
    return concat(be16(HASH_ID[bank]), Uint8Array.of(3), bitmap)
  })
  return concat(
    be32(fields.magic ?? 0xff544347),
    be16(fields.type ?? 0x8018),
    sized(fields.qualifiedSigner ?? concat(be16(11), testBytes('signer', 32))),
    sized(fields.extraData ?? NONCE),
    be32(0),
    be32(123456),
    be32(fields.resetCount ?? 7),
    be32(fields.restartCount ?? 1),
    Uint8Array.of(fields.safe ?? 1),
    testBytes('firmware', 8),
    be32(selections.length),
    ...list,
    sized(fields.pcrDigest ?? pcrDigest('sha256', selections)),
  )
}

/** PCR values as JSON, by index. */
export function pcrsJson(bank: HashName = 'sha256', pcrs: readonly number[] = ALL_PCRS): Uint8Array {
  return utf8(JSON.stringify(Object.fromEntries(pcrs.map((i) => [i, toHex(pcrValue(bank, i))]))))
}

/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign. */
export const AK_ATTRIBUTES = 0x50072
export type AkKind = 'rsassa' | 'rsapss' | 'p256' | 'p384'

/** An attestation key outside of any TPM. */
export class TestAk {
  readonly kind: AkKind
  readonly hash: HashName
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject

  constructor(kind: AkKind, hash: HashName = kind === 'p384' ? 'sha384' : 'sha256') {
    this.kind = kind
    this.hash = hash
    const isRsa = kind === 'rsassa' || kind === 'rsapss'
    const pair = isRsa
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: kind === 'p256' ? 'P-256' : 'P-384' })
    this.privateKey = pair.privateKey
    this.publicKey = pair.publicKey
  }

  get spki(): Uint8Array {
    return new Uint8Array(this.publicKey.export({ format: 'der', type: 'spki' }))
  }

  /** TPMT_PUBLIC. */
  publicArea(attributes: number = AK_ATTRIBUTES, scheme: 'own' | 'any' = 'own'): Uint8Array {
    const jwk = this.publicKey.export({ format: 'jwk' })
    const bytes = (text = ''): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'))
    const ids = scheme === 'any' ? be16(0x10) : concat(be16(SCHEME_ID[this.kind]), be16(HASH_ID[this.hash]))
    const head = (type: number): Uint8Array => concat(be16(type), be16(11), be32(attributes), sized(new Uint8Array(0)), be16(0x10), ids)
    if (jwk.kty === 'RSA') return concat(head(1), be16(2048), be32(0), sized(bytes(jwk.n)))
    return concat(head(0x23), be16(jwk.crv === 'P-256' ? 3 : 4), be16(0x10), sized(bytes(jwk.x)), sized(bytes(jwk.y)))
  }

  /** TPMT_SIGNATURE. */
  sign(message: Uint8Array, hash: HashName = this.hash): Uint8Array {
    const head = concat(be16(SCHEME_ID[this.kind]), be16(HASH_ID[hash]))
    if (this.kind === 'rsassa') return concat(head, sized(new Uint8Array(sign(hash, message, this.privateKey))))
    if (this.kind === 'rsapss') {
      const padding = { key: this.privateKey, padding: 6, saltLength: digest(hash).length }
      return concat(head, sized(new Uint8Array(sign(hash, message, padding))))
    }
    const raw = new Uint8Array(sign(hash, message, { key: this.privateKey, dsaEncoding: 'ieee-p1363' }))
    return concat(head, sized(raw.subarray(0, raw.length / 2)), sized(raw.subarray(raw.length / 2)))
  }
}

const SCHEME_ID: Readonly<Record<AkKind, number>> = { rsassa: 0x14, rsapss: 0x16, p256: 0x18, p384: 0x18 }

/** Verifies with the test's nonce and time, the key named by the caller. */
export function verifyTpm(
  quote: Uint8Array,
  collateral: readonly Uint8Array[],
  more: Partial<VerifyOptions> = {},
): Promise<EvidenceVerdict> {
  return verifyEvidence(quote, { format: 'tpm', collateral, trustAnchors: [], at: AT, nonce: NONCE, allowUnknown: [], ...more })
}

/** `rule=outcome` of everything that did not pass. */
export function troublesOf({ checks }: EvidenceVerdict): readonly string[] {
  return checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => `${c.rule}=${c.outcome}`)
}
