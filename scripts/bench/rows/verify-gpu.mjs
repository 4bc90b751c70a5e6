import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { attestDevices, createSimulatedDevices, createSimulatedNvidia, endorseDevices } from '../../../dist/sim/index.js'
import { createVerifyCache, loadCollateral, loadTrustAnchors, verifyEvidence } from '../../../dist/verify/index.js'
import { interleave, STEADY } from '../interleave.mjs'

const REPORTS = 200
const at = new Date('2026-01-01T12:00:00Z')

/** A SIMULATED machine with everything that its evidence needs: manifests and an OCSP answer for every certificate that has one. */
async function machine(architecture, mode) {
  const nvidia = await createSimulatedNvidia({ at: new Date('2026-01-01T00:00:00Z') })
  const devices = await createSimulatedDevices(nvidia, { architecture, mode })
  const trustAnchors = [nvidia.deviceRoot.certificate, nvidia.rimRoot.certificate]
  return { devices, collateral: endorseDevices(nvidia, devices, at), trustAnchors }
}

function listOf(evidence) {
  const base64 = (bytes) => Buffer.from(bytes).toString('base64')
  const list = evidence.map(({ report, certificateChain }) => ({ evidence: base64(report), certificate: base64(certificateChain) }))
  return Buffer.from(JSON.stringify({ nonce: '', arch: '', evidence_list: list }))
}

function assertAccepted(verdict) {
  if (verdict.decision !== 'accept') throw new Error(JSON.stringify(verdict.checks.filter((c) => c.outcome !== 'pass')))
}

/** One bare ECDSA P-384 verification of as many bytes as a report signs, with the key already imported. */
function bareVerify(times = 1) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const key = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' }
  const data = randomBytes(4100)
  const signature = sign('sha384', data, {
    key: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    dsaEncoding: 'ieee-p1363',
  })
  return () => {
    for (let i = 0; i < times; i++) if (!verify('sha384', data, key, signature)) throw new Error('does not verify')
    return 1
  }
}

/** Reports of one known GPU, each a new one: chain, manifests and OCSP answers are in the verifier's cache. */
export async function warm() {
  const { devices, collateral, trustAnchors } = await machine('GH100', 'SPT')
  const nonces = Array.from({ length: REPORTS }, () => randomBytes(32))
  const evidence = nonces.map((nonce) => attestDevices(devices, [nonce])[0])
  const cache = createVerifyCache()
  const items = [evidence[0].certificateChain, ...collateral].map((bytes, i) => ({ name: `collateral[${i}]`, bytes }))
  const roots = trustAnchors.map((bytes, i) => ({ name: `trust anchor[${i}]`, bytes }))
  const loaded = { collateral: await loadCollateral(items, cache), trustAnchors: await loadTrustAnchors(roots, cache) }
  const options = { ...loaded, at, allowUnknown: [], cache }
  let next = 0
  const ours = async () => {
    const i = next++ % REPORTS
    assertAccepted(await verifyEvidence(evidence[i].report, { ...options, nonce: nonces[i] }))
    return 1
  }
  return interleave(ours, bareVerify(), STEADY)
}

/** Signatures in the whole evidence of one GPU: report; chain and its root; two manifests, their chain and its root; six OCSP answers with their responders' certificates. */
const COLD_SIGNATURES = 1 + 5 + 2 + 4 + 6 * 2

/** Everything of one GPU, seen for the first time. */
export async function cold() {
  const { devices, collateral, trustAnchors } = await machine('GH100', 'SPT')
  const nonce = randomBytes(32)
  const [{ report, certificateChain }] = attestDevices(devices, [nonce])
  const ours = async () => {
    assertAccepted(
      await verifyEvidence(report, { collateral: [certificateChain, ...collateral], trustAnchors, at, nonce, allowUnknown: [] }),
    )
    return 1
  }
  const result = await interleave(ours, bareVerify(COLD_SIGNATURES), STEADY)
  return { ...result, against: `${COLD_SIGNATURES} bare ECDSA P-384 verifies, keys imported` }
}

/**
 * Each of twelve devices: report, leaf, BROM, answer about the BROM. Above them two provisioners, one identity authority and
 * the root, three answers about these, four responders. Three manifests under two signers, two intermediates, two CAs and
 * one root, six answers about these, five responders.
 */
const SET_SIGNATURES = 12 * 4 + 4 + 3 + 4 + 3 + 7 + 6 + 5

/** A whole protected system, eight GPUs and four switches, seen for the first time. */
export async function set8() {
  const { devices, collateral, trustAnchors } = await machine('GH100', 'PPCIE')
  const nonce = randomBytes(32)
  const list = listOf(attestDevices(devices, [nonce]))
  const ours = async () => {
    assertAccepted(await verifyEvidence(list, { collateral, trustAnchors, at, nonce, allowUnknown: [] }))
    return 1
  }
  const result = await interleave(ours, bareVerify(SET_SIGNATURES), STEADY)
  process.stderr.write(
    `verify.gpu.set8: 8 GPUs and 4 switches in ${(1000 / result.value).toFixed(0)} ms of CPU, ${SET_SIGNATURES} signatures\n`,
  )
  return { ...result, against: `${SET_SIGNATURES} bare ECDSA P-384 verifies, keys imported` }
}
