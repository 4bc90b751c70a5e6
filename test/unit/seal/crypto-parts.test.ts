import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/verify/bytes/bytes.ts'
import { crypto as node } from '../../../src/verify/crypto/node.ts'
import { crypto as web } from '../../../src/verify/crypto/web.ts'

const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 })
const key = new Uint8Array(32).fill(3)
const nonce = new Uint8Array(12).fill(9)

describe.each([node, web])('the $name backend', (crypto) => {
  it('seals, opens and digests a row of parts as if they were one', async () => {
    const handle = await crypto.importAeadKey(key)
    await fc.assert(
      fc.asyncProperty(parts, fc.nat(80), async (list, cut) => {
        const whole = concat(...list)
        const sealed = concat(...(await node.aeadSeal(await node.importAeadKey(key), nonce, [whole])))
        expect(concat(...(await crypto.aeadSeal(handle, nonce, list)))).toEqual(sealed)
        const opened = await crypto.aeadOpen(handle, nonce, [sealed.subarray(0, cut), sealed.subarray(cut)])
        expect(concat(...(opened ?? [Uint8Array.of(0)]))).toEqual(whole)
        expect(await crypto.digestParts('SHA-256', list)).toEqual(await node.digest('SHA-256', whole))
      }),
    )
  })

  it('gives nothing out when the tag is wrong or missing', async () => {
    const handle = await crypto.importAeadKey(key)
    const sealed = concat(...(await crypto.aeadSeal(handle, nonce, [new Uint8Array(50)])))
    for (let at = 0; at < sealed.length; at++) {
      const bad = sealed.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      expect(await crypto.aeadOpen(handle, nonce, [bad.subarray(0, 20), bad.subarray(20)])).toBeNull()
    }
    for (let size = 0; size < 20; size++) expect(await crypto.aeadOpen(handle, nonce, [sealed.subarray(0, size)])).toBeNull()
  })
})
