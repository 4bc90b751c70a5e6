import { assertRoundTrip, believing, Violation } from './invariants.mjs'
import { golden, goldens, made, real, simulatedPlatform } from './seeds.mjs'

const MAX_CERTIFICATES = 24
/** Of a row of values: each of thousands of tiny ones would be read in every way, which says nothing about the parser's speed. */
const MAX_PIECES = 8

function certificates() {
  return [made('root.der'), ...simulatedPlatform().certificates, ...real('sev-snp/certs', /\.der$/, MAX_CERTIFICATES)]
}

function crls() {
  return [simulatedPlatform().crl, ...real('sev-snp/crl', /\.crl$/)]
}

function pemOf(der, label) {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n')
  return Buffer.from(`-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`)
}

const utf8 = (input) => Buffer.from(input).toString('utf8')

/** JSON with members in one order, so that values can be compared. */
function sorted(value) {
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = value.members instanceof Map ? [...value.members] : Object.entries(value)
  return `{${members
    .map(([name, item]) => `${JSON.stringify(name)}:${sorted(item)}`)
    .sort()
    .join()}}`
}

export const formatTargets = [
  {
    name: 'der',
    async open({ load, tolerate }) {
      const { assertDer, splitDer, DerReader } = await load('verify/formats/der.js')
      const readers = ['oid', 'smallInteger', 'boolean', 'bitString', 'time', 'whole']
      const run = (input) => {
        const pieces = splitDer(input, 'fuzz')
        assertRoundTrip(input, Buffer.concat(pieces))
        for (const piece of pieces.slice(0, MAX_PIECES)) {
          assertDer(piece, 'fuzz')
          for (const read of readers) tolerate(() => new DerReader(piece, 'fuzz').open(piece[0]).only((r) => r[read]()))
        }
      }
      return { seeds: [...certificates(), ...crls()], run }
    },
  },
  {
    name: 'certificate',
    async open({ load, tolerate }) {
      const { parseCertificate } = await load('verify/formats/x509.js')
      const { parseVek } = await load('verify/evidence/sev-snp/vek.js')
      const { parsePckExtension } = await load('verify/evidence/dcap/pck.js')
      const run = (input) => {
        const certificate = parseCertificate(input)
        assertRoundTrip(input, certificate.raw)
        tolerate(() => parseVek(certificate))
        tolerate(() => parsePckExtension(certificate))
      }
      const { parsePem } = await load('verify/formats/pem.js')
      const chain = parsePem(Buffer.from(made('tdx-v4.bin')).toString('latin1'), 'seed')
      return { seeds: [...certificates(), ...chain.map((block) => block.der)], run }
    },
  },
  {
    name: 'crl',
    async open({ load }) {
      const { parseCrl } = await load('verify/formats/crl.js')
      const run = (input) => assertRoundTrip(input, parseCrl(input).raw)
      return { seeds: crls(), run }
    },
  },
  {
    name: 'pem',
    maxSize: 128 * 1024,
    async open({ load }) {
      const { parsePem } = await load('verify/formats/pem.js')
      const run = (input) => parsePem(utf8(input), 'fuzz')
      const [leaf, root] = certificates()
      const one = pemOf(leaf, 'CERTIFICATE')
      const two = Buffer.concat([one, Buffer.from('a chain\r\n'), pemOf(root, 'CERTIFICATE'), pemOf(crls()[0], 'X509 CRL')])
      return { seeds: [one, two, ...real('roots', /\.pem$/)].map((seed) => Uint8Array.from(seed)), run }
    },
  },
  {
    name: 'canonical-json',
    async open({ load }) {
      const { encodeCanonical, parseCanonical } = await load('verify/formats/canonical-json.js')
      const run = (input) => assertRoundTrip(input, encodeCanonical(parseCanonical(input, 1 << 20)))
      return { seeds: [...goldens('value.golden.json'), ...goldens('payload.golden.json')], run }
    },
  },
  {
    name: 'strict-json',
    async open({ load }) {
      const { parseStrictJson } = await load('verify/evidence/dcap/json.js')
      const run = (input) => {
        const value = parseStrictJson(utf8(input), 'fuzz')
        if (sorted(value) !== sorted(JSON.parse(utf8(input)))) throw new Violation('differs', 'JSON.parse reads another value')
      }
      return {
        seeds: [made('tdx-collateral.golden.json'), made('runtime-log.golden.json'), golden('001-canonical-json', 'value.golden.json')],
        run,
      }
    },
  },
  {
    name: 'jws',
    async open({ load }) {
      const { verifyFlattenedJws, verifyGeneralJws } = await load('verify/formats/jws.js')
      const { CONTRACT_TYP } = await load('verify/documents/contract.js')
      const { RECEIPT_TYP } = await load('verify/documents/statement.js')
      const seeds = [
        golden('010-contract', 'jws.golden.json'),
        golden('027-receipt', 'jws.golden.json'),
        golden('027b-receipt-ml-dsa', 'jws.golden.json'),
      ]
      const verify = async (input) =>
        utf8(input).includes('"signatures"')
          ? verifyGeneralJws(input, RECEIPT_TYP, 'fuzz')
          : verifyFlattenedJws(input, CONTRACT_TYP, 'fuzz')
      const genuine = Promise.all(seeds.map(verify)).then((all) => new Set(all.map((jws) => jws.digest)))
      const run = async (input) => {
        await believing(() => verify(input))
        const { digest } = await verify(input)
        if (!(await genuine).has(digest)) throw new Violation('forged', 'another payload under a signature')
      }
      return { seeds, run }
    },
  },
]
