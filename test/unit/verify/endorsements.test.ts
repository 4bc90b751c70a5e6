import { beforeAll, describe, expect, it } from 'vitest'
import { concat, fromUtf8, toBase64, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { endorsementCheck } from '../../../src/verify/endorsements.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { defined } from '../../support/defined.ts'
import { collateralOf, endorsementsOf, qeIdentityJson, type SimulatedCase, SimulatedIntel, STRANGER } from '../../support/intel.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { platform } from '../../support/receipt-builder.ts'

let made: SimulatedCase
let endorsements: readonly Uint8Array[]
let documents: readonly Uint8Array[]
let certificates: readonly Uint8Array[]

beforeAll(async () => {
  made = await new SimulatedIntel().make('tdx')
  endorsements = await endorsementsOf(made)
  documents = endorsements.filter((e) => e[0] !== 0x30)
  certificates = endorsements.filter((e) => e[0] === 0x30)
})

const cache = createVerifyCache()

/** How the check ends: pass, fail, or the code of an error. */
async function ending(given: readonly Uint8Array[], issuers: readonly Uint8Array[] = [made.root]): Promise<string> {
  let outcome = ''
  const code = await outcomeOf(async () => {
    outcome = (await endorsementCheck(given, issuers, cache)).outcome
  })
  return code === 'accepted' ? outcome : code
}

describe('endorsements of Intel’s hierarchy', () => {
  it('may be certificates, CRLs, TCB info and identities', async () => {
    expect([documents.length, certificates.length]).toEqual([2, 5])
    expect(await ending(endorsements)).toBe('pass')
  })

  it('may be documents alone, where the certificates that signed them come from elsewhere', async () => {
    expect(await ending(documents, certificates)).toBe('pass')
  })

  it('are refused with any one byte changed, wherever it stands', async () => {
    for (const [i, document] of documents.entries()) {
      for (let at = 0; at < document.length; at++) {
        const changed = document.slice()
        changed[at] = defined(document[at]) ^ (1 << (at % 8))
        const outcome = await ending(endorsements.map((e) => (e === document ? changed : e)))
        expect(outcome, `document ${i}, byte ${at}`).not.toBe('pass')
      }
    }
  })

  it('are refused when any letter of the signature is spelled in upper case', async () => {
    const [document = new Uint8Array()] = documents
    const text = fromUtf8(document)
    const from = text.lastIndexOf('"signature":"') + '"signature":"'.length
    const letters = Array.from(text.slice(from, -2)).flatMap((c, i) => (/[a-f]/.test(c) ? [from + i] : []))
    expect(letters.length).toBeGreaterThan(10)
    for (const at of letters) {
      const shouted = utf8(`${text.slice(0, at)}${text.charAt(at).toUpperCase()}${text.slice(at + 1)}`)
      expect(await ending([...certificates, shouted])).toBe('ENCODING_INVALID')
    }
  })
})

describe('endorsements are refused that hide something:', () => {
  const inText = (change: (text: string) => string): Uint8Array => utf8(change(fromUtf8(defined(documents[0]))))
  it.each<[string, () => readonly Uint8Array[], string]>([
    ['white space before a document', () => [inText((t) => ` ${t}`)], 'ENCODING_INVALID'],
    ['white space after a document', () => [inText((t) => `${t}\n`)], 'ENCODING_INVALID'],
    ['a member beside the signed one', () => [inText((t) => t.replace(/}$/, ',"note":"x"}'))], 'ENCODING_INVALID'],
    ['the signature first', () => [inText((t) => t.replace(/^\{(.*),("signature":"[0-9a-f]+")\}$/, '{$2,$1}'))], 'ENCODING_INVALID'],
    ['a byte order mark', () => [concat(Uint8Array.of(0xef, 0xbb, 0xbf), defined(documents[0]))], 'ENCODING_INVALID'],
    ['the form of the quote library', () => collateralOf(made), 'ENCODING_INVALID'],
    ['two documents in one', () => [concat(...documents)], 'JSON_MALFORMED'],
    ['two certificates side by side', () => [concat(...certificates.slice(0, 2))], 'ENCODING_INVALID'],
    [
      'a certificate in PEM',
      () => [utf8(`-----BEGIN CERTIFICATE-----\n${toBase64(defined(certificates[0]))}\n-----END CERTIFICATE-----\n`)],
      'ENCODING_INVALID',
    ],
    [
      'DER of something else behind a certificate',
      () => [concat(platform.vek.certificate, Uint8Array.of(0x30, 2, 5, 0))],
      'ENCODING_INVALID',
    ],
    ['text of no kind', () => [utf8('hidden')], 'fail'],
    ['DER of no kind', () => [concat(Uint8Array.of(0x30, 0x81, 0x80, 4, 0x7e), new Uint8Array(0x7e))], 'fail'],
    ['nothing', () => [new Uint8Array()], 'fail'],
  ])('%s', async (_, change, outcome) => {
    expect(await ending([...certificates, ...change()])).toBe(outcome)
  })

  it('a document of another authority, whose signer nobody brings', async () => {
    const stranger = await new SimulatedIntel().make('tdx', {
      qeIdentity: qeIdentityJson('tdx', { tcbEvaluationDataNumber: 99 }),
    })
    const foreign = (await endorsementsOf(stranger)).filter((e) => e[0] !== 0x30)
    expect(await ending([...endorsements, defined(foreign[1])])).toBe('fail')
  })

  it('a document whose signer is no TCB signer', async () => {
    const odd = await new SimulatedIntel().make('tdx', { certificates: { signer: { commonName: 'SGX PCK Certificate' } } })
    expect(await ending(await endorsementsOf(odd), [odd.root])).toBe('fail')
  })

  it('a document whose signer no root vouches for', async () => {
    const odd = await new SimulatedIntel().make('tdx', { certificates: { signer: { signedBy: STRANGER } } })
    expect(await ending(await endorsementsOf(odd), [odd.root])).toBe('fail')
  })
})
