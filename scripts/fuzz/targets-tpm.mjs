import { generateKeyPairSync, sign } from 'node:crypto'
import { assertRoundTrip, Violation, verdictTarget } from './invariants.mjs'
import { real } from './seeds.mjs'

const u16 = (n) => Buffer.from([n >> 8, n & 0xff])
const u32 = (n) => Buffer.from([n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff])
const le32 = (n) => Buffer.from(u32(n)).reverse()
const sized = (bytes) => Buffer.concat([u16(bytes.length), bytes])
const bytes = (...parts) => Uint8Array.from(Buffer.concat(parts))

const NONCE = Buffer.from('nonce')

/** TPMS_ATTEST over PCR 0 and 7 of the SHA-256 bank. */
function attest() {
  const head = [Buffer.from('ff5443478018', 'hex'), sized(Buffer.alloc(34, 7)), sized(NONCE)]
  const clock = [Buffer.alloc(8), u32(3), u32(0), Buffer.from([1]), Buffer.alloc(8, 2)]
  return bytes(...head, ...clock, u32(1), u16(11), Buffer.from([3, 0x81, 0, 0]), sized(Buffer.alloc(32, 9)))
}

/** An attestation key, its TPMT_PUBLIC and its TPMT_SIGNATURE. */
function signer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const point = [x, y].map((text) => sized(Buffer.from(text, 'base64url')))
  const template = [u16(0x23), u16(11), u32(0x50072), sized(Buffer.alloc(0)), u16(0x10), u16(0x18), u16(11), u16(3), u16(0x10)]
  const signature = (message) => {
    const raw = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    return bytes(u16(0x18), u16(11), sized(raw.subarray(0, 32)), sized(raw.subarray(32)))
  }
  return { publicArea: bytes(...template, ...point), signature }
}

function rsaPublic() {
  const template = [u16(1), u16(11), u32(0x50072), sized(Buffer.alloc(0)), u16(0x10), u16(0x14), u16(11), u16(2048), u32(0)]
  return bytes(...template, sized(Buffer.alloc(256, 0xc1)))
}

const PCRS = Buffer.from(JSON.stringify({ 0: '00'.repeat(32), 7: '11'.repeat(32) }))

function hclReport(type) {
  const key = { kid: 'HCLAkPub', key_ops: ['sign'], kty: 'RSA', e: 'AQAB', n: Buffer.alloc(256, 0xc1).toString('base64url') }
  const data = Buffer.from(JSON.stringify({ keys: [key], 'vm-configuration': { 'secure-boot': true }, 'user-data': '00'.repeat(64) }))
  const report = Buffer.alloc(1184)
  report[0] = type === 4 ? 0x81 : 3
  const header = [Buffer.from('HCLA'), le32(2), le32(1236 + data.length), le32(2), le32(0), Buffer.alloc(12)]
  return bytes(...header, report, le32(20 + data.length), le32(1), le32(type), le32(1), le32(data.length), data, Buffer.alloc(8))
}

/** A firmware log with SHA-256 digests: locality of the start, a version, a separator. */
function firmwareLog() {
  const spec = Buffer.concat([
    Buffer.from('Spec ID Event03\0'),
    le32(0),
    Buffer.from([0, 2, 0, 2]),
    le32(1),
    Buffer.from([11, 0, 32, 0, 0]),
  ])
  const header = [le32(0), le32(3), Buffer.alloc(20), le32(spec.length), spec]
  const event = (pcr, type, data) => [le32(pcr), le32(type), le32(1), Buffer.from([11, 0]), Buffer.alloc(32, type), le32(data.length), data]
  const events = [event(0, 3, Buffer.from('StartupLocality\0\x03')), event(0, 8, Buffer.from('v1\0')), event(7, 4, Buffer.alloc(4))]
  return bytes(...header, ...events.flat())
}

export const tpmTargets = [
  {
    name: 'tpm-attest',
    async open({ load }) {
      const { parseAttest } = await load('verify/evidence/tpm/attest.js')
      const { describeTpmQuote } = await load('verify/evidence/tpm/claims.js')
      const run = (input) => {
        const quote = parseAttest(input)
        assertRoundTrip(input.subarray(input.length - quote.signed.length), quote.signed)
        if (input.length - quote.signed.length > 2) throw new Violation('trailing', 'bytes that nobody signed')
        JSON.stringify(describeTpmQuote(quote, null, []))
      }
      return { seeds: [attest(), bytes(sized(attest())), ...real('tpm/quotes', /attest\.bin$/)], run }
    },
  },
  {
    name: 'tpm-signature',
    async open({ load }) {
      const { parseSignature, signatureBytes } = await load('verify/evidence/tpm/signature.js')
      const run = (input) => signatureBytes(parseSignature(input), 'P-256')
      return { seeds: [signer().signature(attest()), bytes(u16(0x14), u16(11), sized(Buffer.alloc(256, 5)))], run }
    },
  },
  {
    name: 'tpm-public',
    async open({ load }) {
      const { parsePublic } = await load('verify/evidence/tpm/public.js')
      const { kindOfSpki } = await load('verify/formats/spki.js')
      const run = (input) => {
        const { raw, spki } = parsePublic(input)
        assertRoundTrip(input.subarray(input.length - raw.length), raw)
        if (kindOfSpki(spki, 'fuzz') === null) throw new Violation('key', 'a key that is read and then not known')
      }
      const seeds = [signer().publicArea, rsaPublic(), ...real('tpm/quotes/gce-cos85-nonce9009', /tpmt_public\.bin$/)]
      return { seeds: [...seeds, bytes(sized(seeds[0]))], run }
    },
  },
  {
    name: 'tpm-pcrs',
    async open({ load }) {
      const { parsePcrs } = await load('verify/evidence/tpm/pcrs.js')
      const list = Buffer.from(JSON.stringify(['00'.repeat(48), '11'.repeat(48)]))
      return { seeds: [PCRS, list].map((seed) => Uint8Array.from(seed)), run: parsePcrs }
    },
  },
  {
    name: 'tpm-event-log',
    maxSize: 128 * 1024,
    async open({ load }) {
      const { replayPcrLogs } = await load('verify/evidence/tpm/event-log.js')
      const { parsePcrs } = await load('verify/evidence/tpm/pcrs.js')
      const bank = parsePcrs(Uint8Array.from(PCRS))
      const run = async (input) => JSON.stringify(await replayPcrLogs([input], { hash: bank.hash, indices: [0, 7] }, [bank]))
      return { seeds: [firmwareLog(), ...real('tpm/quotes/gce-cos85-nonce9009', /eventlog\.bin$/)], run }
    },
  },
  {
    name: 'tpm-sha1-log',
    maxSize: 128 * 1024,
    async open({ load }) {
      const { parseSha1Log } = await load('verify/evidence/tdx/event-log/tcg-log.js')
      return {
        seeds: real('tpm/quotes/gcp-windows-shielded-sha1', /eventlog\.bin$/).concat([new Uint8Array(64)]),
        run: (input) => parseSha1Log(input, 23),
      }
    },
  },
  {
    name: 'tpm-keylime',
    async open({ load }) {
      const { splitKeylime } = await load('verify/evidence/tpm/keylime.js')
      const text = `r${[attest(), attest(), attest()].map((b) => Buffer.from(b).toString('base64')).join(':')}`
      const run = (input) => splitKeylime(Buffer.from(input).toString('latin1'))
      return { seeds: [bytes(Buffer.from(text)), ...real('tpm/quotes', /keylime/)], run }
    },
  },
  {
    name: 'hcl-report',
    async open({ load }) {
      const { parseHclReport } = await load('verify/evidence/azure-cvm/hcl-report.js')
      const { parseRuntimeData } = await load('verify/evidence/azure-cvm/runtime-data.js')
      const run = (input) => JSON.stringify(parseRuntimeData(parseHclReport(input).runtimeData).vmConfiguration)
      const found = ['azsnp-v1', 'azsnp-genoa', 'aztdx-v0'].flatMap((name) => real(`tpm/azure/${name}`, /^hcl/))
      return { seeds: [hclReport(2), hclReport(4), ...found], run }
    },
  },
  {
    name: 'verify-tpm',
    async open({ load }) {
      const { verifyEvidence } = await load('verify/verify-evidence.js')
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { publicArea, signature } = signer()
      const seed = attest()
      const collateral = [publicArea, signature(seed)]
      const common = { format: 'tpm', collateral, trustAnchors: [publicArea], at: new Date('2026-01-01T00:00:00Z'), allowUnknown: [] }
      const verify = (input, cache) => verifyEvidence(input, { ...common, nonce: Uint8Array.from(NONCE), cache })
      const run = verdictTarget({
        seeds: [seed],
        verify,
        proven: ({ pcrDigest, extraData, ak }) => [pcrDigest, extraData, ak],
        createCache: createVerifyCache,
      })
      return { seeds: [seed], run }
    },
  },
]
