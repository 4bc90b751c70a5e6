import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../../src/verify/errors.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { nowAt } from '../../../../../src/verify/evidence/check.ts'
import { knownCertificate, loadCollateral } from '../../../../../src/verify/evidence/collateral.ts'
import { checkOcsp, type OcspPolicy } from '../../../../../src/verify/evidence/nvidia/ocsp.ts'
import { parseOcspResponse } from '../../../../../src/verify/formats/ocsp.ts'
import { parseCertificate } from '../../../../../src/verify/formats/x509.ts'
import { AT, GOOD, type Holder, issue, makeOcsp, type OcspParts, revoked, UNKNOWN } from '../../../../support/nvidia-pki.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

let root: Holder
let issuer: Holder
let subject: Holder
let delegate: Holder
let stranger: Holder
let rootDelegate: Holder
let plainSigner: Holder
let oldDelegate: Holder
let sibling: Holder

beforeAll(async () => {
  root = await issue('Root', 'authority')
  issuer = await issue('Issuer', 'authority', root)
  subject = await issue('Subject', 'authority', issuer)
  sibling = await issue('Sibling', 'authority', issuer)
  delegate = await issue('Responder', 'ocsp', issuer)
  rootDelegate = await issue('Root responder', 'ocsp', root)
  plainSigner = await issue('Signer', 'signer', issuer)
  stranger = await issue('Stranger', 'ocsp', await issue('Other root', 'authority'))
  const early = { notBefore: new Date('2025-01-01T00:00:00Z'), notAfter: new Date('2026-05-31T13:00:00Z') }
  oldDelegate = await issue('Old responder', 'ocsp', issuer, early)
})

const known = async ({ der }: Holder) => knownCertificate(parseCertificate(der))

async function judge(answers: readonly Uint8Array[], policy: OcspPolicy = {}, hold = false, at: Date = AT): Promise<string> {
  const cache = createVerifyCache()
  const items = answers.map((bytes, i) => ({ name: `ocsp[${i}]`, bytes }))
  const given = await loadCollateral(items, cache)
  const anchor = await known(root)
  const questioned = {
    certificate: await known(subject),
    issuer: await known(issuer),
    root: { ...anchor, subject: anchor.subject.text },
    key: 'subject',
    label: 'Subject',
  }
  const { checks } = await checkOcsp('device', questioned, given, policy, hold, nowAt(at.getTime()), cache)
  return checks.map((c) => `${c.rule}=${c.outcome}`).join()
}

const PASS = 'revocation.device=pass'
const FAIL = 'revocation.device=fail'
const OPEN = 'revocation.device=unknown'
const FORGED = `signature.ocsp-device=fail,${OPEN}`
const by =
  (signer: () => Holder, parts: OcspParts = {}): (() => Uint8Array) =>
  () =>
    makeOcsp(subject, issuer, signer(), parts)

describe('an OCSP answer', () => {
  it.each(['sha1', 'sha256', 'sha384'] as const)('that says good counts, whichever hash names the certificate: %s', async (hash) => {
    expect(await judge([makeOcsp(subject, issuer, delegate, { hash })])).toBe(PASS)
  })

  it.each([
    ['of the issuer itself', by(() => issuer, { embed: false }), PASS],
    ['of a responder under the root of the path', by(() => rootDelegate), PASS],
    ['of a responder of another authority', by(() => stranger), FORGED],
    ['of a certificate without OCSP signing', by(() => plainSigner), FORGED],
    ['of a responder whose certificate is missing', by(() => delegate, { embed: false }), FORGED],
    ['of the certificate about itself', by(() => subject), FORGED],
    ['of a responder that has expired', by(() => oldDelegate), OPEN],
    [
      'that was changed after it was signed',
      by(() => delegate, { status: UNKNOWN, change: (tbs) => replaced(tbs, UNKNOWN, GOOD) }),
      FORGED,
    ],
    ['about a certificate of another authority', () => makeOcsp(subject, issuer, delegate, { namedIssuer: root }), OPEN],
    ['that does not know the certificate', by(() => delegate, { status: UNKNOWN }), OPEN],
    ['that ends before now', by(() => delegate, { nextUpdate: '20260531235959Z' }), OPEN],
    ['that begins after now', by(() => delegate, { thisUpdate: '20260601000001Z' }), OPEN],
    ['that never ends', by(() => delegate, { nextUpdate: null }), OPEN],
    ['revoked', by(() => delegate, { status: revoked('20260501000000Z', 1) }), FAIL],
    [
      'revoked, in an answer that is out of date',
      by(() => delegate, { status: revoked('20260501000000Z'), nextUpdate: '20260531235959Z' }),
      FAIL,
    ],
    ['on hold', by(() => delegate, { status: revoked('20260501000000Z', 6) }), FAIL],
  ] as const)('%s', async (_, make, want) => {
    expect(await judge([make()])).toBe(want)
  })

  it('about another certificate of the same authority is none', async () => {
    expect(await judge([makeOcsp(sibling, issuer, delegate)])).toBe(OPEN)
  })

  it('is none where none was given', async () => expect(await judge([])).toBe(OPEN))

  it('on hold passes only where that was allowed', async () => {
    expect(await judge([makeOcsp(subject, issuer, delegate, { status: revoked('20260501000000Z', 6) })], {}, true)).toBe(PASS)
    expect(await judge([makeOcsp(subject, issuer, delegate, { status: revoked('20260501000000Z', 1) })], {}, true)).toBe(FAIL)
  })

  it('that announces a revocation for good is no hold', async () => {
    const announced = makeOcsp(subject, issuer, delegate, { status: revoked('20260601000001Z', 1) })
    expect(await judge([announced], {}, true)).toBe(FAIL)
  })

  it('that says revoked is not crowded out by a row of others', async () => {
    const status = revoked('20260501000000Z', 1)
    const old = Array.from({ length: 16 }, (_, i) => makeOcsp(subject, issuer, delegate, { thisUpdate: `202605312000${10 + i}Z` }))
    const answers = [...old, makeOcsp(subject, issuer, delegate, { status })]
    expect(await outcomeOf(() => judge(answers))).toBe('LIMIT_EXCEEDED')
    expect(await outcomeOf(() => judge(old))).toBe('accepted')
  })

  it('is not looked for among any number of others with its serial number', async () => {
    const others = Array.from({ length: 17 }, (_, i) =>
      makeOcsp(subject, issuer, delegate, { namedIssuer: root, thisUpdate: `202605312000${10 + i}Z` }),
    )
    expect(await outcomeOf(() => judge(others))).toBe('LIMIT_EXCEEDED')
  })

  it('that says revoked is not outdone by one that says good', async () => {
    const good = makeOcsp(subject, issuer, delegate, { thisUpdate: '20260531200000Z' })
    expect(await judge([good, makeOcsp(subject, issuer, delegate, { status: revoked('20260501000000Z', 1) })])).toBe(FAIL)
  })

  it('that is older than the policy allows does not count', async () => {
    const answer = makeOcsp(subject, issuer, delegate)
    expect([await judge([answer], { maxAgeSeconds: 43_200 }), await judge([answer], { maxAgeSeconds: 43_199 })]).toEqual([PASS, OPEN])
  })

  it('must repeat the nonce that was asked for', async () => {
    const nonce = new Uint8Array(32).fill(1)
    expect(await judge([makeOcsp(subject, issuer, delegate, { nonce })], { nonce })).toBe(PASS)
    expect(await judge([makeOcsp(subject, issuer, delegate, { nonce: new Uint8Array(32) })], { nonce })).toBe(OPEN)
    expect(await judge([makeOcsp(subject, issuer, delegate)], { nonce })).toBe(OPEN)
  })

  it('forged beside a genuine one changes nothing', async () => {
    expect(await judge([makeOcsp(subject, issuer, stranger), makeOcsp(subject, issuer, delegate)])).toBe(PASS)
  })
})

describe('the form of an OCSP response', () => {
  it('is refused at every truncation and with a byte too many', async () => {
    const answer = makeOcsp(subject, issuer, delegate)
    for (let size = 0; size < answer.length; size++)
      expect(await outcomeOf(() => parseOcspResponse(answer.subarray(0, size)))).not.toBe('accepted')
    expect(await outcomeOf(() => parseOcspResponse(concat(answer, Uint8Array.of(0))))).toBe('DER_MALFORMED')
    expect(await outcomeOf(() => parseOcspResponse(new Uint8Array(64 * 1024 + 1)))).toBe('CERTIFICATE_MALFORMED')
  })

  it('of an error is said to be one', async () => {
    expect(await outcomeOf(() => parseOcspResponse(Uint8Array.of(0x30, 3, 0x0a, 1, 6)))).toBe('EVIDENCE_UNSUPPORTED')
  })

  it('fails only with an AttestError, whatever byte of it is changed', () => {
    const answer = makeOcsp(subject, issuer, delegate, { nonce: new Uint8Array(32) })
    fc.assert(
      fc.property(fc.nat(answer.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        try {
          parseOcspResponse(answer.map((b, i) => (i === at ? b ^ mask : b)))
        } catch (error) {
          expect(error).toBeInstanceOf(AttestError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

function replaced(bytes: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  const at = Buffer.from(bytes).lastIndexOf(Buffer.from(from))
  return concat(bytes.subarray(0, at), to, bytes.subarray(at + from.length))
}
