import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'
import { attest, createSimulatedPlatform } from '../../../dist/sim/index.js'
import { createVerifyCache, verifyEvidence } from '../../../dist/verify/index.js'
import { interleave } from '../interleave.mjs'

const REPORTS = 200

/**
 * SEV-SNP reports of one known host, each a new one: chain, CRL and VEK are in the verifier's cache, the report's own
 * signature is checked every time. The floor is that one ECDSA P-384 verification with the key already imported.
 */
export async function warm() {
  const at = new Date('2026-01-01T00:00:00Z')
  const platform = await createSimulatedPlatform({ at })
  const evidence = Array.from({ length: REPORTS }, () => attest(platform, { reportData: randomBytes(64), measurement: new Uint8Array(48) }))
  const options = {
    collateral: evidence[0].endorsements,
    trustAnchors: [platform.root.certificate],
    at,
    allowUnknown: [],
    cache: createVerifyCache(),
  }
  let next = 0
  const ours = async () => {
    const verdict = await verifyEvidence(evidence[next++ % REPORTS].report, options)
    if (verdict.decision !== 'accept') throw new Error(JSON.stringify(verdict.checks.filter((c) => c.outcome !== 'pass')))
    return 1
  }
  const privateKey = createPrivateKey({ key: Buffer.from(platform.vek.key), format: 'der', type: 'pkcs8' })
  const key = { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' }
  const data = randomBytes(0x2a0)
  const signature = sign('sha384', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
  const bare = () => {
    if (!verify('sha384', data, key, signature)) throw new Error('does not verify')
    return 1
  }
  return interleave(ours, bare)
}
