import { generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { attest, createSimulatedPlatform } from '../../../dist/sim/index.js'
import { crypto } from '../../../dist/verify/crypto/node.js'
import { createVerifyCache, loadCollateral, loadTrustAnchors, verifyEvidence } from '../../../dist/verify/index.js'
import { interleave, STEADY } from '../interleave.mjs'

const AT = new Date('2026-01-01T00:00:00Z')
const REPORTS = 100

async function world() {
  const platform = await createSimulatedPlatform({ at: AT })
  const measurement = new Uint8Array(48)
  const evidence = Array.from({ length: REPORTS }, () => attest(platform, { reportData: randomBytes(64), measurement }))
  return { reports: evidence.map((e) => e.report), collateral: evidence[0].endorsements, trustAnchors: [platform.root.certificate] }
}

const named = (items) => items.map((bytes, i) => ({ name: `${i}`, bytes }))

function verifier(reports, options) {
  let next = 0
  return async () => {
    const verdict = await verifyEvidence(reports[next++ % REPORTS], { at: AT, allowUnknown: [], ...options })
    if (verdict.decision !== 'accept') throw new Error(JSON.stringify(verdict.checks.filter((c) => c.outcome !== 'pass')))
    return 1
  }
}

const P384 = { scheme: 'ecdsa-p384-sha384', key: ['ec', { namedCurve: 'P-384' }], hash: 'sha384', options: { dsaEncoding: 'ieee-p1363' } }
const PSS = { scheme: 'rsa-pss-sha384', key: ['rsa', { modulusLength: 4096 }], hash: 'sha384', options: { padding: 6, saltLength: 48 } }

/** One bare verification with an imported key, of a message as long as a report. */
function bare({ key, hash, options }) {
  const { privateKey, publicKey } = generateKeyPairSync(...key)
  const data = randomBytes(0x2a0)
  const signature = sign(hash, data, { key: privateKey, ...options })
  return () => {
    if (!verify(hash, data, { key: publicKey, ...options }, signature)) throw new Error('does not verify')
    return 1
  }
}

/** The schemes of the signatures that one run checks. */
async function signaturesOf(run) {
  const seen = []
  const { verify: original } = crypto
  crypto.verify = (key, ...rest) => {
    seen.push(key.scheme)
    return original(key, ...rest)
  }
  await run()
  crypto.verify = original
  return seen
}

/** Reports of one known host, each a new one: chain, CRL and VEK are in the verifier's cache, the report's own signature never is. */
export async function warm() {
  const { reports, collateral, trustAnchors } = await world()
  const cache = createVerifyCache()
  return interleave(
    verifier(reports, {
      collateral: await loadCollateral(named(collateral), cache),
      trustAnchors: await loadTrustAnchors(named(trustAnchors), cache),
      cache,
    }),
    bare(P384),
    STEADY,
  )
}

/** Everything each time, from bytes: chain, CRL, extensions, report. The root is loaded, as AMD's are built in. */
export async function cold() {
  const { reports, collateral, trustAnchors } = await world()
  const run = verifier(reports, { collateral, trustAnchors: await loadTrustAnchors(named(trustAnchors), createVerifyCache()) })
  const each = { [P384.scheme]: bare(P384), [PSS.scheme]: bare(PSS) }
  const signatures = await signaturesOf(run)
  const all = () => {
    for (const scheme of signatures) each[scheme]()
    return 1
  }
  const count = (scheme) => signatures.filter((s) => s === scheme).length
  const against = `bare verification of the signatures it checks: ${count(P384.scheme)} P-384, ${count(PSS.scheme)} RSA-4096 PSS; their keys imported`
  return { ...(await interleave(run, all, STEADY)), against }
}

/** Reports per second of wall time: a pool with a thread for each core against one thread. */
export async function pool() {
  const { VerifierPool } = await import('../../../dist/pool/index.js')
  const { reports, collateral, trustAnchors } = await world()
  const rest = { at: AT, allowUnknown: [] }
  const threads = new VerifierPool()
  const shared = { ...rest, collateral: threads.load(collateral), trustAnchors: threads.load(trustAnchors) }
  const one = verifier(reports, { collateral, trustAnchors, cache: createVerifyCache() })
  const perSecond = async (work, many) => {
    const start = performance.now()
    await work()
    return (many * 1000) / (performance.now() - start)
  }
  const batch = () => Promise.all(reports.map((report) => threads.verify(report, shared)))
  const { interleaveOnce } = await import('../interleave.mjs')
  const several = () =>
    perSecond(async () => {
      for (let i = 0; i < 5; i++) if ((await batch()).some((v) => v.decision !== 'accept')) throw new Error('rejected')
    }, 5 * REPORTS)
  const single = () =>
    perSecond(async () => {
      for (let i = 0; i < 5 * REPORTS; i++) await one()
    }, 5 * REPORTS)
  // Each thread compiles its code for itself.
  for (let i = 0; i < 10; i++) await several()
  for (let i = 0; i < 5; i++) await single()
  const result = await interleaveOnce(several, single, 7)
  await threads.close()
  return result
}
