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
