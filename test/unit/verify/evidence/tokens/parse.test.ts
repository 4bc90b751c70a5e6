import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { parseJwt } from '../../../../../src/verify/evidence/tokens/jwt.ts'
import { parseDetachedEat } from '../../../../../src/verify/evidence/tokens/nras.ts'
import { damaged, expectParsedOrAttestError } from '../../../../support/damage.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { b64, detachedEat, itaClaims, jwt, tokenSigner } from '../../../../support/tokens.ts'

const signer = tokenSigner('ES384')
const whole = jwt(itaClaims(), signer)
const [header = '', payload = '', signature = ''] = whole.split('.')

describe('a JWT', () => {
  it.each([
    ['of two parts', `${header}.${payload}`, 'JWS_MALFORMED'],
    ['of four parts', `${whole}.`, 'JWS_MALFORMED'],
    ['with padding', `${header}.${payload}.${signature}=`, 'JWS_MALFORMED'],
    ['with white space', `${header}. ${payload}.${signature}`, 'JWS_MALFORMED'],
    ['with another spelling of its last byte', `${b64('{"alg":"ES384"}')}.${payload.slice(0, -1)}.${'A'.repeat(127)}B`, 'JWS_MALFORMED'],
    ['with a header that is a list', `${b64('[]')}.${payload}.${signature}`, 'DOCUMENT_INVALID'],
    ['without an algorithm', `${b64('{}')}.${payload}.${signature}`, 'DOCUMENT_INVALID'],
    ['with two algorithms', `${b64('{"alg":"ES384","alg":"none"}')}.${payload}.${signature}`, 'JSON_MALFORMED'],
    ['with a claim twice', `${header}.${b64('{"iss":"a","iss":"b"}')}.${signature}`, 'JSON_MALFORMED'],
    ['with bytes that are no text', `${header}.${b64(Uint8Array.of(0x7b, 0xff, 0x7d))}.${signature}`, 'JWS_MALFORMED'],
    ['that is too large', `${header}.${payload}.${'A'.repeat(64 * 1024)}`, 'LIMIT_EXCEEDED'],
  ])('%s is refused', async (_, text, code) => {
    expect(await outcomeOf(() => parseJwt(text, 'x'))).toBe(code)
  })

  it('fails with an AttestError alone, whatever the text', () => {
    const text = fc.oneof(
      damaged(utf8(whole)).map((bytes) => new TextDecoder().decode(bytes)),
      fc.json().map((json) => `${header}.${b64(json)}.`),
    )
    fc.assert(
      fc.property(text, (one) => expectParsedOrAttestError(() => parseJwt(one, 'x'))),
      { numRuns: 1000 },
    )
  })
})

describe('a detached EAT', () => {
  it('fails with an AttestError alone, whatever the bytes', () => {
    const input = fc.oneof(damaged(detachedEat(signer)), fc.json().map(utf8))
    fc.assert(
      fc.property(input, (bytes) => expectParsedOrAttestError(() => parseDetachedEat(bytes))),
      { numRuns: 1000 },
    )
  })
})
