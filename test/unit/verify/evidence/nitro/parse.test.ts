import fc from 'fast-check'
import { expect, it } from 'vitest'
import { looksLikeNitro, parseNitroDocument } from '../../../../../src/verify/evidence/nitro/parse.ts'
import { damaged, expectParsedOrAttestError } from '../../../../support/damage.ts'
import { MODULE_ID, nitroDocument, PCRS } from '../../../../support/nitro.ts'

it('reads what was written, and with fields left out', async () => {
  const { document } = await nitroDocument({ payload: { public_key: undefined, user_data: null, nonce: new Uint8Array() } })
  expect(looksLikeNitro(document)).toBe(true)
  expect(parseNitroDocument(document)).toMatchObject({ moduleId: MODULE_ID, digest: 'SHA384', pcrs: PCRS, publicKey: null, userData: null })
  expect(parseNitroDocument(document).nonce).toHaveLength(0)
})

it('fails with an AttestError alone, whatever the bytes', async () => {
  const { document } = await nitroDocument({ indefinite: true })
  fc.assert(
    fc.property(damaged(document), (bytes) => expectParsedOrAttestError(() => parseNitroDocument(bytes))),
    { numRuns: 1000 },
  )
})
