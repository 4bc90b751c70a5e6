import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createDatasetHeader, encodeFileHead, Secret } from '../../../src/seal/index.ts'
import { concat, toHex, u32be } from '../../../src/verify/bytes/bytes.ts'
import { encodeHeader, parseHeader } from '../../../src/verify/documents/header.ts'
import { testBytes } from '../../support/keys.ts'
import { attemptFile, fixedRandom, LEGAL } from './support.ts'

/** The field of GCM (NIST SP 800-38D section 6.3): bit 0 is the most significant one. */
const R = 0xe1n << 120n

function multiply(x: bigint, y: bigint): bigint {
  let [z, v] = [0n, y]
  for (let i = 127n; i >= 0n; i--) {
    if ((x >> i) & 1n) z ^= v
    v = v & 1n ? (v >> 1n) ^ R : v >> 1n
  }
  return z
}

/** x^(2^128 − 2), which is 1/x. */
function invert(x: bigint): bigint {
  let [result, power] = [1n << 127n, x]
  for (let i = 1; i < 128; i++) {
    power = multiply(power, power)
    result = multiply(result, power)
  }
  return result
}

const number = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`)
const block = (value: bigint): Uint8Array => new Uint8Array(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'))

function encryptBlock(key: Uint8Array, input: Uint8Array): bigint {
  return number(new Uint8Array(createCipheriv('aes-256-ecb', key, null).update(input)))
}

/** Ciphertext of two blocks and a tag that AES-GCM accepts under both keys: one linear equation for the second block. */
function openUnderBoth(keys: readonly [Uint8Array, Uint8Array], nonce: Uint8Array): Uint8Array {
  const [h1, h2] = keys.map((key) => encryptBlock(key, new Uint8Array(16))) as [bigint, bigint]
  const mask = keys.map((key) => encryptBlock(key, concat(nonce, u32be(1)))) as [bigint, bigint]
  const power = (n: number): bigint => {
    const raise = (h: bigint): bigint => Array.from({ length: n - 1 }).reduce<bigint>((p) => multiply(p, h), h)
    return raise(h1) ^ raise(h2)
  }
  const first = number(testBytes('first block', 16))
  const lengths = 256n
  const known = multiply(first, power(3)) ^ multiply(lengths, power(1)) ^ mask[0] ^ mask[1]
  const second = multiply(known, invert(power(2)))
  const ghash = [first, second, lengths].reduce((sum, part) => multiply(sum ^ part, h1), 0n)
  return concat(block(first), block(second), block(ghash ^ mask[0]))
}

const deks = [testBytes('dek one', 32), testBytes('dek two', 32)] as const
const owner = Buffer.from(testBytes('owner', 32)).toString('base64url')

/** A sealed file of 32 bytes whose segment verifies under both keys; its header commits to the first. */
async function craft(
  commitment?: string,
): Promise<{ file: Uint8Array; segment: Uint8Array; keys: readonly Uint8Array[]; nonce: Uint8Array }> {
  const draws = [testBytes('id', 16), testBytes('salt', 32), deks[0].slice()]
  const made = await createDatasetHeader({
    content: 'file',
    plaintextSize: 32,
    owner,
    legal: LEGAL,
    random: () => draws.shift() ?? new Uint8Array(0),
  })
  const parsed = parseHeader(made.bytes)
  const header = commitment === undefined ? made.bytes : encodeHeader({ ...parsed, keyCommitment: commitment })
  const streamHeader = concat(Uint8Array.of(40), testBytes('stream salt', 32), testBytes('nonce prefix', 7))
  const info = createHash('sha256').update(header).digest()
  const keys = deks.map((dek) => new Uint8Array(hkdfSync('sha256', dek, streamHeader.subarray(1, 33), info, 32))) as [
    Uint8Array,
    Uint8Array,
  ]
  const nonce = concat(streamHeader.subarray(33), u32be(0), Uint8Array.of(1))
  const segment = openUnderBoth(keys, nonce)
  return { file: concat(encodeFileHead(header), streamHeader, segment), segment, keys, nonce }
}

describe('one ciphertext with two plaintexts', () => {
  it('can be crafted: bare AES-GCM opens it under both keys', async () => {
    const { segment, keys, nonce } = await craft()
    const plaintexts = keys.map((key) => {
      const decipher = createDecipheriv('aes-256-gcm', key, nonce)
      decipher.setAuthTag(segment.subarray(32))
      return Buffer.concat([decipher.update(segment.subarray(0, 32)), decipher.final()]).toString('hex')
    })
    expect(new Set(plaintexts).size).toBe(2)
  })

  it('opens under the one key that its header commits to, and gives nothing to the other', async () => {
    const { file } = await craft()
    expect((await attemptFile(file, new Secret(deks[0].slice()))).code).toBe('accepted')
    expect(await attemptFile(file, new Secret(deks[1].slice()))).toEqual({ code: 'KEY_COMMITMENT_MISMATCH', plaintext: new Uint8Array(0) })
  })

  it('cannot commit to neither, either', async () => {
    const { file } = await craft(Buffer.from(testBytes('neither', 32)).toString('base64url'))
    for (const dek of deks) {
      expect(await attemptFile(file, new Secret(dek.slice()))).toEqual({ code: 'KEY_COMMITMENT_MISMATCH', plaintext: new Uint8Array(0) })
    }
  })
})

it('the field of the test is that of GCM', () => {
  const x = number(fixedRandom('x')(16))
  expect(multiply(x, invert(x))).toBe(1n << 127n)
})
