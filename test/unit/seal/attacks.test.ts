import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { SEGMENT_SIZE, sealStream } from '../../../src/seal/index.ts'
import { concat } from '../../../src/verify/bytes/bytes.ts'
import { attemptFile, attemptStream, collect, type Example, fixedRandom, flipped, sealedExample } from './support.ts'
import { TINK_AES256_GCM_HKDF_1MB, tinkEncrypt } from './tink-reference.ts'

const FIRST = SEGMENT_SIZE - 40 - 16
const NEXT = SEGMENT_SIZE - 16

describe('a small sealed file', () => {
  let example: Example
  let headerEnd: number
  beforeAll(async () => {
    example = await sealedExample(80)
    headerEnd = 4 + example.bytes.length
  })

  it('opens as it is', async () => {
    expect(await attemptFile(example.file, example.dek)).toEqual({ code: 'accepted', plaintext: example.plaintext })
  })

  it('is refused after any change of one byte, and gives out nothing', async () => {
    const seen = new Map<string, Set<string>>()
    for (let at = 0; at < example.file.length; at++) {
      for (const mask of [0x01, 0x20, 0xff]) {
        const { code, plaintext } = await attemptFile(flipped(example.file, at, mask), example.dek)
        const region = at < 4 ? 'length' : at < headerEnd ? 'header' : at === headerEnd ? 'stream magic' : 'stream'
        seen.set(region, (seen.get(region) ?? new Set()).add(code))
        expect(plaintext.length, `byte ${at} ^ ${mask}`).toBe(0)
      }
    }
    expect(sorted(seen.get('length'))).toEqual(['HEADER_INVALID'])
    expect(sorted(seen.get('header'))).toEqual(['HEADER_INVALID', 'KEY_COMMITMENT_MISMATCH', 'SEGMENT_INVALID', 'STREAM_TRUNCATED'])
    expect(sorted(seen.get('stream magic'))).toEqual(['HEADER_INVALID'])
    expect(sorted(seen.get('stream'))).toEqual(['SEGMENT_INVALID'])
  })

  it('is refused at every truncation and extension, and gives out nothing', async () => {
    for (let size = 0; size < example.file.length; size++) {
      const want = size < headerEnd ? 'HEADER_INVALID' : 'STREAM_TRUNCATED'
      expect(await attemptFile(example.file.subarray(0, size), example.dek), `${size} bytes`).toEqual({
        code: want,
        plaintext: new Uint8Array(0),
      })
    }
    for (const extra of [1, 16, 40, 96]) {
      const longer = concat(example.file, new Uint8Array(extra))
      expect(await attemptFile(longer, example.dek)).toEqual({ code: 'STREAM_TRUNCATED', plaintext: new Uint8Array(0) })
    }
  })

  it('is refused with the header of another file under the same key', async () => {
    const header = concat(example.bytes)
    const other = JSON.parse(new TextDecoder().decode(header)) as { legal: { jurisdictions: string[] } }
    other.legal.jurisdictions = ['DE', 'FR', 'US']
    const forged = new TextEncoder().encode(JSON.stringify(other))
    expect(await attemptStream([example.stream], forged, example.dek)).toEqual({ code: 'SEGMENT_INVALID', plaintext: new Uint8Array(0) })
  })
})

describe('a file of four segments', () => {
  let example: Example
  let pieces: Uint8Array[]
  beforeAll(async () => {
    example = await sealedExample(FIRST + 2 * NEXT + 5000)
    pieces = [0, 1, 2, 3].map((i) => example.stream.subarray(i * SEGMENT_SIZE, (i + 1) * SEGMENT_SIZE))
  })

  /** Expects a refusal after exactly the first `good` segments. */
  async function expectRefused(stream: readonly Uint8Array[], code: string, good: number): Promise<void> {
    const got = await attemptStream(stream, example.bytes, example.dek)
    expect(got.code).toBe(code)
    const prefix = good === 0 ? 0 : FIRST + (good - 1) * NEXT
    expect(got.plaintext.length).toBe(prefix)
    expect(Buffer.compare(got.plaintext, example.plaintext.subarray(0, prefix))).toBe(0)
  }
  const at = (i: number): Uint8Array => pieces[i] ?? new Uint8Array(0)

  it('is refused from the segment on in which a byte was changed', async () => {
    for (const [segment, offset, good] of [
      [0, 1, 0],
      [0, 39, 0],
      [0, 40, 0],
      [0, SEGMENT_SIZE - 1, 0],
      [1, 0, 1],
      [1, SEGMENT_SIZE - 16, 1],
      [2, 777_777, 2],
      [3, 0, 3],
      [3, 5015, 3],
    ] as const) {
      const changed = pieces.map((p, i) => (i === segment ? flipped(p, offset, 0x80) : p))
      await expectRefused(changed, 'SEGMENT_INVALID', good)
    }
  })

  it('is refused when segments are reordered', async () => {
    await expectRefused([at(0), at(2), at(1), at(3)], 'SEGMENT_INVALID', 1)
    await expectRefused([at(1), at(0), at(2), at(3)], 'HEADER_INVALID', 0)
  })

  it('is refused when a segment is repeated in the place of another', async () => {
    await expectRefused([at(0), at(1), at(1), at(3)], 'SEGMENT_INVALID', 2)
  })

  it('is refused when a segment is put in or left out', async () => {
    await expectRefused([at(0), at(1), at(1), at(2), at(3)], 'SEGMENT_INVALID', 2)
    await expectRefused([at(0), at(2), at(3)], 'SEGMENT_INVALID', 1)
  })

  it('is refused when its end is cut off, however cleanly', async () => {
    await expectRefused([at(0), at(1), at(2)], 'STREAM_TRUNCATED', 3)
    await expectRefused([at(0), at(1), at(2), at(3).subarray(0, -1)], 'STREAM_TRUNCATED', 3)
    await expectRefused([at(0)], 'STREAM_TRUNCATED', 1)
    await expectRefused([], 'STREAM_TRUNCATED', 0)
  })

  it('keeps its last segment back until the source has ended', async () => {
    await expectRefused([...pieces, Uint8Array.of(0)], 'STREAM_TRUNCATED', 3)
    await expectRefused([...pieces, at(3)], 'STREAM_TRUNCATED', 3)
  })

  it('is refused when segments of another sealing are spliced in, of the same plaintext under the same key too', async () => {
    const again = await collect(sealStream([example.plaintext], { header: example.bytes, dek: example.dek, random: fixedRandom('again') }))
    await expectRefused([at(0), again.subarray(SEGMENT_SIZE, 2 * SEGMENT_SIZE), at(2), at(3)], 'SEGMENT_INVALID', 1)
    const foreign = await sealedExample(example.plaintext.length, 'foreign')
    await expectRefused([at(0), at(1), foreign.stream.subarray(2 * SEGMENT_SIZE)], 'SEGMENT_INVALID', 2)
  })

  it('is refused when a holder of the key marks an earlier segment as the last one', async () => {
    const aad = createHash('sha256').update(example.bytes).digest()
    const short = tinkEncrypt(
      TINK_AES256_GCM_HKDF_1MB,
      example.dek.expose(),
      aad,
      new Uint8Array(32),
      new Uint8Array(7),
      example.plaintext.subarray(0, FIRST + NEXT),
    )
    await expectRefused([short], 'SEGMENT_INVALID', 1)
  })
})

function sorted(codes: Set<string> | undefined): string[] {
  return [...(codes ?? [])].sort()
}
