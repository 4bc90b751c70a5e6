import { beforeAll, describe, expect, it } from 'vitest'
import { fromHex, toBase64, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { loadCollateral } from '../../../../../src/verify/evidence/collateral.ts'
import { decide, loadItems, verifyTd } from '../../../../support/dcap.ts'
import { AT, collateralOf, qeIdentityJson, type SimulatedCase, SimulatedIntel } from '../../../../support/intel.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

let intel: SimulatedIntel
let made: SimulatedCase
beforeAll(async () => {
  intel = new SimulatedIntel()
  made = await intel.make('tdx')
})

const accepts = async (collateral: readonly Uint8Array[]): Promise<boolean> =>
  decide(await verifyTd({ quote: made.quote, collateral, at: AT }, { roots: made.roots })).decision === 'accept'
const member = (name: string): string => made.json[name] ?? ''
const pem = (label: string, hex: string): string =>
  `-----BEGIN ${label}-----\n${toBase64(fromHex(hex)).replace(/.{64}/g, '$&\n')}\n-----END ${label}-----\n`
const pcs = (name: string, text: string, signature: string): Uint8Array => utf8(`{"${name}":${text},"signature":"${signature}"}`)

describe('collateral of Intel', () => {
  it('is read as one JSON file', async () => {
    expect(await accepts(collateralOf(made))).toBe(true)
  })

  it('is read as the answers of the PCS, with chains and CRLs beside them', async () => {
    const answers = [
      pcs('tcbInfo', member('tcb_info'), member('tcb_info_signature')),
      pcs('enclaveIdentity', member('qe_identity'), member('qe_identity_signature')),
    ]
    expect(
      await accepts([...answers, utf8(member('tcb_info_issuer_chain')), fromHex(member('root_ca_crl')), fromHex(member('pck_crl'))]),
    ).toBe(true)
    expect(
      await accepts([
        ...answers,
        utf8(member('tcb_info_issuer_chain')),
        utf8(pem('X509 CRL', member('root_ca_crl'))),
        utf8(pem('X509 CRL', member('pck_crl'))),
      ]),
    ).toBe(true)
  })

  it('is read with its signature in front, white space around, and members in any order', async () => {
    const answer = utf8(` {\n "signature" : "${member('tcb_info_signature')}" ,\n "tcbInfo" : ${member('tcb_info')} \n}\n`)
    const { tcb_info: _, tcb_info_signature: __, ...rest } = made.json
    expect(await accepts([answer, utf8(JSON.stringify(rest))])).toBe(true)
  })

  it('is read with CRLs that end in a zero byte, and nothing else after them', async () => {
    const ending = (end: string): Uint8Array =>
      utf8(JSON.stringify({ ...made.json, root_ca_crl: `${member('root_ca_crl')}${end}`, pck_crl: `${member('pck_crl')}${end}` }))
    expect(await accepts([ending('00')])).toBe(true)
    for (const end of ['0000', '01', '0500']) expect(await outcomeOf(() => loadItems([ending(end)]))).toBe('DER_MALFORMED')
  })

  it('is read in parts, and with CRLs as PEM', async () => {
    const { root_ca_crl, pck_crl, ...rest } = made.json
    const crls = { root_ca_crl: pem('X509 CRL', root_ca_crl ?? ''), pck_crl: pem('X509 CRL', pck_crl ?? '').toString() }
    expect(await accepts([utf8(JSON.stringify(rest)), utf8(JSON.stringify(crls))])).toBe(true)
  })

  it('passes over the identity of the quote verification enclave', async () => {
    const text = JSON.stringify(qeIdentityJson('sgx', { id: 'QVE' }))
    expect(await accepts([...collateralOf(made), pcs('enclaveIdentity', text, '00'.repeat(64))])).toBe(true)
  })

  it('names a JSON file that holds nothing of the kind', async () => {
    const items = [{ name: 'a.json', bytes: utf8('{"hello":"world"}') }]
    expect((await loadCollateral(items, createVerifyCache())).unrecognized).toEqual(['a.json'])
  })

  it('has the same name for the same files, another for others', async () => {
    const [one, same, other] = [
      await loadItems(collateralOf(made)),
      await loadItems(collateralOf(made)),
      await loadItems([utf8('{"tcbInfo":1}x')].slice(1)),
    ]
    expect(one.id).toBe(same.id)
    expect(one.id).not.toBe(other.id)
  })

  it.each([
    ['twice the same member', (json: string) => json.replace('{', '{"tcb_info":"x",'), 'JSON_MALFORMED'],
    ['text after the end', (json: string) => `${json}x`, 'JSON_MALFORMED'],
    ['TCB info that is no text', (json: string) => json.replace(/"tcb_info":"/, '"tcb_info":5,"x":"'), 'DOCUMENT_INVALID'],
    ['TCB info without signature', (json: string) => json.replace('"tcb_info_signature"', '"x"'), 'DOCUMENT_INVALID'],
    ['a signature of 63 bytes', (json: string) => json.replace(/"tcb_info_signature":"../, '"tcb_info_signature":"'), 'DOCUMENT_INVALID'],
    ['a CRL that is not hexadecimal', (json: string) => json.replace(/"pck_crl":"../, '"pck_crl":"zz'), 'ENCODING_INVALID'],
    ['a CRL that is cut off', (json: string) => json.replace(/"pck_crl":"([^"]*)[0-9a-f]{4}"/, '"pck_crl":"$1"'), 'DER_MALFORMED'],
    ['a chain with a damaged block', (json: string) => json.replace('-----END CERTIFICATE-----', '-----END CERT-----'), 'ENCODING_INVALID'],
  ] as const)('is refused with %s', async (_, change, code) => {
    const text = change(new TextDecoder().decode(collateralOf(made)[0]))
    expect(await outcomeOf(() => loadItems([utf8(text)]))).toBe(code)
  })

  it('is refused when a document has a member twice, whatever its signature says', async () => {
    const text = member('tcb_info').replace('{', '{"fmspc":"000000000000",')
    const json = { ...made.json, tcb_info: text, tcb_info_signature: intel.signDocument(text) }
    expect(await outcomeOf(() => loadItems([utf8(JSON.stringify(json))]))).toBe('JSON_MALFORMED')
  })

  it('is refused when a document is larger than 64 KiB', async () => {
    const text = member('tcb_info').replace('{', `{"x":"${'y'.repeat(65_536)}",`)
    expect(await outcomeOf(() => loadItems([utf8(JSON.stringify({ ...made.json, tcb_info: text }))]))).toBe('DOCUMENT_INVALID')
  })
})
