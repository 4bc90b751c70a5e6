import { createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { createRequire } from 'node:module'
import { intelFields } from '../../../dist/sim/index.js'
import { attestIntel, createIntelKeys, signQuote } from '../../../dist/sim/intel/intel.js'
import { createVerifyCache, loadCollateral, loadTrustAnchors, parseQuote, verifyEvidence } from '../../../dist/verify/index.js'
import { interleave, STEADY } from '../interleave.mjs'

const AT = new Date('2026-06-15T12:00:00Z')
const DATES = {
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2033-01-01T00:00:00Z'),
  issued: new Date('2026-06-01T00:00:00Z'),
  nextUpdate: new Date('2026-07-01T00:00:00Z'),
}
const QUOTES = 100

/** One simulated platform: its collateral, and quotes that are all different; in `strangers` each has a quoting enclave of its own. */
async function world(tee) {
  const keys = createIntelKeys()
  const fields = intelFields(tee, DATES)
  const { quote, json, root } = await attestIntel(keys, fields, DATES)
  const chain = new TextDecoder().decode(parseQuote(quote).certificationData).replace(/\0$/, '')
  const quoteBy = (attestation) => {
    const reportData = randomBytes(64)
    const own = { ...fields, td: { ...fields.td, reportData }, enclave: { ...fields.enclave, reportData } }
    return signQuote({ leaf: keys.leaf, attestation }, own, chain)
  }
  return {
    json,
    root,
    collateral: [new TextEncoder().encode(JSON.stringify(json))],
    quotes: Array.from({ length: QUOTES }, () => quoteBy(keys.attestation)),
    stranger: () => quoteBy(createIntelKeys().attestation),
  }
}

const named = (items) => items.map((bytes, i) => ({ name: `${i}`, bytes }))

/** Verifies quotes in turn and insists that each is accepted. */
function verifier(quotes, options) {
  let next = 0
  return async () => {
    const verdict = await verifyEvidence(quotes[next++ % quotes.length], { at: AT, allowUnknown: [], ...options })
    if (verdict.decision !== 'accept') throw new Error(JSON.stringify(verdict.checks.filter((c) => c.outcome !== 'pass')))
    return 1
  }
}

/** What a gateway has at hand: everything loaded once, one cache. */
async function known({ collateral, root }, cache) {
  return { collateral: await loadCollateral(named(collateral), cache), trustAnchors: await loadTrustAnchors(named([root]), cache), cache }
}

/** A cache that has never seen a quoting enclave, however often it comes. */
function withoutQuotingEnclaves() {
  const cache = createVerifyCache()
  const isOne = (key) => key.startsWith('dcap.qe:')
  return { get: (key) => (isOne(key) ? undefined : cache.get(key)), set: (key, value, size) => isOne(key) || cache.set(key, value, size) }
}

/** @phala/dcap-qvl, told to trust the simulated root. It checks less: docs/performance.md. */
function peer({ quotes, json, root }) {
  const { QuoteVerifier } = createRequire(import.meta.url)('@phala/dcap-qvl')
  const theirs = QuoteVerifier.newWithRootCa(Buffer.from(root))
  const seconds = AT.getTime() / 1000
  let next = 0
  return () => {
    const { status } = theirs.verify(Buffer.from(quotes[next++ % quotes.length]), { ...json }, seconds)
    if (status !== 'UpToDate') throw new Error(status)
    return 1
  }
}

function bareP256() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const data = randomBytes(700)
  const signature = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const jwk = publicKey.export({ format: 'jwk' })
  const check = (key) => {
    if (!verify('sha256', data, { key, dsaEncoding: 'ieee-p1363' }, signature)) throw new Error('does not verify')
    return 1
  }
  const imported = createPublicKey({ key: jwk, format: 'jwk' })
  return { one: () => check(imported), importing: () => check(createPublicKey({ key: jwk, format: 'jwk' })) }
}

/** Everything each time, from bytes: chain, CRLs, documents, quoting enclave, quote. */
export const cold = (tee) => async () => {
  const made = await world(tee)
  return interleave(verifier(made.quotes, { collateral: made.collateral, trustAnchors: [made.root] }), peer(made), { rounds: 9, ...STEADY })
}

const warmed = async (made) => verifier(made.quotes, await known(made, withoutQuotingEnclaves()))

/** Collateral and PCK chain were seen before, the quoting enclave was not. */
export const warm = (tee) => async () => {
  const bare = bareP256()
  const both = () => {
    bare.one()
    return bare.importing()
  }
  return interleave(await warmed(await world(tee)), both, STEADY)
}

export const warmAgainstPeer = (tee) => async () => {
  const made = await world(tee)
  return interleave(await warmed(made), peer(made), { rounds: 9, ...STEADY })
}

/** The host was seen before: only its quote is new. */
export const repeat = (tee) => async () => {
  const made = await world(tee)
  return interleave(verifier(made.quotes, await known(made, createVerifyCache())), bareP256().one, STEADY)
}

/** Heap and buffers in MB after 100,000 quotes against after 50,000; every tenth comes from a host that was never seen. */
export const memory = async () => {
  const made = await world('tdx')
  const options = await known(made, createVerifyCache())
  const used = () => {
    globalThis.gc()
    const { heapUsed, arrayBuffers } = process.memoryUsage()
    return (heapUsed + arrayBuffers) / 1e6
  }
  const usedAfter = []
  const again = verifier(made.quotes, options)
  for (let i = 1; i <= 100_000; i++) {
    await (i % 10 === 0 ? verifier([made.stranger()], options)() : again())
    if (i === 50_000 || i === 100_000) usedAfter.push(used())
  }
  const [reference, value] = usedAfter
  return { value, reference, ratio: value / reference, spread: [value / reference, value / reference] }
}
