import { readFileSync } from 'node:fs'
import { Aes256Gcm, DhkemP384HkdfSha384, HkdfSha256, HkdfSha384, CipherSuite as OracleSuite } from '@hpke/core'
import { XWing } from '@hpke/hybridkem-x-wing'
import { AEAD_ChaCha20Poly1305, KEM_MLKEM768_X25519 } from '@panva/hpke-noble'
import fc from 'fast-check'
import { CipherSuite, KDF_HKDF_SHA256 } from 'hpke'
import { beforeAll, describe, expect, it } from 'vitest'
import { encodeKemKey, generateKemKey, type KemKey, parseKemKey, Secret, unwrap, type Wrapped, wrap } from '../../../src/seal/index.ts'
import { fromBase64Url, toBase64Url, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { HPKE_SUITES, type HpkeSuiteName } from '../../../src/verify/documents/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { hpkeOpen, hpkeSeal, P256_AES128, P384_AES256, publicKeyOf } from './hpke-reference.ts'
import { fixedRandom, flipped } from './support.ts'

const P384: HpkeSuiteName = 'DHKEM-P384,HKDF-SHA384,AES-256-GCM'
const HYBRID: HpkeSuiteName = 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM'

type Hex = string | readonly string[]
interface Vector {
  readonly info: string
  readonly ikmR: string
  readonly skEm: string
  readonly skRm: string
  readonly pkRm: Hex
  readonly enc: Hex
  readonly aad: string
  readonly pt: string
  readonly ct: string
}
const vectors = JSON.parse(readFileSync('test/vectors/dataset/hpke.json', 'utf8')) as Record<
  'rfc9180-p256' | 'caliptra-p384' | 'hpke-pq-mlkem768-x25519',
  Vector
>
const hex = (value: Hex): Uint8Array => new Uint8Array(Buffer.from([value].flat().join(''), 'hex'))

describe('known answers', () => {
  it('RFC 9180 A.3.1: the reference implementation seals and opens as the RFC does', () => {
    const v = vectors['rfc9180-p256']
    expect(publicKeyOf(P256_AES128, hex(v.skRm))).toEqual(Buffer.from(hex(v.pkRm)))
    const { enc, ciphertext } = hpkeSeal(P256_AES128, hex(v.skEm), hex(v.pkRm), hex(v.info), hex(v.aad), hex(v.pt))
    expect([enc.toString('hex'), ciphertext.toString('hex')]).toEqual([v.enc, v.ct])
    expect(hpkeOpen(P256_AES128, hex(v.skRm), enc, hex(v.info), hex(v.aad), ciphertext).toString('hex')).toBe(v.pt)
  })

  it('P-384: what a third implementation sealed opens here', async () => {
    const v = vectors['caliptra-p384']
    const key: KemKey = { publicKey: { suite: P384, publicKey: toBase64Url(hex(v.pkRm)) }, privateKey: new Secret(hex(v.skRm)) }
    const wrapped: Wrapped = { suite: P384, enc: hex(v.enc), ciphertext: hex(v.ct) }
    expect(await unwrap(key, new TextDecoder().decode(hex(v.info)), hex(v.aad), wrapped)).toEqual(hex(v.pt))
  })

  it('draft-ietf-hpke-pq A.5.1: KEM and key schedule of the hybrid suite, and its key derivation', async () => {
    const v = vectors['hpke-pq-mlkem768-x25519']
    const key = await generateKemKey(HYBRID, () => hex(v.ikmR))
    expect([key.privateKey.expose(), fromBase64Url(key.publicKey.publicKey)]).toEqual([hex(v.skRm), hex(v.pkRm)])
    const suite = new CipherSuite(KEM_MLKEM768_X25519, KDF_HKDF_SHA256, AEAD_ChaCha20Poly1305)
    const privateKey = await suite.DeserializePrivateKey(hex(v.skRm))
    expect(await suite.Open(privateKey, hex(v.enc), hex(v.ct), { info: hex(v.info), aad: hex(v.aad) })).toEqual(hex(v.pt))
  })
})

const oracles: Record<HpkeSuiteName, OracleSuite> = {
  [HYBRID]: new OracleSuite({ kem: new XWing(), kdf: new HkdfSha256(), aead: new Aes256Gcm() }),
  [P384]: new OracleSuite({ kem: new DhkemP384HkdfSha384(), kdf: new HkdfSha384(), aead: new Aes256Gcm() }),
}

describe.each(HPKE_SUITES)('%s', (suite) => {
  const aad = utf8('aad')
  const plaintext = utf8('a data key')
  let key: KemKey
  let wrapped: Wrapped
  beforeAll(async () => {
    key = await generateKemKey(suite, fixedRandom(suite))
    wrapped = await wrap(key.publicKey, 'info', aad, plaintext)
  })

  it('opens what it sealed', async () => {
    expect(await unwrap(key, 'info', aad, wrapped)).toEqual(plaintext)
  })

  it('derives the key from the given randomness alone, and a new one from new randomness', async () => {
    const again = await generateKemKey(suite, fixedRandom(suite))
    expect(again.publicKey).toEqual(key.publicKey)
    expect((await generateKemKey(suite, fixedRandom('other'))).publicKey).not.toEqual(key.publicKey)
  })

  it('seals afresh each time', async () => {
    expect((await wrap(key.publicKey, 'info', aad, plaintext)).enc).not.toEqual(wrapped.enc)
  })

  it('is opened by another implementation', async () => {
    const oracle = oracles[suite]
    const recipientKey = await oracle.kem.deserializePrivateKey(key.privateKey.expose().slice().buffer)
    const opened = await oracle.open({ recipientKey, info: utf8('info'), enc: wrapped.enc.slice().buffer }, wrapped.ciphertext, aad)
    expect(new Uint8Array(opened)).toEqual(plaintext)
  })

  it('opens what another implementation sealed', async () => {
    const oracle = oracles[suite]
    const recipientPublicKey = await oracle.kem.deserializePublicKey(fromBase64Url(key.publicKey.publicKey).slice().buffer)
    const { enc, ct } = await oracle.seal({ recipientPublicKey, info: utf8('info') }, plaintext, aad)
    expect(await unwrap(key, 'info', aad, { suite, enc: new Uint8Array(enc), ciphertext: new Uint8Array(ct) })).toEqual(plaintext)
  })

  it('refuses another info, aad, key or suite', async () => {
    const open = (k: KemKey, info: string, a: Uint8Array, w: Wrapped) => outcomeOf(() => unwrap(k, info, a, w))
    expect(await open(key, 'Info', aad, wrapped)).toBe('UNWRAP_FAILED')
    expect(await open(key, 'info', utf8('aae'), wrapped)).toBe('UNWRAP_FAILED')
    expect(await open(await generateKemKey(suite, fixedRandom('other')), 'info', aad, wrapped)).toBe('UNWRAP_FAILED')
    for (const other of HPKE_SUITES.filter((s) => s !== suite)) {
      expect(await open(key, 'info', aad, { ...wrapped, suite: other })).toBe('UNWRAP_FAILED')
      expect(await open(await generateKemKey(other, fixedRandom('other')), 'info', aad, wrapped)).toBe('UNWRAP_FAILED')
    }
  })

  it('refuses any changed byte and any other length', async () => {
    const open = (w: Wrapped) => outcomeOf(() => unwrap(key, 'info', aad, w))
    const step = Math.ceil(wrapped.enc.length / 40)
    for (let at = 0; at < wrapped.enc.length; at += step) {
      expect(await open({ ...wrapped, enc: flipped(wrapped.enc, at) }), `enc ${at}`).toBe('UNWRAP_FAILED')
    }
    for (let at = 0; at < wrapped.ciphertext.length; at++) {
      expect(await open({ ...wrapped, ciphertext: flipped(wrapped.ciphertext, at) }), `ciphertext ${at}`).toBe('UNWRAP_FAILED')
    }
    for (const size of [0, 1, wrapped.enc.length - 1])
      expect(await open({ ...wrapped, enc: wrapped.enc.subarray(0, size) })).toBe('UNWRAP_FAILED')
    for (const size of [0, 15, 16])
      expect(await open({ ...wrapped, ciphertext: wrapped.ciphertext.subarray(0, size) })).toBe('UNWRAP_FAILED')
    expect(await open({ ...wrapped, enc: new Uint8Array(wrapped.enc.length + 1) })).toBe('UNWRAP_FAILED')
  })

  it('does not seal to what is no public key', async () => {
    const bytes = fromBase64Url(key.publicKey.publicKey)
    for (const bad of [bytes.subarray(1), new Uint8Array(bytes.length), new Uint8Array(bytes.length).fill(0xff), new Uint8Array(0)]) {
      const publicKey = { suite, publicKey: toBase64Url(bad) }
      expect(await outcomeOf(() => wrap(publicKey, 'info', aad, plaintext))).toBe('DOCUMENT_INVALID')
    }
  })

  it('keeps its key file format', async () => {
    const file = encodeKemKey(key)
    const read = parseKemKey(file)
    expect(read.publicKey).toEqual(key.publicKey)
    expect(encodeKemKey(read)).toEqual(file)
    expect(await unwrap(read, 'info', aad, wrapped)).toEqual(plaintext)
  })

  it('cannot be used after its key was destroyed', async () => {
    const gone = await generateKemKey(suite, fixedRandom('gone'))
    gone.privateKey.wipe()
    await expect(unwrap(gone, 'info', aad, wrapped)).rejects.toMatchObject({ code: 'INTERNAL', message: 'the key was destroyed already' })
  })
})

describe('the hybrid suite', () => {
  it('refuses a second spelling of a public key: a number of its vector plus q', async () => {
    const key = await generateKemKey(HYBRID, fixedRandom('spelling'))
    const bytes = fromBase64Url(key.publicKey.publicKey)
    let refused = 0
    for (let i = 0; i < 1152; i += 3) {
      const number = (bytes[i] ?? 0) | (((bytes[i + 1] ?? 0) & 0x0f) << 8)
      if (number + 3329 > 0xfff) continue
      const other = bytes.slice()
      other[i] = (number + 3329) & 0xff
      other[i + 1] = ((bytes[i + 1] ?? 0) & 0xf0) | ((number + 3329) >> 8)
      expect(await outcomeOf(() => wrap({ suite: HYBRID, publicKey: toBase64Url(other) }, 'i', utf8('a'), utf8('p')))).toBe(
        'DOCUMENT_INVALID',
      )
      refused++
    }
    expect(refused).toBeGreaterThan(20)
  })
})

describe('P-384 against the reference implementation', () => {
  it('agrees in both directions', async () => {
    const key = await generateKemKey(P384, fixedRandom('reference'))
    const [info, aad, plaintext] = ['some info', utf8('some aad'), utf8('thirty-two bytes of key material')] as const
    const ours = await wrap(key.publicKey, info, aad, plaintext)
    expect(new Uint8Array(hpkeOpen(P384_AES256, key.privateKey.expose(), ours.enc, utf8(info), aad, ours.ciphertext))).toEqual(plaintext)
    const skE = fixedRandom('ephemeral')(48)
    skE[0] = 0
    const theirs = hpkeSeal(P384_AES256, skE, fromBase64Url(key.publicKey.publicKey), utf8(info), aad, plaintext)
    expect(await unwrap(key, info, aad, { suite: P384, ...theirs })).toEqual(plaintext)
  })
})

describe('a key file', () => {
  it('is refused when it is anything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 64 }), fc.json().map(utf8)), async (bytes) => {
        expect(await outcomeOf(() => parseKemKey(bytes))).toMatch(/^(JSON_|DOCUMENT_INVALID|ENCODING_INVALID)/)
      }),
    )
  })
})
