import { describe, expect, it } from 'vitest'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { defined } from '../../../support/defined.ts'
import { buildReceipt, type Ending, sampleTrust } from '../../../support/receipt-builder.ts'

/** Strings longer than this hold base64; inside of them every STRIDEth byte is changed, everywhere else every byte. */
const LONG = 80
const STRIDE = 61

/** Offsets of what gives the file its form: members, numbers, short strings, the ends of long ones; and samples of the rest. */
function offsets(text: string): number[] {
  const inside = new Set<number>()
  for (const { index, 0: match } of text.matchAll(/"[^"]*"/g)) {
    if (match.length <= LONG) continue
    for (let i = index + 3; i < index + match.length - 3; i++) if (i % STRIDE !== 0) inside.add(i)
  }
  return Array.from(text, (_, i) => i).filter((i) => !inside.has(i))
}

describe('a receipt file with one byte changed is rejected', () => {
  it.each<Ending>(['execution', 'refusal-early'])('of kind %s', { timeout: 120_000 }, async (ending) => {
    const { bytes } = await buildReceipt({ ending })
    const at = offsets(new TextDecoder('latin1').decode(bytes))
    expect(at.length).toBeGreaterThan(500)
    for (const [n, i] of at.entries()) {
      const changed = bytes.slice()
      changed[i] = defined(bytes[i]) ^ (1 << (n % 7))
      const verdict = await verifyReceiptFile(changed, { trust: sampleTrust })
      expect(verdict.decision, `byte ${i}`).toBe('reject')
    }
  })

  it('or cut anywhere', async () => {
    const { bytes } = await buildReceipt()
    for (let i = 0; i < bytes.length; i += 97) {
      expect((await verifyReceiptFile(bytes.subarray(0, i), { trust: sampleTrust })).decision, `cut at ${i}`).toBe('reject')
    }
  })
})
