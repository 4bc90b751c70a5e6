import { EVIDENCE_PATH } from '../../rpc/service/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import type { Binding } from '../../verify/documents/binding.ts'
import { bundleFromJson, MAX_BUNDLE_SIZE } from '../../verify/documents/evidence-bundle.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import { encodeCanonical, type Json } from '../../verify/formats/canonical-json.ts'
import type { RemoteEvidence } from '../client.ts'
import { random } from '../owner.ts'
import { checkEvidence, checkEvidenceOf, type TrustedEnclave } from '../release/check-evidence.ts'
import type { ServiceChannel } from './channel.ts'
import type { KnownService } from './service-file.ts'

/** An enclave that serves, and the key at which it is to be met. */
export interface TrustedService extends TrustedEnclave {
  readonly tls: string
}

/**
 * Verifies the evidence of a service's job as whoever released its keys did: genuine, made for this job and these nonces, good enough
 * for every policy, and binding a TLS key.
 * @throws AttestError `EVIDENCE_REJECTED`, `POLICY_DENIED`.
 */
export async function verifyService(service: KnownService, evidence: RemoteEvidence, trust: TrustFile, at: Date): Promise<TrustedService> {
  const { contract, jobDigest, ownerNonces, policies } = service
  const enclave = await checkEvidence({ evidence, contract, jobDigest, ownerNonces, policies, trust, at })
  const { tls } = enclave.binding
  if (tls === null) throw new AttestError('EVIDENCE_REJECTED', 'the evidence binds no TLS key', { at: 'binding.tls' })
  return { ...enclave, tls }
}

/**
 * Has the enclave at the other end of the channel prove itself anew, to a nonce that was made just now, and verifies that it is the
 * one that was met first: same keys, same configuration, same job, same measurement, same policies.
 * @throws AttestError `EVIDENCE_REJECTED`, `POLICY_DENIED` when it is not; `GATEWAY_UNREACHABLE` when it does not answer.
 */
export async function renewEvidence(
  channel: ServiceChannel,
  service: KnownService,
  first: TrustedService,
  means: { readonly endorsements: readonly Uint8Array[]; readonly trust: TrustFile; readonly now: () => Date },
): Promise<TrustedEnclave> {
  const nonce = random(32)
  const answer = await channel.ask('POST', EVIDENCE_PATH, { nonce: toBase64Url(nonce) }, 2 * MAX_BUNDLE_SIZE)
  const { contract, jobDigest, policies } = service
  const evidence = { bundle: bundleFromJson(answer), endorsements: means.endorsements }
  const renewed = await checkEvidenceOf('session', nonce, { evidence, contract, jobDigest, policies, trust: means.trust, at: means.now() })
  const [want, got] = [identityOf(first), identityOf(renewed)]
  if (want !== got)
    throw new AttestError('EVIDENCE_REJECTED', 'the enclave that answers is not the one that was met first', { at: 'binding' })
  return renewed
}

/** Everything but role, nonce and the devices' reports, which are fresh each time. */
function identityOf({ binding, measurement, simulated }: TrustedEnclave): string {
  const { role: _r, nonce: _n, devices, ...keys }: Binding = binding
  const kinds = devices.map((d) => d.type)
  return toBase64Url(encodeCanonical({ keys, kinds, measurement, simulated } as unknown as Json))
}
