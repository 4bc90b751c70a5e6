import { listed } from '../appraise/check.ts'
import { type MlDsaKey, thumbprint } from '../documents/keys.ts'
import type { Policy } from '../documents/policy.ts'
import type { TrustFile } from '../documents/trust.ts'
import { isAuthority } from '../evidence/authority.ts'
import { check, oneOf } from '../evidence/check.ts'
import { isInputError } from '../evidence/conclude.ts'
import { parseCertificate } from '../formats/x509.ts'
import { parseCheckpoint } from '../tlog/checkpoint.ts'
import type { Check } from '../verdict.ts'
import type { ReceiptDocuments } from './documents.ts'
import type { LogView } from './log.ts'
import type { ReceiptSigners } from './signers.ts'

/** Rules that ask whether a signer is known. When nothing else fails, the receipt is consistent but nobody vouches for it. */
export const TRUST_RULES: ReadonlySet<string> = new Set([
  'policy.trusted-gateway',
  'policy.trusted-owner',
  'policy.trusted-log',
  'policy.trusted-witnesses',
  'policy.trusted-simulator',
])

/** On whose word a receipt rests. */
export interface Vouchers extends Pick<ReceiptDocuments, 'policies'> {
  readonly signers: Pick<ReceiptSigners, 'gateway' | 'mlDsa'>
  /** Thumbprints. */
  readonly owners: readonly string[]
}

/** The owners of a job: who granted, and whose the data is. */
export function ownersOf({ grants, headers }: ReceiptDocuments): readonly string[] {
  return [...new Set([...grants.map((g) => g.signer), ...headers.map((h) => h.value.owner)])]
}

/**
 * Whether the user's trust file names everyone on whose word the receipt rests. Without a trust file all of them fail: a
 * receipt carries no trust of its own.
 */
export function trustChecks({ signers, owners, policies }: Vouchers, trust: TrustFile | null): readonly Check[] {
  const gateways = (trust?.gateways ?? []).map((k) => k.x)
  const gateway = signers.gateway.key.x
  return [
    check('policy.trusted-gateway', gateways.includes(gateway), oneOf(gateways), gateway),
    check(
      'policy.trusted-owner',
      owners.every((o) => trust?.owners.includes(o)),
      oneOf(trust?.owners ?? []),
      listed(owners),
    ),
    ...policies.flatMap((p) => [logCheck(p.value, trust), ...witnessCheck(p.value, trust)]),
  ]
}

/** The ML-DSA key that the trust file names for the gateway of a receipt; null where it names none. */
export function trustedMlDsa({ signers }: Pick<Vouchers, 'signers'>, trust: TrustFile | null): MlDsaKey | null {
  return trust?.gateways.find((g) => g.x === signers.gateway.key.x)?.mlDsa ?? null
}

/**
 * A gateway whose ML-DSA key the trust file names signs with it: a receipt without, or with that of another key, is not this
 * gateway's, whoever may have made or stripped it. Where trust names none, a third signature is no reason for anything.
 */
export async function mlDsaChecks({ signers }: Pick<Vouchers, 'signers'>, wanted: MlDsaKey | null): Promise<readonly Check[]> {
  if (wanted === null) return []
  const { mlDsa } = signers
  const got = mlDsa === null ? 'no such signature' : `one of ${mlDsa.thumbprint}`
  const want = `an ML-DSA-65 signature of ${await thumbprint(wanted)}`
  return [check('signature.gateway-ml-dsa', mlDsa?.key.pub === wanted.pub, want, got)]
}

function logCheck({ log }: Policy, trust: TrustFile | null): Check {
  const logs = (trust?.logs ?? []).map((l) => `${l.origin} ${l.key}`)
  const got = `${log.origin} ${log.key}`
  return check('policy.trusted-log', logs.includes(got), oneOf(logs), got)
}

function witnessCheck({ witnessing }: Policy, trust: TrustFile | null): readonly Check[] {
  if (witnessing.mode === 'none') return []
  const known = witnessing.keys.filter((k) => trust?.witnesses.includes(k))
  return [
    check(
      'policy.trusted-witnesses',
      known.length >= witnessing.k,
      `${witnessing.k} trusted witnesses`,
      `${known.length} of ${listed(witnessing.keys)}`,
    ),
  ]
}

/**
 * The logs as the policies believe them, counting only witnesses that the trust file knows. A receipt without a policy was
 * refused before one was read: then the trust file alone says which log to believe.
 */
export function logViews(policies: ReceiptDocuments['policies'], checkpoint: string, trust: TrustFile | null): readonly LogView[] {
  if (policies.length > 0)
    return policies.map((policy) => ({ policy, log: policy.value.log, witnessing: knownWitnesses(policy.value, trust) }))
  const { origin } = parseCheckpoint(checkpoint)
  return (trust?.logs ?? []).filter((l) => l.origin === origin).map((log) => ({ policy: null, log, witnessing: { mode: 'none' } }))
}

/** Too few known witnesses is a failure of its own, so that then the policy's own list shows whether the proofs are sound. */
function knownWitnesses({ witnessing }: Policy, trust: TrustFile | null): Policy['witnessing'] {
  if (witnessing.mode === 'none' || trust === null) return witnessing
  const keys = witnessing.keys.filter((k) => trust.witnesses.includes(k))
  return keys.length < witnessing.k ? witnessing : { ...witnessing, keys }
}

/** Simulated evidence without a trust file: whatever it verifies under, nobody chose to trust it. */
export const unknownSimulator: Check = check('policy.trusted-simulator', false, 'a trust file that names the simulated root', 'none')

/** The roots that a receipt brings along, for when there is no trust file: then the rest of its evidence can still be checked. */
export function simulatedRoots({ evidence, endorsements }: Pick<ReceiptDocuments, 'evidence' | 'endorsements'>): readonly Uint8Array[] {
  return [...(evidence?.bundle.endorsements ?? []), ...endorsements].filter(isSelfIssued)
}

function isSelfIssued(bytes: Uint8Array): boolean {
  try {
    const certificate = parseCertificate(bytes)
    return certificate.subject.text === certificate.issuer.text && isAuthority(certificate)
  } catch (error) {
    if (isInputError(error)) return false
    throw error
  }
}
