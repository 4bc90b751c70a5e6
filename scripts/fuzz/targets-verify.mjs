import { verdictTarget } from './invariants.mjs'
import { golden, goldens, made, real } from './seeds.mjs'
import { collateralSeeds, evidenceSeeds } from './targets-evidence.mjs'

/** When the golden documents and the simulated quotes are of age. */
const AT = new Date('2026-06-15T12:00:00Z')

const proven = ({ tee, measurement, reportData }) => [tee, measurement, reportData]

/** The bundle of the document vectors, and the root of the SIMULATED machine that made it. */
async function goldenBundle(load) {
  const { parseEvidenceBundle } = await load('verify/documents/evidence-bundle.js')
  const { simulatedRoots } = JSON.parse(Buffer.from(golden('029-receipt-file', 'trust.golden.json')).toString('utf8'))
  return {
    ...parseEvidenceBundle(golden('018-evidence-bundle', 'bundle.golden.json')),
    trustAnchors: simulatedRoots.map((text) => new Uint8Array(Buffer.from(text, 'base64url'))),
  }
}

/** A quote verifier of one TEE, with everything that can be asked of its result. */
function quoteTarget(tee) {
  return {
    name: `verify-${tee}`,
    async open({ load }) {
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { conclude, isInputError, rejectMalformed } = await load('verify/evidence/conclude.js')
      const { loadCollateral, knownCertificate } = await load('verify/evidence/collateral.js')
      const { rootAnchor } = await load('verify/evidence/authority.js')
      const { dcapRoots } = await load('verify/evidence/dcap/roots.js')
      const { parseCertificate } = await load('verify/formats/x509.js')
      const module = await load(`verify/evidence/${tee}/verify.js`)
      const verifyQuote = tee === 'tdx' ? module.verifyTdxQuote : module.verifySgxQuote
      const items = [made(`${tee}-collateral.golden.json`), ...real(`${tee}/collateral`, new RegExp(`^${tee}.*\\.json$`), 2)]
      const named = items.map((bytes, i) => ({ name: `collateral[${i}]`, bytes }))
      const roots = dcapRoots([rootAnchor(await knownCertificate(parseCertificate(made('root.der'))))])
      const eventLogs = [made('ccel.bin')]
      const verify = async (quote, cache) => {
        const collateral = await loadCollateral(named, cache)
        const common = { collateral, roots, at: AT.getTime(), nonce: null, measurement: null, early: collateral, requirements: {}, cache }
        try {
          const result = await verifyQuote({ ...common, quote, eventLogs: quote.length % 4 === 3 ? eventLogs : [] })
          const { parsed, claims, checks, notChecked } = result
          const forecast = quote.length % 4 === 2 ? await result.forecast() : null
          return { ...conclude({ format: tee, parsed, claims, checks, notChecked }, []), forecast }
        } catch (error) {
          if (isInputError(error)) return rejectMalformed(tee, error, [])
          throw error
        }
      }
      const quotes = tee === 'tdx' ? ['tdx-v5.bin', 'tdx-v4.bin'] : ['sgx-v3.bin']
      const seeds = [...quotes.map(made), ...real(`${tee}/evidence`, /\.bin$/, 12)]
      return { seeds, run: verdictTarget({ seeds, verify, proven, createCache: createVerifyCache }) }
    },
  }
}

export const verifyTargets = [
  quoteTarget('sgx'),
  quoteTarget('tdx'),
  {
    name: 'verify-evidence',
    async open({ load }) {
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { verifyEvidence } = await load('verify/verify-evidence.js')
      const { endorsements, trustAnchors } = await goldenBundle(load)
      const intel = ['tdx', 'sgx'].map((tee) => made(`${tee}-collateral.golden.json`))
      const collateral = [...endorsements, ...intel, ...real('sev-snp/certs', /\.der$/, 12), ...real('sev-snp/crl', /\.crl$/)]
      const options = { collateral, trustAnchors: [...trustAnchors, made('root.der')], at: AT, allowUnknown: ['revocation'] }
      const verify = (input, cache) => verifyEvidence(input, { ...options, cache })
      const seeds = evidenceSeeds()
      return { seeds, run: verdictTarget({ seeds, verify, proven, createCache: createVerifyCache }) }
    },
  },
  {
    name: 'verify-collateral',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { verifyEvidence } = await load('verify/verify-evidence.js')
      const { cpu, endorsements, trustAnchors } = await goldenBundle(load)
      const quote = made('tdx-v5.bin')
      const verify = (input, cache) => {
        const [vek, intermediate] = endorsements
        const isIntel = input[0] === '{'.charCodeAt(0)
        const options = { collateral: isIntel ? [input] : [input, vek, intermediate], at: AT, allowUnknown: [], cache }
        return verifyEvidence(isIntel ? quote : cpu.report, { ...options, trustAnchors: [...trustAnchors, made('root.der')] })
      }
      const seeds = [...endorsements, ...collateralSeeds()]
      return { seeds, run: verdictTarget({ seeds, verify, proven, createCache: createVerifyCache }) }
    },
  },
  {
    name: 'verify-bundle',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { parseEvidenceBundle } = await load('verify/documents/evidence-bundle.js')
      const { isInputError, rejectMalformed } = await load('verify/evidence/conclude.js')
      const { verifyBundle } = await load('verify/verify-bundle.js')
      const { trustAnchors } = await goldenBundle(load)
      const options = { collateral: [], trustAnchors, at: AT, role: 'job', allowUnknown: [] }
      const verify = async (input, cache) => {
        try {
          return await verifyBundle(parseEvidenceBundle(input), { ...options, cache })
        } catch (error) {
          if (isInputError(error)) return rejectMalformed('bundle', error, [])
          throw error
        }
      }
      const seeds = goldens('bundle.golden.json')
      const all = (claims) => [...proven(claims), claims.bindingDigest, claims.config]
      return { seeds, run: verdictTarget({ seeds, verify, proven: all, createCache: createVerifyCache }) }
    },
  },
  {
    name: 'verify-receipt',
    maxSize: 128 * 1024,
    async open({ load }) {
      const { parseTrustFile } = await load('verify/documents/trust.js')
      const { verifyReceiptFile } = await load('verify/receipt/index.js')
      const trust = parseTrustFile(golden('029-receipt-file', 'trust.golden.json'))
      const verify = (input) => verifyReceiptFile(input, { trust: input.length % 16 === 15 ? null : trust })
      const seeds = [...goldens('receipt.golden.json'), ...goldens('event.golden.json')]
      return { seeds, run: verdictTarget({ seeds, verify, proven: (claims) => claims, createCache: () => null }) }
    },
  },
]
