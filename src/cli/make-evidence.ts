import { generateSigningKey } from '../client/index.ts'
import { random } from '../client/owner.ts'
import { type Attester, collectEvidence, type DeviceAttester } from '../host/index.ts'
import { generateKemKey } from '../seal/index.ts'
import { toHex } from '../verify/bytes/bytes.ts'
import type { BindingRole } from '../verify/documents/binding.ts'
import type { EvidenceBundle } from '../verify/documents/evidence-bundle.ts'
import { DEFAULT_HPKE_SUITE } from '../verify/documents/keys.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { parseQuote, parseReport, TdReport } from '../verify/index.ts'

/** What a person may ask of evidence that is only looked at. */
export interface EvidenceRequest {
  readonly attester: Attester
  readonly devices: DeviceAttester | null
  readonly role: Exclude<BindingRole, 'job'>
  /** 32 bytes; null: random. */
  readonly nonce: Uint8Array | null
}

export interface MadeEvidence {
  readonly bundle: EvidenceBundle
  /** Hexadecimal; null for formats whose measurement only `sealgate verify` reads. */
  readonly measurement: string | null
  /** Hexadecimal. */
  readonly nonce: string
}

/** Evidence over throwaway keys: something to look at, good for no release. */
export async function makeEvidence({ attester, devices, role, nonce }: EvidenceRequest): Promise<MadeEvidence> {
  const kem = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  kem.privateKey.wipe()
  const { crv, kty, x } = generateSigningKey()
  const used = nonce ?? random(32)
  const subject = {
    role,
    nonce: used,
    kem: kem.publicKey,
    sig: { crv, kty, x },
    tls: null,
    config: encodeCanonical({ purpose: 'evidence for inspection' }),
    job: null,
  }
  const { bundle } = await collectEvidence(attester, subject, devices)
  return { bundle, measurement: measurementOf(attester, bundle.cpu.report), nonce: toHex(used) }
}

function measurementOf({ format }: Attester, report: Uint8Array): string | null {
  if (format === 'sev-snp') return toHex(parseReport(report).measurement)
  if (format === 'tdx') return toHex(new TdReport(parseQuote(report).body).field('mrTd'))
  return null
}
