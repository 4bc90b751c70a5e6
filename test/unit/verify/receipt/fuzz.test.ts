import fc from 'fast-check'
import { expect, it } from 'vitest'
import { fromUtf8 } from '../../../../src/verify/bytes/bytes.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { buildReceipt, sampleTrust } from '../../../support/receipt-builder.ts'

const { bytes } = await buildReceipt()
const file = JSON.parse(fromUtf8(bytes)) as Json

function count(value: Json): number {
  return value === null || typeof value !== 'object' ? 1 : Object.values<Json>(value).reduce<number>((n, v) => n + count(v), 1)
}

/** The value with its nth node, in order of reading, replaced. */
function replace(value: Json, n: number, by: Json): Json {
  if (n === 0) return by
  if (value === null || typeof value !== 'object') return value
  let left = n - 1
  const entries = Object.entries<Json>(value).map(([key, member]) => {
    const size = count(member)
    const replaced = left >= 0 && left < size ? replace(member, left, by) : member
    left -= size
    return [key, replaced] as const
  })
  return Array.isArray(value) ? entries.map(([, member]) => member) : Object.fromEntries(entries)
}

it('rejects, and never throws, whatever value stands in any place of a receipt file', async () => {
  const strings: string[] = []
  JSON.stringify(file, (_, value: Json) => {
    if (typeof value === 'string') strings.push(value)
    return value
  })
  const value = fc.oneof(
    fc.constantFrom<Json>(null, 0, 1, -1, Number.MAX_SAFE_INTEGER, '', 'AAAA', [], {}, true),
    fc.constantFrom<Json>(...strings),
    fc.string().filter((s) => s.isWellFormed()),
  )
  const property = fc.asyncProperty(fc.nat(count(file) - 1), value, fc.boolean(), async (n, by, trusted) => {
    const changed = encodeCanonical(replace(file, n, by))
    fc.pre(!Buffer.from(changed).equals(Buffer.from(bytes)))
    const verdict = await verifyReceiptFile(changed, { trust: trusted ? sampleTrust : null })
    expect(verdict.decision).toBe('reject')
  })
  await fc.assert(property, { numRuns: 600, seed: 9 })
})

it('rejects, and never throws, whatever the bytes', async () => {
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (input) => {
    expect((await verifyReceiptFile(input, { trust: sampleTrust })).decision).toBe('reject')
  })
  await fc.assert(property, { numRuns: 300, seed: 10 })
})
