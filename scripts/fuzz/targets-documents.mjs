import { assertRoundTrip } from './invariants.mjs'
import { golden, goldens } from './seeds.mjs'

/** A document: read, written again, the same bytes. */
function document(name, module, type, seeds) {
  return {
    name,
    async open({ load }) {
      const room = await load(module)
      const [parse, encode] = [room[`parse${type}`], room[`encode${type}`]]
      return { seeds: seeds(), run: (input) => assertRoundTrip(input, encode(parse(input))) }
    },
  }
}

const payload = (vector) => () => [golden(vector, 'payload.golden.json')]

const kemKey = () => [
  Buffer.from(
    JSON.stringify({
      privateKey: Buffer.alloc(32, 7).toString('base64url'),
      publicKey: Buffer.alloc(1216, 9).toString('base64url'),
      suite: 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM',
      type: 'sealgate/hpke-key/v1',
      v: 1,
    }),
  ),
]

export const documentTargets = [
  document('contract', 'verify/documents/contract.js', 'Contract', payload('010-contract')),
  document('grant', 'verify/documents/grant.js', 'Grant', payload('011-grant')),
  document('broker', 'verify/documents/entrustment.js', 'Broker', payload('040-broker')),
  document('entrustment', 'verify/documents/entrustment.js', 'Entrustment', payload('041-entrustment')),
  document('revocation', 'verify/documents/grant.js', 'Revocation', payload('012-revocation')),
  document('hold', 'verify/documents/hold.js', 'Hold', payload('035-hold')),
  document('erasure-order', 'verify/documents/erasure.js', 'ErasureOrder', payload('031-erasure-order')),
  document('policy', 'verify/documents/policy.js', 'Policy', () => ['013-policy', '013b-policy-requirements'].flatMap((v) => payload(v)())),
  document('header', 'verify/documents/header.js', 'Header', () =>
    ['014-dataset-header', '015-result-header'].flatMap((v) => payload(v)()),
  ),
  document('binding', 'verify/documents/binding.js', 'Binding', payload('016-binding')),
  document('intent', 'verify/documents/intent.js', 'Intent', payload('017-release-intent')),
  document('key-proof', 'verify/documents/key-proof.js', 'KeyProof', payload('037-key-proof')),
  document('leaf', 'verify/documents/leaf.js', 'Leaf', () => goldens('leaf.golden.json')),
  document('statement', 'verify/documents/statement.js', 'Statement', payload('026-statement')),
  document('session', 'verify/documents/session.js', 'SessionRecord', payload('027c-session')),
  document('session-file', 'verify/documents/session.js', 'SessionFile', () => goldens('session.golden.json')),
  document('succession', 'verify/documents/succession.js', 'Succession', payload('050-succession')),
  document('trust-file', 'verify/documents/trust.js', 'TrustFile', () => goldens('trust.golden.json')),
  document('kem-key-file', 'seal/kem-key-file.js', 'KemKey', kemKey),
  document('evidence-bundle', 'verify/documents/evidence-bundle.js', 'EvidenceBundle', () => goldens('bundle.golden.json')),
  document('receipt-file', 'verify/documents/receipt-file.js', 'ReceiptFile', () => goldens('receipt.golden.json')),
  document('event-file', 'verify/documents/event-file.js', 'EventFile', () => goldens('event.golden.json')),
]
