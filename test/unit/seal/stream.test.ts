import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createDatasetHeader, openStream, SEGMENT_SIZE, Secret, sealStream } from '../../../src/seal/index.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { attemptStream, chunked, collect, fixedRandom, LEGAL, sealedExample } from './support.ts'
import { TINK_AES256_GCM_HKDF_1MB, type TinkParameters, tinkDecrypt, tinkEncrypt } from './tink-reference.ts'

const FIRST = SEGMENT_SIZE - 40 - 16
const NEXT = SEGMENT_SIZE - 16
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

interface TinkVector extends TinkParameters {
  readonly key: string
  readonly aad: string
  readonly plaintext: string
  readonly ciphertext: string
}
const published = JSON.parse(readFileSync('test/vectors/dataset/tink.json', 'utf8')) as { vectors: TinkVector[] }

describe('the reference implementation', () => {
  it.each(published.vectors.map((v, i) => [i, v] as const))('agrees with Tink on vector %d', (_, v) => {
    const [key, aad, ciphertext] = [v.key, v.aad, v.ciphertext].map((h) => Buffer.from(h, 'hex')) as [Buffer, Buffer, Buffer]
    const salt = ciphertext.subarray(1, 1 + v.derivedKeySize)
    const prefix = ciphertext.subarray(1 + v.derivedKeySize, 8 + v.derivedKeySize)
    expect(tinkDecrypt(v, key, aad, ciphertext).toString()).toBe(v.plaintext)
    expect(tinkEncrypt(v, key, aad, salt, prefix, Buffer.from(v.plaintext)).toString('hex')).toBe(v.ciphertext)
  })
})

describe('the stream', () => {
  it.each([0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT - 1, FIRST + NEXT, FIRST + NEXT + 1, FIRST + 2 * NEXT])(
    'of %d bytes is what Tink makes and reads',
    async (size) => {
      const { bytes, dek, plaintext, stream } = await sealedExample(size)
      expect(tinkDecrypt(TINK_AES256_GCM_HKDF_1MB, dek.expose(), sha256(bytes), stream).equals(plaintext)).toBe(true)
      const theirs = tinkEncrypt(
        TINK_AES256_GCM_HKDF_1MB,
        dek.expose(),
        sha256(bytes),
        sha256(bytes),
        sha256(bytes).subarray(0, 7),
        plaintext,
      )
      const opened = await attemptStream([theirs], bytes, dek)
      expect(opened.code).toBe('accepted')
      expect(Buffer.compare(opened.plaintext, plaintext)).toBe(0)
    },
  )

  it('does not depend on how the chunks are cut', async () => {
    const size = FIRST + NEXT + 70_000
    const { bytes, dek, plaintext, stream } = await sealedExample(size)
    const cut = fc.constantFrom(999, 16_383, 16_384, 65_537, SEGMENT_SIZE - 1, SEGMENT_SIZE, size + 100)
    await fc.assert(
      fc.asyncProperty(cut, cut, async (one, other) => {
        const random = fixedRandom('example')
        random(16)
        random(32)
        random(32)
        const sealed = await collect(sealStream(chunked(plaintext, one), { header: bytes, dek, random }))
        expect(Buffer.compare(sealed, stream)).toBe(0)
        const opened = await collect(openStream(chunked(stream, other), { header: bytes, dek }))
        expect(Buffer.compare(opened, plaintext)).toBe(0)
      }),
      { numRuns: 12 },
    )
  })

  it('works with chunks of one byte, empty chunks and asynchronous sources', async () => {
    const { bytes, dek, plaintext, stream } = await sealedExample(3000)
    async function* drip(all: Uint8Array): AsyncGenerator<Uint8Array> {
      for (const byte of chunked(all, 1)) yield* [byte, new Uint8Array(0)]
    }
    expect(Buffer.compare(await collect(openStream(drip(stream), { header: bytes, dek })), plaintext)).toBe(0)
    const sealed = await collect(sealStream(drip(plaintext), { header: bytes, dek, random: fixedRandom('x') }))
    expect(Buffer.compare(await collect(openStream([sealed], { header: bytes, dek })), plaintext)).toBe(0)
  })

  it('takes a fresh salt and nonce prefix for each sealing', async () => {
    const { bytes, dek, plaintext } = await sealedExample(10)
    const random = fixedRandom('fresh')
    const [a, b] = [
      await collect(sealStream([plaintext], { header: bytes, dek, random })),
      await collect(sealStream([plaintext], { header: bytes, dek, random })),
    ]
    expect(Buffer.compare(a.subarray(0, 40), b.subarray(0, 40))).not.toBe(0)
    expect(Buffer.compare(a.subarray(40), b.subarray(40))).not.toBe(0)
  })

  it('refuses a plaintext that is not as long as the header says', async () => {
    const { bytes, dek, plaintext } = await sealedExample(1000)
    const seal = (source: Uint8Array[]) => outcomeOf(() => collect(sealStream(source, { header: bytes, dek, random: fixedRandom('y') })))
    expect(await seal([plaintext.subarray(1)])).toBe('FILE_UNREADABLE')
    expect(await seal([plaintext, plaintext.subarray(0, 1)])).toBe('FILE_UNREADABLE')
    expect(await seal([])).toBe('FILE_UNREADABLE')
  })

  it('refuses another key before it opens or seals anything', async () => {
    const { bytes, stream, plaintext } = await sealedExample(1000)
    const other = new Secret(new Uint8Array(32).fill(7))
    expect(await attemptStream([stream], bytes, other)).toEqual({ code: 'KEY_COMMITMENT_MISMATCH', plaintext: new Uint8Array(0) })
    const seal = sealStream([plaintext], { header: bytes, dek: other, random: fixedRandom('z') })
    expect(await outcomeOf(() => seal.next())).toBe('KEY_COMMITMENT_MISMATCH')
  })

  it('stops reading its source when its reader stops', async () => {
    const { bytes, dek, stream } = await sealedExample(3 * SEGMENT_SIZE)
    let closed = false
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield* chunked(stream, 100_000)
      } finally {
        closed = true
      }
    }
    for await (const chunk of openStream(source(), { header: bytes, dek })) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    expect(closed).toBe(true)
  })

  it('stays flat in memory over 256 MiB', async () => {
    const size = 256 * 1024 * 1024
    const random = fixedRandom('flat')
    const { bytes, dek } = await createDatasetHeader({
      content: 'file',
      plaintextSize: size,
      owner: Buffer.alloc(32).toString('base64url'),
      legal: LEGAL,
      random,
    })
    const chunk = new Uint8Array(512 * 1024).fill(1)
    function* source(): Generator<Uint8Array> {
      for (let at = 0; at < size; at += chunk.length) yield chunk
    }
    const before = memory()
    let [peak, opened] = [0, 0]
    for await (const out of openStream(sealStream(source(), { header: bytes, dek, random }), { header: bytes, dek })) {
      opened += out.length
      peak = Math.max(peak, memory())
    }
    expect(opened).toBe(size)
    expect(peak - before).toBeLessThan(128 * 1024 * 1024)
  })
})

function memory(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
