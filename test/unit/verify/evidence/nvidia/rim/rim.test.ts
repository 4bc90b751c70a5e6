import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../../../src/verify/errors.ts'
import { anchorOf } from '../../../../../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../../../../../src/verify/evidence/cache.ts'
import { nowAt } from '../../../../../../src/verify/evidence/check.ts'
import { loadCollateral } from '../../../../../../src/verify/evidence/collateral.ts'
import { canonicalXml } from '../../../../../../src/verify/evidence/nvidia/rim/canonical.ts'
import { parseRim } from '../../../../../../src/verify/evidence/nvidia/rim/parse.ts'
import { checkRim, chooseRim } from '../../../../../../src/verify/evidence/nvidia/rim/verify.ts'
import { parseXml } from '../../../../../../src/verify/evidence/nvidia/rim/xml.ts'
import { AT, type Holder, issue, makeRim, type RimParts, resource } from '../../../../../support/nvidia-pki.ts'
import { outcomeOf } from '../../../../../support/outcome.ts'

let root: Holder
let authority: Holder
let signer: Holder
let chain: readonly Holder[]

beforeAll(async () => {
  root = await issue('RIM root', 'authority')
  authority = await issue('RIM authority', 'authority', root)
  signer = await issue('RIM signer', 'signer', authority)
  chain = [signer, authority, root]
})

const text = (xml: Uint8Array): string => new TextDecoder().decode(xml)
const parse = (xml: string): Promise<string> => outcomeOf(() => parseRim(utf8(xml), 'rim'))

/** Rules that object to one manifest among those given. */
async function judge(xmls: readonly Uint8Array[], anchor: Holder = root, at: Date = AT): Promise<readonly string[]> {
  const cache = createVerifyCache()
  const items = xmls.map((bytes, i) => ({ name: `rim[${i}]`, bytes }))
  const { rims } = await loadCollateral(items, cache)
  const { certificates } = await loadCollateral([{ name: 'root', bytes: anchor.der }], cache)
  const roots = certificates.map((c) => ({ anchor: anchorOf(c), simulated: true }))
  const now = nowAt(at.getTime())
  const facts = await chooseRim(rims, '550.90.07', 'GH100', roots, now, cache)
  return checkRim(facts, 'driver', '550.90.07', 'GH100', now)
    .filter((c) => c.outcome !== 'pass')
    .map((c) => `${c.rule}=${c.outcome}`)
}

describe('a manifest', () => {
  it('verifies under the root that it leads to', async () => expect(await judge([makeRim(chain)])).toEqual([]))

  it('is read from the tree that was signed', async () => {
    const rim = await parseRim(
      makeRim(chain, { resources: `${resource(3, ['ab'.repeat(48), 'CD'.repeat(48)])}\n${resource(9, ['00'.repeat(48)])}` }),
      'rim',
    )
    expect([rim.product, rim.colloquialVersion, rim.digestMatches]).toEqual(['GH100', '550.90.07', true])
    expect(rim.measurements.map((m) => [m.index, m.active, m.alternatives.map((a) => a[0])])).toEqual([
      [3, true, [0xab, 0xcd]],
      [9, true, [0]],
    ])
  })

  it('may be written in another way as long as its canonical form is the same', async () => {
    const loose = (xml: string): string =>
      xml.replaceAll('></ns0:Resource>', ' />').replace('corpus="false" name="GH100"', "name='GH100'   corpus='false'")
    expect(await judge([makeRim(chain, { change: loose })])).toEqual([])
  })

  const changed = (change: (xml: string) => string, more: RimParts = {}): Promise<readonly string[]> =>
    judge([makeRim(chain, { ...more, change })])

  it('whose content was changed after it was signed is refused', async () => {
    expect(await changed((xml) => xml.replace('00'.repeat(48), '11'.repeat(48)))).toEqual(['signature.driver-rim=fail'])
    expect(await changed((xml) => xml.replace('edition="GPU"', 'edition="CPU"'))).toEqual(['signature.driver-rim=fail'])
    expect(await changed((xml) => xml.replace('\n  <ns0:Meta', '\n   <ns0:Meta'))).toEqual(['signature.driver-rim=fail'])
  })

  it('whose digest was made to fit what was changed is refused', async () => {
    const other = /<ds:DigestValue>[^<]*/.exec(text(makeRim(chain, { resources: resource(0, ['11'.repeat(48)]) })))?.[0] ?? ''
    expect(await changed((xml) => xml.replace('00'.repeat(48), '11'.repeat(48)).replace(/<ds:DigestValue>[^<]*/, other))).toEqual([
      'signature.driver-rim=fail',
    ])
  })

  it('under another root, or whose chain is broken, is refused', async () => {
    const stranger = await issue('RIM root', 'authority')
    expect(await judge([makeRim(chain)], stranger)).toEqual(['chain.driver-rim=fail'])
    expect(await judge([makeRim([signer, root])])).toEqual(['chain.driver-rim=fail'])
    expect(await judge([makeRim([signer, authority])])).toEqual(['chain.driver-rim=fail'])
    expect(await judge([makeRim([signer, root, authority])])).toEqual(['chain.driver-rim=fail'])
  })

  it('that an authority or an OCSP responder signed is refused', async () => {
    const responder = await issue('Responder', 'ocsp', authority)
    expect(await judge([makeRim([responder, authority, root])])).toEqual(['chain.driver-rim=fail'])
    expect(await judge([makeRim([authority, root])])).toEqual(['chain.driver-rim=fail'])
  })

  it('is refused before and after its signer, and gives way to one that was signed again', async () => {
    const later = new Date('2027-06-01T00:00:00Z')
    expect(await judge([makeRim(chain)], root, later)).toEqual(['validity.driver-rim=fail'])
    const old = await issue('RIM signer', 'signer', authority, { notAfter: new Date('2026-02-01T00:00:00Z') })
    expect(await judge([makeRim([old, authority, root]), makeRim(chain)])).toEqual([])
  })

  it('of another version is none; of another product it is refused, unless the right one lies beside it', async () => {
    expect(await judge([makeRim(chain, { version: '550.90.08' })])).toEqual(['reference-values.driver-rim=unknown'])
    const other = makeRim(chain, { product: 'LS10' })
    expect([await judge([other]), await judge([other, makeRim(chain)])]).toEqual([['reference-values.driver-rim=fail'], []])
  })

  it('that is broken does not stand in the way of a sound one', async () => {
    const broken = makeRim(chain, { change: (xml) => xml.replace('00'.repeat(48), '22'.repeat(48)) })
    expect(await judge([broken, makeRim(chain)])).toEqual([])
  })
})

describe('the shape of a manifest', () => {
  const whole = (): string => text(makeRim(chain))
  const extra = resource(60, ['ff'.repeat(48)])

  it.each<readonly [string, (xml: string) => string]>([
    ['an object beside the signature', (xml) => xml.replace('</ds:Signature>', `<ds:Object>${extra}</ds:Object></ds:Signature>`)],
    [
      'a second signature',
      (xml) => xml.replace('</SoftwareIdentity>', `${/<ds:Signature .*<\/ds:Signature>/s.exec(xml)?.[0]}</SoftwareIdentity>`),
    ],
    ['a second payload', (xml) => xml.replace('</ns0:Payload>', `</ns0:Payload><ns0:Payload>${extra}</ns0:Payload>`)],
    ['a bare key', (xml) => xml.replace('<ds:X509Data>', '<ds:KeyValue></ds:KeyValue><ds:X509Data>')],
    ['a second reference', (xml) => xml.replace('</ds:Reference>', '</ds:Reference><ds:Reference URI="#x"></ds:Reference>')],
    ['a reference to a part', (xml) => xml.replace('URI=""', 'URI="#x"')],
    ['an Id attribute', (xml) => xml.replace('<ds:SignedInfo>', '<ds:SignedInfo Id="x">')],
    ['another canonicalization', (xml) => xml.replace('2006/12/xml-c14n11', 'TR/2001/REC-xml-c14n-20010315')],
    ['another signature method', (xml) => xml.replace('ecdsa-sha384', 'rsa-sha256')],
    ['a third transform', (xml) => xml.replace('</ds:Transforms>', '<ds:Transform Algorithm="x"></ds:Transform></ds:Transforms>')],
    ['text between its elements', (xml) => xml.replace('<ns0:Payload>', 'x<ns0:Payload>')],
    ['a DOCTYPE', (xml) => `<!DOCTYPE x [<!ENTITY a "b">]>${xml}`],
    ['a declaration', (xml) => `<?xml version="1.0"?>${xml}`],
    ['a comment', (xml) => xml.replace('<ns0:Payload>', '<!-- x --><ns0:Payload>')],
    ['CDATA', (xml) => xml.replace('<ns0:Payload>', '<![CDATA[ ]]><ns0:Payload>')],
    ['an entity', (xml) => xml.replace('edition="GPU"', 'edition="&#71;PU"')],
    ['an attribute twice', (xml) => xml.replace('edition="GPU"', 'edition="GPU" edition="GPU"')],
    ['an attribute that nobody knows', (xml) => xml.replace('edition="GPU"', 'edition="GPU" x="y"')],
    ['a hash of another namespace', (xml) => xml.replace('ns2:Hash0', 'Hash0')],
    ['a carriage return', (xml) => xml.replaceAll('\n', '\r\n')],
    ['characters beyond ASCII', (xml) => xml.replace('edition="GPU"', 'edition="GPÜ"')],
    ['a second root', (xml) => `${xml}<x/>`],
    ['another product in its name', (xml) => xml.replace('name="GH100"', 'name="LS10"')],
    ['a patch', (xml) => xml.replace('patch="false"', 'patch="true"')],
    [
      'more than 6 certificates',
      (xml) => xml.replace('<ds:X509Data>', `<ds:X509Data>${'<ds:X509Certificate>AA==</ds:X509Certificate>'.repeat(4)}`),
    ],
    ['no certificate', (xml) => xml.replace(/<ds:X509Certificate>.*<\/ds:X509Certificate>/s, '')],
    ['deep nesting', (xml) => xml.replace('<ns0:Payload>', `<ns0:Payload>${'<ns0:Resource>'.repeat(20)}${'</ns0:Resource>'.repeat(20)}`)],
    ['more than 128 KiB', (xml) => xml.replace('\n', `\n${' '.repeat(128 * 1024)}`)],
  ])('does not hold %s', async (_, change) => {
    const xml = change(whole())
    expect(xml).not.toBe(whole())
    expect(await parse(xml)).toBe('DOCUMENT_INVALID')
  })

  it.each<readonly [string, string]>([
    ['an index twice', resource(0, ['00'.repeat(48)]).repeat(2)],
    ['indices out of order', `${resource(2, ['00'.repeat(48)])}${resource(1, ['00'.repeat(48)])}`],
    ['index 64', resource(64, ['00'.repeat(48)])],
    ['an index with a leading zero', resource('01', ['00'.repeat(48)])],
    ['a short hash', resource(0, ['00'.repeat(47)])],
    ['fewer hashes than alternatives', resource(0, ['00'.repeat(48)], (xml) => xml.replace('alternatives="1"', 'alternatives="2"'))],
    [
      'more hashes than alternatives',
      resource(0, ['00'.repeat(48), '11'.repeat(48)], (xml) => xml.replace('alternatives="2"', 'alternatives="1"')),
    ],
    ['another size', resource(0, ['00'.repeat(48)], (xml) => xml.replace('size="48"', 'size="32"'))],
    ['active neither True nor False', resource(0, ['00'.repeat(48)], (xml) => xml.replace('"True"', '"true"'))],
    ['another kind of resource', resource(0, ['00'.repeat(48)], (xml) => xml.replace('"Measurement"', '"Other"'))],
    [
      '17 alternatives',
      resource(
        0,
        Array.from({ length: 17 }, () => '00'.repeat(48)),
      ),
    ],
    ['no measurements', '\n'],
  ])('has no measurements with %s', async (_, resources) => {
    expect(await outcomeOf(() => parseRim(makeRim(chain, { resources }), 'rim'))).toBe('DOCUMENT_INVALID')
  })

  it('fails only with an AttestError, whatever the text', async () => {
    const xml = text(makeRim(chain))
    const safely = async (input: Uint8Array): Promise<void> => {
      try {
        await parseRim(input, 'rim')
      } catch (error) {
        expect(error).toBeInstanceOf(AttestError)
        expect((error as AttestError).code).not.toBe('INTERNAL')
      }
    }
    const bytes = utf8(xml)
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 512 }), safely))
    const piece = fc.constantFrom(
      '<',
      '>',
      '"',
      '=',
      '/',
      'xmlns',
      'xmlns:ns0=""',
      '</ns0:Meta>',
      '<ns9:a/>',
      ' ',
      '&lt;',
      '<ds:Signature>',
    )
    const change = fc.asyncProperty(fc.nat(bytes.length - 1), piece, fc.nat(30), (at, insert, cut) =>
      safely(utf8(xml.slice(0, at) + insert + xml.slice(at + cut))),
    )
    await fc.assert(change, { numRuns: 500 })
  })

  it('is refused at truncations all along', async () => {
    const xml = whole()
    for (let size = 0; size < xml.length; size += 23) expect(await parse(xml.slice(0, size))).not.toBe('accepted')
  })
})

describe('canonical form', () => {
  const canonical = (xml: string, inherited: ReadonlyMap<string, string> = new Map()): string =>
    canonicalXml(parseXml(xml, 'xml'), inherited, null)

  it.each([
    ['<a/>', '<a></a>'],
    [`<a  c='1' b="2" />`, '<a b="2" c="1"></a>'],
    ['<a xmlns:y="u" xmlns:x="v" y:b="1" x:a="2" c="3"/>', '<a xmlns:x="v" xmlns:y="u" c="3" y:b="1" x:a="2"></a>'],
    ['<a xmlns="u"><b xmlns="u"/></a>', '<a xmlns="u"><b></b></a>'],
    ['<a xmlns="u"><b xmlns=""/></a>', '<a xmlns="u"><b xmlns=""></b></a>'],
    [
      '<x:a xmlns:x="u"><x:b xmlns:x="v"><x:c xmlns:x="u"/></x:b></x:a>',
      '<x:a xmlns:x="u"><x:b xmlns:x="v"><x:c xmlns:x="u"></x:c></x:b></x:a>',
    ],
    [`<a b='"'>1 > 0</a>`, '<a b="&quot;">1 &gt; 0</a>'],
  ])('of %s is %s', (xml, want) => expect(canonical(xml)).toBe(want))

  it('of a part has the namespaces around it', () => {
    expect(
      canonical(
        '<a/>',
        new Map([
          ['', 'u'],
          ['x', 'v'],
        ]),
      ),
    ).toBe('<a xmlns="u" xmlns:x="v"></a>')
  })
})
