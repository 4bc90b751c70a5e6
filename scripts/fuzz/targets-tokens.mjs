import { assertRoundTrip, verdictTarget } from './invariants.mjs'
import { made, real } from './seeds.mjs'

/** When the simulated document and tokens are of age (test/fuzz/make-token-seeds.mjs). */
const AT = new Date('2026-06-15T12:00:00Z')

const proven = ({ tee, measurement, reportData }) => [tee, measurement, reportData]
const documents = () => [made('nitro.bin'), ...real('nitro/documents', /\.cbor$/, 8)]
const tokens = () => [made('arm-cca.bin'), ...real('arm-cca/tokens', /\.cbor$/, 8)]
const psaTokens = () => [made('arm-psa.bin'), ...real('arm-cca/psa', /\.bin$/)]

/** One format of evidence, asked for by name and with what vouches for its seeds. */
function evidenceTarget(format, { seeds, trustAnchors }) {
  return {
    name: `verify-${format}`,
    async open({ load }) {
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { verifyEvidence } = await load('verify/verify-evidence.js')
      const asked = { format, collateral: [], trustAnchors, at: AT, allowUnknown: [], forecast: { early: [] } }
      const verify = (input, cache) => verifyEvidence(input, { ...asked, cache })
      return { seeds, run: verdictTarget({ seeds, verify, proven, createCache: createVerifyCache }) }
    },
  }
}

export const tokenTargets = [
  {
    name: 'cbor',
    async open({ load, tolerate }) {
      const { decodeCbor, takeTag } = await load('verify/formats/cbor.js')
      const run = (input) => {
        for (const indefiniteMaps of [false, true]) tolerate(() => decodeCbor(input, 'fuzz', { maxSize: 1 << 16, indefiniteMaps }))
        const { rest } = takeTag(input, 'fuzz')
        assertRoundTrip(input.subarray(input.length - rest.length), rest)
      }
      return { seeds: [...documents(), ...tokens(), ...psaTokens(), ...real('arm-cca/claims', /\.cbor$/)], run }
    },
  },
  {
    name: 'cose',
    async open({ load, tolerate }) {
      const { parseSign1 } = await load('verify/formats/cose.js')
      const { spkiOfCoseKey } = await load('verify/formats/ec-key.js')
      const run = (input) => {
        tolerate(() => spkiOfCoseKey(input, 'fuzz'))
        return parseSign1(input, 'fuzz', 1 << 16)
      }
      return { seeds: [...documents(), ...psaTokens()], run }
    },
  },
  {
    name: 'nitro-document',
    async open({ load }) {
      const { parseNitroDocument } = await load('verify/evidence/nitro/parse.js')
      return { seeds: documents(), run: parseNitroDocument }
    },
  },
  {
    name: 'arm-tokens',
    async open({ load, tolerate }) {
      const { parseCcaToken, parsePlatformClaims, parseRealmClaims } = await load('verify/evidence/arm-cca/parse.js')
      const { parsePsaToken } = await load('verify/evidence/arm-cca/psa.js')
      const run = (input) => {
        for (const parse of [parsePsaToken, parsePlatformClaims, parseRealmClaims]) tolerate(() => parse(input))
        return parseCcaToken(input)
      }
      return { seeds: [...tokens(), ...psaTokens(), ...real('arm-cca/claims', /\.cbor$/)], run }
    },
  },
  {
    name: 'trust-anchors',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { loadTrustAnchors } = await load('verify/evidence/trust-anchors.js')
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const run = (input) => loadTrustAnchors([{ name: 'fuzz', bytes: input }], createVerifyCache())
      const seeds = [made('arm-keys.pem'), made('token-keys.golden.json'), made('nitro-root.der'), ...real('arm-cca/cpak', /\.pem$/)]
      return { seeds, run }
    },
  },
  evidenceTarget('nitro', { seeds: [made('nitro.bin')], trustAnchors: [made('nitro-root.der')] }),
  evidenceTarget('arm-cca', { seeds: [made('arm-cca.bin'), made('arm-psa.bin')], trustAnchors: [made('arm-keys.pem')] }),
  evidenceTarget('nras-eat', { seeds: [made('nras-eat.golden.json')], trustAnchors: [made('token-keys.golden.json')] }),
  evidenceTarget('ita-jwt', { seeds: [made('ita.jwt')], trustAnchors: [made('token-keys.golden.json')] }),
]
