import { readFileSync } from 'node:fs'
import { expect, it, vi } from 'vitest'
import { crypto } from '#crypto'
import { parseTrustFile } from '../../../../src/verify/documents/trust.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'

vi.mock('#crypto', () => import('../../../../src/verify/crypto/web.ts'))

const golden = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../vectors/documents/029-receipt-file/${name}`, import.meta.url)))

it('a receipt verifies with WebCrypto as it does with node:crypto, and one changed byte is refused there too', async () => {
  expect(crypto.name).toBe('web')
  const trust = parseTrustFile(golden('trust.golden.json'))
  const bytes = golden('receipt.golden.json')
  const verdict = await verifyReceiptFile(bytes, { trust })
  expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
  expect(verdict.decision).toBe('accept')
  for (let i = 0; i < bytes.length; i += 1009) {
    const changed = bytes.map((b, j) => (j === i ? b ^ 1 : b))
    expect((await verifyReceiptFile(changed, { trust })).decision, `byte ${i}`).toBe('reject')
  }
})

it('so does its ML-DSA signature, and one changed byte of it is refused there too', async () => {
  const read = (id: string, name: string): Uint8Array =>
    new Uint8Array(readFileSync(new URL(`../../../vectors/documents/${id}/${name}`, import.meta.url)))
  const trust = parseTrustFile(read('028b-trust-file-ml-dsa', 'trust.golden.json'))
  const bytes = read('029b-receipt-file-ml-dsa', 'receipt.golden.json')
  expect(await verifyReceiptFile(bytes, { trust })).toMatchObject({ decision: 'accept', claims: { mlDsa: { trusted: true } } })
  const [start, end] = [text(bytes).indexOf('"receipt":"') + 11, text(bytes).indexOf('","type"')]
  expect(end).toBeGreaterThan(start + 10_000)
  for (let i = start; i < end; i += 997) {
    const changed = bytes.map((b, j) => (j === i ? b ^ 1 : b))
    expect((await verifyReceiptFile(changed, { trust })).decision, `byte ${i}`).toBe('reject')
  }
})

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
