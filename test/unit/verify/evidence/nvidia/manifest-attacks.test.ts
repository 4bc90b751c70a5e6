import { beforeAll, describe, expect, it } from 'vitest'
import {
  AUTHORITY,
  answer,
  biosRim,
  createSimulatedNvidia,
  devicePairs,
  driverRim,
  encodeChain,
  encodeRim,
  FIRMWARE,
  issueResponder,
  issueRimSigner,
  type RimFields,
  type RimSigner,
  rimPairs,
  rimSigner,
  signDeviceReport,
} from '../../../../../src/sim/index.ts'
import { fromUtf8, toBase64, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { ANSWERED, AT, look, MADE, type NvidiaWorld, nvidiaWorld, objections, signedReport } from '../../../../support/nvidia.ts'

const firmware = FIRMWARE.GH100
let world: NvidiaWorld
let signer: RimSigner
let report: Uint8Array
/** Everything that is due but the manifests. */
let others: readonly Uint8Array[]
beforeAll(async () => {
  world = await nvidiaWorld()
  const [device] = world.hopper.gpus
  if (device === undefined) throw new Error('no device')
  signer = rimSigner(world.nvidia, 'GH100')
  report = signedReport(device)
  const answers = [...devicePairs(world.nvidia, device), ...rimPairs(world.nvidia, 'GH100')].map((pair) => answer(pair, ANSWERED))
  others = [encodeChain(device.chain), ...answers]
})

/** Shared on purpose: nothing that it keeps may let an attack through. */
const cache = createVerifyCache()

async function rulesWith(rims: readonly Uint8Array[], more: Partial<VerifyOptions> = {}, evidence = report): Promise<readonly string[]> {
  return objections(await look(world, evidence, [...others, ...rims], { cache, ...more }))
}

const driver = (change: Partial<RimFields> = {}, by: RimSigner = signer): Uint8Array =>
  encodeRim({ ...driverRim('GH100', firmware), ...change }, by)
const vbios = (change: Partial<RimFields> = {}, by: RimSigner = signer): Uint8Array =>
  encodeRim({ ...biosRim('GH100', firmware), ...change }, by)

/** With one change to the text of the signed driver manifest. */
function edited(from: string | RegExp, to: string): Promise<readonly string[]> {
  const text = fromUtf8(driver())
  const changed = text.replace(from, () => to)
  expect(changed).not.toBe(text)
  return rulesWith([utf8(changed), vbios()])
}

const MALFORMED = ['format.well-formed=fail']

describe('manifests of a simulated GPU', () => {
  it('are counted, and what lacks one is unknown', async () => {
    expect(await rulesWith([driver(), vbios()])).toEqual([])
    expect(await rulesWith([vbios()])).toEqual(['reference-values.driver-rim=unknown'])
    expect(await rulesWith([driver()])).toEqual(['reference-values.vbios-rim=unknown'])
    expect(await rulesWith([])).toContain('reference-values.measurements=unknown')
  })

  it('come as XML or as the manifest service answers', async () => {
    const service = (rim: Uint8Array): Uint8Array => utf8(JSON.stringify({ id: 'NV_X', rim: toBase64(rim), sha256: '', rim_format: 'XML' }))
    expect(await rulesWith([service(driver()), service(vbios())])).toEqual([])
  })

  it('are refused for a changed bit in any part', async () => {
    const bytes = driver()
    for (let i = 0; i < bytes.length; i += 97) {
      const changed = bytes.map((b, k) => (k === i ? b ^ (1 << (i % 8)) : b))
      expect(await rulesWith([changed, vbios()]), `byte ${i}`).not.toEqual([])
    }
  })

  it('say nothing of another version or another product', async () => {
    expect(await rulesWith([driver({ colloquialVersion: '599.10.02' }), vbios()])).toEqual(['reference-values.driver-rim=unknown'])
    const rules = await rulesWith([driver({ product: 'GB100' }), vbios()])
    expect(rules).toContain('reference-values.driver-rim=fail')
  })

  it('do not both speak for one index', async () => {
    const { measurements } = biosRim('GH100', firmware)
    const [, ...rest] = driverRim('GH100', firmware).measurements
    const also = measurements.map((m) => (m.index === 21 ? { ...(rest.find(({ index }) => index === 21) ?? m) } : m))
    expect(await rulesWith([driver(), vbios({ measurements: also })])).toEqual(['reference-values.conflicts=fail'])
  })

  it('may give alternatives, and say nothing where they are inactive', async () => {
    const { measurements } = driverRim('GH100', firmware)
    const wrong = new Uint8Array(48).fill(7)
    const second = measurements.map((m) => (m.index === 7 ? { ...m, alternatives: [wrong, ...m.alternatives] } : m))
    expect(await rulesWith([driver({ measurements: second }), vbios()])).toEqual([])
    const bad = measurements.map((m) => (m.index === 7 ? { ...m, alternatives: [wrong, wrong] } : m))
    expect(await rulesWith([driver({ measurements: bad }), vbios()])).toEqual(['reference-values.measurements=fail'])
    const silent = measurements.map((m) => (m.index === 7 ? { ...m, alternatives: [wrong], active: false } : m))
    expect(await rulesWith([driver({ measurements: silent }), vbios()])).toEqual([])
  })

  it('name each index once, and none that does not exist', async () => {
    const { measurements } = driverRim('GH100', firmware)
    const [first] = measurements
    expect(await rulesWith([driver({ measurements: first === undefined ? [] : [...measurements.slice(0, 60), first] }), vbios()])).toEqual(
      MALFORMED,
    )
    expect(await rulesWith([driver({ measurements: measurements.map((m) => ({ ...m, index: m.index + 1 })) }), vbios()])).toEqual(MALFORMED)
    expect(await rulesWith([driver({ measurements: [] }), vbios()])).toEqual(MALFORMED)
  })

  it('with a mismatch that the caller named are accepted, and no other', async () => {
    const { measurements } = driverRim('GH100', firmware)
    const bad = measurements.map((m) => (m.index === 7 ? { ...m, alternatives: [new Uint8Array(48).fill(7)] } : m))
    expect(await rulesWith([driver({ measurements: bad }), vbios()], { nvidia: { allowedMismatches: [7] } })).toEqual([])
    expect(await rulesWith([driver({ measurements: bad }), vbios()], { nvidia: { allowedMismatches: [6, 8] } })).toEqual([
      'reference-values.measurements=fail',
    ])
  })
})

describe('the signature of a manifest', () => {
  it('is not that of a stranger, whatever KeyInfo says', async () => {
    const stranger = await createSimulatedNvidia({ at: MADE })
    const theirs = rimSigner(stranger, 'GH100')
    expect(await rulesWith([driver({}, theirs), vbios()])).toContain('chain.driver-rim=fail')
    expect(await rulesWith([driver({}, { key: theirs.key, certificates: signer.certificates }), vbios()])).toContain(
      'signature.driver-rim=fail',
    )
    const mixed = [...theirs.certificates.slice(0, 1), ...signer.certificates.slice(1)]
    expect(await rulesWith([driver({}, { key: theirs.key, certificates: mixed }), vbios()])).toContain('chain.driver-rim=fail')
    const both = [...theirs.certificates.slice(0, 1), ...signer.certificates]
    expect(await rulesWith([driver({}, { key: theirs.key, certificates: both }), vbios()])).toContain('chain.driver-rim=fail')
    const after = [...signer.certificates, ...theirs.certificates.slice(0, 1)]
    expect(await rulesWith([driver({}, { key: theirs.key, certificates: after }), vbios()])).toContain('signature.driver-rim=fail')
  })

  it('is not that of a device, though the caller’s roots stand for both', async () => {
    const [device] = world.hopper.gpus
    const theirs = { key: device?.leaf.key ?? signer.key, certificates: device?.chain ?? [] }
    expect(await rulesWith([driver({}, theirs), vbios()])).toContain('chain.driver-rim=fail')
    const posing = signDeviceReport(report.subarray(0, report.length - 96), signer.key)
    const verdict = await look(world, posing, [encodeChain(signer.certificates), ...others.slice(1), driver(), vbios()])
    expect(objections(verdict)).toContainEqual(expect.stringMatching(/^chain\./))
  })

  it('comes with the whole chain, root included', async () => {
    for (let i = 0; i < 4; i++) {
      const certificates = signer.certificates.filter((_, k) => k !== i)
      expect(await rulesWith([driver({}, { ...signer, certificates }), vbios()]), `without ${i}`).toContain('chain.driver-rim=fail')
    }
  })

  it('is made by a signer of data: no authority, no responder, none that has expired', async () => {
    const { intermediate, ca } = world.nvidia.rims.GH100
    const above = [intermediate, ca, world.nvidia.rimRoot].map(({ certificate }) => certificate)
    const by = async (made: ReturnType<typeof issueRimSigner>): Promise<readonly string[]> => {
      const { key, certificate } = await made
      return rulesWith([driver({}, { key, certificates: [certificate, ...above] }), vbios()])
    }
    expect(await by(issueRimSigner(intermediate, MADE))).toEqual(['revocation.driver-rim-0=unknown'])
    expect(await by(issueRimSigner(intermediate, MADE, { extensions: AUTHORITY }))).toContain('chain.driver-rim=fail')
    expect(await by(issueResponder(intermediate, MADE))).toContain('chain.driver-rim=fail')
    expect(await by(issueRimSigner(intermediate, MADE, { notAfter: new Date(AT.getTime() - 1000) }))).toContain('validity.driver-rim=fail')
    expect(await by(issueRimSigner(intermediate, MADE, { notBefore: new Date(AT.getTime() + 1000) }))).toContain('validity.driver-rim=fail')
    const { key, certificates } = signer
    expect(await rulesWith([driver({}, { key: intermediate.key, certificates: certificates.slice(1) }), vbios()])).toContain(
      'chain.driver-rim=fail',
    )
    expect(await rulesWith([driver({}, { key, certificates: certificates.toReversed() }), vbios()])).toContain('chain.driver-rim=fail')
  })

  it('covers what is read: nothing is wrapped around, put beside or hidden', async () => {
    const text = fromUtf8(driver())
    const evil = text.replaceAll(/ns2:Hash0="[0-9a-f]{96}"/g, `ns2:Hash0="${'11'.repeat(48)}"`)
    const signature = text.slice(text.indexOf('<ds:Signature'), text.indexOf('</SoftwareIdentity>'))
    const body = (from: string): string => from.slice(0, from.indexOf('<ds:Signature'))
    const attempts: readonly string[] = [
      // The genuine document inside of the signature, in an Object.
      `${body(evil)}${signature.replace('</ds:Signature>', `<ds:Object>${text}</ds:Object></ds:Signature>`)}</SoftwareIdentity>`,
      // The genuine document inside of the forged one.
      `${body(evil)}${text}</SoftwareIdentity>`,
      `${body(evil)}${signature}${text}</SoftwareIdentity>`,
      // Two payloads, two signatures, one reference to an element.
      text.replace('<ns0:Payload', `${/<ns0:Payload[\s\S]*<\/ns0:Payload>/.exec(evil)?.[0] ?? ''}<ns0:Payload`),
      text.replace('</SoftwareIdentity>', `${signature}</SoftwareIdentity>`),
      text.replace('URI=""', 'URI="#genuine"'),
      // The signature before what it signs.
      `${text.slice(0, text.indexOf('>') + 1)}${signature}${text.slice(text.indexOf('>') + 1, text.indexOf('<ds:Signature'))}</SoftwareIdentity>`,
    ]
    for (const [i, attempt] of attempts.entries()) expect(await rulesWith([utf8(attempt), vbios()]), `attempt ${i}`).toEqual(MALFORMED)
    expect(await rulesWith([utf8(`${body(evil)}${signature}</SoftwareIdentity>`), vbios()])).toContain('signature.driver-rim=fail')
  })

  it.each([
    ['a key beside the certificates', '<ds:X509Data>', '<ds:KeyValue/><ds:X509Data>'],
    ['another digest', 'xmldsig-more#sha384', 'xmldsig-more#sha224'],
    ['another signature method', 'xmldsig-more#ecdsa-sha384', 'xmldsig-more#ecdsa-sha256'],
    [
      'another canonical form',
      'http://www.w3.org/2006/12/xml-c14n11"/><ds:SignatureMethod',
      'http://www.w3.org/TR/2001/REC-xml-c14n-20010315"/><ds:SignatureMethod',
    ],
    ['a transform more', '<ds:Transforms>', '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"/>'],
    ['a comment', '<ns0:Payload', '<!-- --><ns0:Payload'],
    ['a processing instruction', '<ns0:Payload', '<?x y?><ns0:Payload'],
    ['CDATA', '\n    <ns0:Payload', '<![CDATA[ ]]><ns0:Payload'],
    ['an entity', 'edition="GPU"', 'edition="&#71;PU"'],
    ['an attribute twice', 'edition="GPU"', 'edition="GPU" edition="GPU"'],
    ['an attribute more', 'edition="GPU"', 'edition="GPU" id="x"'],
    ['a hash of another namespace', 'ns2:Hash0', 'ns0:Hash0'],
    ['something behind its end', /$/, '<x/>'],
    ['white space of another kind', '\n    <ns0:Payload', '\r\n    <ns0:Payload'],
  ] as const)('is refused with %s', async (_, from, to) => {
    expect(await edited(from, to)).toEqual(MALFORMED)
  })

  it('does not count behind a document type, where nothing takes it for a manifest', async () => {
    expect(await edited(/^/, '<!DOCTYPE SoftwareIdentity [<!ENTITY a "b">]>')).toEqual(['reference-values.driver-rim=unknown'])
  })

  it.each([
    ['white space between elements', '\n    <ns0:Payload', '\n     <ns0:Payload'],
    ['the case of a digest', /Hash0="[0-9a-f]{96}"/, `Hash0="${'AB'.repeat(48)}"`],
    ['an index made inactive', 'index="7" active="True"', 'index="7" active="False"'],
    ['a version', 'version="1.0"', 'version="1.1"'],
    [
      'a namespace that nothing uses',
      'xmlns:SHA384="http://www.w3.org/2001/04/xmlenc#sha384"',
      'xmlns:SHA385="http://www.w3.org/2001/04/xmlenc#sha384"',
    ],
  ] as const)('notices a change to %s', async (_, from, to) => {
    expect(await edited(from, to)).toContain('signature.driver-rim=fail')
  })
})

describe('a manifest that is signed again', () => {
  it('is taken with the signature that is valid', async () => {
    const { intermediate, ca } = world.nvidia.rims.GH100
    const old = await issueRimSigner(intermediate, MADE, { notAfter: new Date(AT.getTime() - 1000) })
    const certificates = [old, intermediate, ca, world.nvidia.rimRoot].map(({ certificate }) => certificate)
    const expired = driver({}, { key: old.key, certificates })
    expect(await rulesWith([expired, driver(), vbios()])).toEqual([])
    expect(await rulesWith([driver(), expired, vbios()])).toEqual([])
  })
})
