import { createECDH, createHash, diffieHellman, generateKeyPairSync, hkdfSync, randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { generateKemKey, wrap } from '../../../dist/seal/index.js'
import { HPKE_SUITES } from '../../../dist/verify/documents/keys.js'
import { interleave } from '../interleave.mjs'

const random = (size) => new Uint8Array(randomBytes(size))
const [HYBRID] = HPKE_SUITES.filter((suite) => suite.startsWith('MLKEM768'))
const [CLASSIC] = HPKE_SUITES.filter((suite) => suite.startsWith('DHKEM-P384'))

/** The package that does the hybrid's arithmetic, as the HPKE library itself finds it. */
async function mlKem768() {
  const require = createRequire(createRequire(import.meta.url).resolve('@panva/hpke-noble'))
  return (await import(pathToFileURL(require.resolve('@noble/post-quantum/ml-kem.js')).href)).ml_kem768
}

async function wraps(suite, bare) {
  const { publicKey } = await generateKemKey(suite, random)
  const [aad, dek] = [random(32), random(32)]
  const ours = async () => {
    await wrap(publicKey, 'sealgate/bench', aad, dek)
    return 1
  }
  return interleave(ours, bare, { warmMs: 2000 })
}

/** Bare: an encapsulation of ML-KEM-768, a fresh X25519 key and its agreement, one hash. */
export async function hybrid() {
  const kem = await mlKem768()
  const { publicKey } = kem.keygen()
  const peer = generateKeyPairSync('x25519').publicKey
  return wraps(HYBRID, () => {
    const { sharedSecret } = kem.encapsulate(publicKey)
    const agreed = diffieHellman({ privateKey: generateKeyPairSync('x25519').privateKey, publicKey: peer })
    createHash('sha3-256').update(sharedSecret).update(agreed).digest()
    return 1
  })
}

/** Bare: a fresh P-384 key, its agreement, one HKDF. */
export async function classic() {
  const peer = createECDH('secp384r1').generateKeys()
  return wraps(CLASSIC, () => {
    const own = createECDH('secp384r1')
    own.generateKeys()
    hkdfSync('sha384', own.computeSecret(peer), '', '', 48)
    return 1
  })
}
