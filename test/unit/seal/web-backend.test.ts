import { readFileSync } from 'node:fs'
import { expect, it, vi } from 'vitest'
import { crypto } from '#crypto'
import { openStream, rootOf, Secret, sealStream } from '../../../src/seal/index.ts'
import { fromHex, toBase64Url, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { attemptStream, collect, flipped } from './support.ts'

vi.mock('#crypto', () => import('../../../src/verify/crypto/web.ts'))

const { datasets } = JSON.parse(readFileSync('test/vectors/dataset/golden.json', 'utf8')) as {
  datasets: { id: string; plaintextSize: number; header: string; dek: string; root: string }[]
}

it.each(datasets)('WebCrypto seals, names and opens the golden dataset $id, as a browser does', async (golden) => {
  expect(crypto.name).toBe('web')
  const header = utf8(golden.header)
  const dek = new Secret(fromHex(golden.dek))
  const plaintext = Uint8Array.from({ length: golden.plaintextSize }, (_, i) => i % 251)
  const random = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => 0x50 + i)
  const stream = await collect(sealStream([plaintext], { header, dek, random }))
  expect(toBase64Url((await rootOf([stream])).root)).toBe(golden.root)
  expect(Buffer.compare(await collect(openStream([stream], { header, dek })), plaintext)).toBe(0)
  expect((await attemptStream([flipped(stream, stream.length - 1)], header, dek)).code).toBe('SEGMENT_INVALID')
})
