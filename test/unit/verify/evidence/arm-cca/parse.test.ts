import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isSecured, lifecycleName } from '../../../../../src/verify/evidence/arm-cca/layout.ts'
import { parseCcaToken, parsePlatformClaims, parseRealmClaims } from '../../../../../src/verify/evidence/arm-cca/parse.ts'
import { parsePsaToken } from '../../../../../src/verify/evidence/arm-cca/psa.ts'
import { ccaToken, psaToken } from '../../../../support/arm-cca.ts'
import { ecKey } from '../../../../support/cose.ts'
import { damaged, expectParsedOrAttestError } from '../../../../support/damage.ts'

const { token } = ccaToken()
const { platform, realm } = parseCcaToken(token)
const psa = psaToken(ecKey('P-256'))

describe.each([
  ['a CCA token', token, parseCcaToken],
  ['platform claims', platform.message.payload, parsePlatformClaims],
  ['realm claims', realm.message.payload, parseRealmClaims],
  ['a PSA token', psa, parsePsaToken],
] as const)('%s', (_, whole, parse) => {
  it('fails with an AttestError alone, whatever the bytes', () => {
    fc.assert(
      fc.property(damaged(whole), (bytes) => expectParsedOrAttestError(() => parse(bytes))),
      { numRuns: 500 },
    )
  })

  it('is refused wherever it is cut off', () => {
    for (let size = 0; size < whole.length; size++) expect(() => parse(whole.slice(0, size))).toThrow()
  })
})

it.each([
  [0x2fff, 'unknown', false],
  [0x3000, 'secured', true],
  [0x30ff, 'secured', true],
  [0x3100, 'unknown', false],
  [0x4000, 'non-platform debug', false],
  [0x7000, 'unknown', false],
  [0x0000, 'unknown', false],
])('lifecycle %i is %s', (lifecycle, name, secured) => {
  expect([lifecycleName(lifecycle), isSecured(lifecycle)]).toEqual([name, secured])
})
