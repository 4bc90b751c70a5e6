import { assertRoundTrip } from './invariants.mjs'
import { real } from './seeds.mjs'

/** A report of a GPU with one measurement: what is longer in real ones is more of the same. */
function smallReport() {
  const text = (value) => Buffer.from(`${value}\0`)
  const field = (type, value) => Buffer.concat([Buffer.from([type, 0, value.length, 0]), value])
  const opaque = Buffer.concat([
    field(6, Buffer.from('009f009601000000', 'hex')),
    field(15, text('882')),
    field(17, text('1010')),
    field(18, text('0200')),
    field(3, text('550.90.07')),
    field(20, Buffer.alloc(48)),
    field(36, Buffer.from([1, 0])),
  ])
  const block = Buffer.concat([Buffer.from('01013300013000', 'hex'), Buffer.alloc(48)])
  const head = Buffer.concat([Buffer.from('11e001ff', 'hex'), Buffer.alloc(32), Buffer.from('001160000001370000', 'hex')])
  return Uint8Array.from(Buffer.concat([head, block, Buffer.alloc(32), Buffer.from([opaque.length, 0]), opaque, Buffer.alloc(96)]))
}

const reports = () => [smallReport(), ...real('nvidia-gpu/evidence', /\.report\.bin$/)]

function lists() {
  const evidence = Buffer.from(smallReport()).toString('base64')
  const item = { evidence, certificate: Buffer.from('-----BEGIN CERTIFICATE-----\n').toString('base64') }
  return [Uint8Array.from(Buffer.from(JSON.stringify({ nonce: '00', arch: 'HOPPER', evidence_list: [item, item] })))]
}

/** The shape of a manifest with one measurement; signature and certificates are no real ones. */
function smallRim() {
  const algorithm = (name, uri) => `<ds:${name} Algorithm="${uri}"/>`
  const c14n = 'http://www.w3.org/2006/12/xml-c14n11'
  const transforms = algorithm('Transform', 'http://www.w3.org/2000/09/xmldsig#enveloped-signature') + algorithm('Transform', c14n)
  const digest = algorithm('DigestMethod', 'http://www.w3.org/2001/04/xmldsig-more#sha384')
  const zeros = (size) => Buffer.alloc(size).toString('base64')
  const methods =
    algorithm('CanonicalizationMethod', c14n) + algorithm('SignatureMethod', 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384')
  const reference = `<ds:Reference URI=""><ds:Transforms>${transforms}</ds:Transforms>${digest}<ds:DigestValue>${zeros(48)}</ds:DigestValue></ds:Reference>`
  const keyInfo = '<ds:KeyInfo><ds:X509Data><ds:X509Certificate>MAA=</ds:X509Certificate></ds:X509Data></ds:KeyInfo>'
  const meta = ['BindingSpec', 'BindingSpecVersion', 'PlatformManufacturerId', 'PlatformManufacturerStr']
    .concat(['FirmwareManufacturer', 'FirmwareManufacturerId'])
    .map((name) => ` ns1:${name}="x"`)
    .join('')
  const swid = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
  const tcg = 'https://trustedcomputinggroup.org/resource/tcg-reference-integrity-manifest-rim-information-model/'
  const root = `xmlns="${swid}" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" corpus="false" name="GH100" patch="false" supplemental="false" tagId="x" version="1.0" tagVersion="0"`
  const resource = `<Resource type="Measurement" index="0" active="True" alternatives="1" ns2:Hash0="${'00'.repeat(48)}" name="Measurement_0" size="48"/>`
  return Uint8Array.from(
    Buffer.from(
      `<SoftwareIdentity ${root}><Entity name="N" role="r"/><Meta xmlns:ns1="${tcg}" colloquialVersion="1" edition="GPU" product="GH100" revision="r1" PayloadType="direct" ns1:PlatformModel="GH100"${meta}/><Payload>${resource}</Payload><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>${methods}${reference}</ds:SignedInfo><ds:SignatureValue>${zeros(96)}</ds:SignatureValue>${keyInfo}</ds:Signature></SoftwareIdentity>`,
    ),
  )
}

/** OCSPResponse with one answer; the signature is of no key. */
function smallOcsp() {
  const tlv = (tag, ...parts) => {
    const content = Buffer.concat(parts)
    const n = content.length
    const size = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff]
    return Buffer.concat([Buffer.from([tag, ...size]), content])
  }
  const hex = (text) => Buffer.from(text, 'hex')
  const time = tlv(0x18, Buffer.from('20260601000000Z'))
  const sha1 = tlv(0x30, hex('06052b0e03021a'))
  const id = tlv(0x30, sha1, tlv(0x04, Buffer.alloc(20)), tlv(0x04, Buffer.alloc(20)), hex('020101'))
  const revoked = tlv(0xa1, time, tlv(0xa0, hex('0a0106')))
  const answers = [hex('8000'), revoked].map((status) => tlv(0x30, id, status, time, tlv(0xa0, time)))
  const nonce = tlv(0xa1, tlv(0x30, tlv(0x30, hex('06092b0601050507300102'), tlv(0x04, tlv(0x04, Buffer.alloc(32))))))
  const data = tlv(0x30, tlv(0xa2, tlv(0x04, Buffer.alloc(20))), time, tlv(0x30, ...answers), nonce)
  const basic = tlv(0x30, data, tlv(0x30, hex('06082a8648ce3d040303')), tlv(0x03, hex('00'), tlv(0x30, hex('020101020101'))))
  const bytes = tlv(0xa0, tlv(0x30, hex('06092b0601050507300101'), tlv(0x04, basic)))
  return Uint8Array.from(tlv(0x30, hex('0a0100'), bytes))
}

export const nvidiaTargets = [
  {
    name: 'nvidia-report',
    async open({ load }) {
      const { parseDeviceReport } = await load('verify/evidence/nvidia/parse.js')
      const { describeDevice } = await load('verify/evidence/nvidia/claims.js')
      const nothing = { chain: null, rims: [], comparison: { compared: [], mismatches: [], conflicts: [], skipped: [] }, answers: [] }
      const run = (input) => {
        const report = parseDeviceReport(input)
        assertRoundTrip(input, Buffer.concat([report.signed, report.signature]))
        JSON.stringify(describeDevice(report, nothing))
      }
      return { seeds: reports(), run }
    },
  },
  {
    name: 'nvidia-evidence-list',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { readDevices } = await load('verify/evidence/nvidia/evidence-list.js')
      return { seeds: lists(), run: readDevices }
    },
  },
  {
    name: 'nvidia-rim',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { parseRim } = await load('verify/evidence/nvidia/rim/parse.js')
      const { encodeRim } = await load('verify/evidence/nvidia/rim/encode.js')
      const { AttestError } = await load('verify/errors.js')
      // Values with quotes or angle brackets have no form that could be read again.
      const again = async (bytes) => {
        try {
          return await parseRim(bytes, 'fuzz')
        } catch (error) {
          if (error instanceof AttestError) return null
          throw error
        }
      }
      const run = async (input) => {
        const spelled = encodeRim(await parseRim(input, 'fuzz'))
        const rim = await again(spelled)
        if (rim !== null) assertRoundTrip(spelled, encodeRim(rim))
      }
      return { seeds: [smallRim(), ...real('nvidia-gpu/rim', /\.xml$/)], run }
    },
  },
  {
    name: 'ocsp',
    async open({ load }) {
      const { parseOcspResponse } = await load('verify/formats/ocsp.js')
      const seeds = [smallOcsp(), ...real('nvidia-gpu/ocsp', /\.der$/)]
      return { seeds, run: (input) => parseOcspResponse(input) }
    },
  },
]
