import type { MlDsaKey } from '../documents/keys.ts'
import { parseSuccession, SUCCESSION_TYP, type Succession } from '../documents/succession.ts'
import { keysOfKind, type RetiredKey, type TrustedGateway, type TrustFile } from '../documents/trust.ts'
import { AttestError } from '../errors.ts'
import { verifyGeneralJws } from '../formats/jws.ts'

/** A succession whose signatures verify. Whether its old key counts, a trust file says: {@link succeed}. */
export interface VerifiedSuccession {
  readonly succession: Succession
  /** The ML-DSA-65 key that signed beside the old key; null: none did. */
  readonly mlDsa: MlDsaKey | null
}

/** @throws AttestError the codes of a malformed document, `JWS_MALFORMED` for other signers than the two keys, `SIGNATURE_INVALID`. */
export async function verifySuccession(bytes: Uint8Array): Promise<VerifiedSuccession> {
  const { payload, signers, mlDsa } = await verifyGeneralJws(bytes, SUCCESSION_TYP, 'succession')
  const succession = parseSuccession(payload)
  const [old, next, ...others] = signers
  if (old?.key.x !== succession.from.x || next?.key.x !== succession.to.x || others.length > 0) {
    throw new AttestError('JWS_MALFORMED', 'want the signatures of the old key and of the new one, in this order', { at: 'succession' })
  }
  return { succession, mlDsa: mlDsa?.key ?? null }
}

/**
 * A trust file that knows the new key, and its old one as retired. Only a key that counts names its successor: a succession has no
 * place in the log, so nothing proves that it is older than the date of a key that is retired or compromised.
 * @throws AttestError `SIGNER_UNKNOWN`, `KEY_RETIRED`, `KEY_COMPROMISED`, `SIGNATURE_INVALID` without the ML-DSA-65 signature that the
 *   file demands of the old key, `DOCUMENT_INVALID` for a new key that the file knows with another ML-DSA key.
 */
export function succeed(trust: TrustFile, { succession, mlDsa }: VerifiedSuccession): TrustFile {
  const { from, to, retired: at } = succession
  const old = trust.gateways.find((g) => g.x === from.x)
  if (old === undefined) throw new AttestError('SIGNER_UNKNOWN', `the old key ${from.x} is no gateway of this trust file`)
  if (old.mlDsa !== undefined && old.mlDsa.pub !== mlDsa?.pub) {
    throw new AttestError(
      'SIGNATURE_INVALID',
      'the trust file demands an ML-DSA-65 signature of the old gateway; this succession has none of it',
    )
  }
  const next: TrustedGateway = { ...to, mlDsa: succession.mlDsa }
  const known = trust.gateways.find((g) => g.x === to.x)
  if (known !== undefined && known.mlDsa?.pub !== next.mlDsa?.pub) {
    throw new AttestError('DOCUMENT_INVALID', 'the trust file names another ML-DSA key for the new key: find out which is right')
  }
  const gone = trust.retired?.find((r) => r.kind === 'gateway' && r.key === from.x)
  if (gone?.compromised === true) {
    throw new AttestError('KEY_COMPROMISED', `the old key ${from.x} is compromised since ${gone.at}: whom it names may be the thief's key`)
  }
  if (gone !== undefined && known === undefined) {
    throw new AttestError('KEY_RETIRED', `the old key ${from.x} is retired since ${gone.at}: it names no successor any more`)
  }
  const gateways = known === undefined ? [...trust.gateways, next] : trust.gateways
  return retire({ ...trust, gateways }, { kind: 'gateway', key: from.x, at, compromised: false })
}

/**
 * Gives a key of the file a date. A date only moves back, and a compromise stays one: what did not count must not count again.
 * @throws AttestError `NOT_FOUND` for a key that the file does not name.
 */
export function retire(trust: TrustFile, key: RetiredKey): TrustFile {
  if (!keysOfKind(trust, key.kind).includes(key.key)) {
    throw new AttestError('NOT_FOUND', `the trust file names no ${key.kind} ${key.key}`)
  }
  return { ...trust, retired: mergeRetired([...(trust.retired ?? []), key]) }
}

/** One entry for each key, with the earliest date. */
export function mergeRetired(list: readonly RetiredKey[]): readonly RetiredKey[] {
  const merged = new Map<string, RetiredKey>()
  for (const next of list) {
    const name = `${next.kind} ${next.key}`
    const known = merged.get(name) ?? next
    // Instants of one spelling: their order is that of their text.
    merged.set(name, { ...next, at: known.at < next.at ? known.at : next.at, compromised: known.compromised || next.compromised })
  }
  return [...merged].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value)
}
