import { generateSigningKey } from '../client/index.ts'
import { random } from '../client/owner.ts'
import { type Attester, collectEvidence } from '../host/index.ts'
import { generateKemKey } from '../seal/index.ts'
import { toHex } from '../verify/bytes/bytes.ts'
import { encodeEvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { DEFAULT_HPKE_SUITE } from '../verify/documents/keys.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { parseReport } from '../verify/index.ts'

export interface MadeEvidence {
  /** JSON form, canonical bytes. */
  readonly bundle: Uint8Array
  readonly tee: string
  /** Hexadecimal. */
  readonly measurement: string
  readonly simulated: boolean
  /** Hexadecimal. */
  readonly nonce: string
}

/** Evidence of role `host` over throwaway keys: something to look at, good for no release. */
export async function makeEvidence(attester: Attester, nonce: Uint8Array | null): Promise<MadeEvidence> {
  const kem = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  kem.privateKey.wipe()
  const { crv, kty, x } = generateSigningKey()
  const used = nonce ?? random(32)
  const { bundle } = await collectEvidence(attester, {
    role: 'host',
    nonce: used,
    kem: kem.publicKey,
    sig: { crv, kty, x },
    tls: null,
    config: encodeCanonical({ purpose: 'evidence for inspection' }),
    job: null,
  })
  const { measurement } = parseReport(bundle.cpu.report)
  return {
    bundle: encodeEvidenceBundle(bundle),
    tee: bundle.cpu.format,
    measurement: toHex(measurement),
    simulated: attester.simulated,
    nonce: toHex(used),
  }
}
