import { issueFlattenedJws, type Secret, wrapEntrusted } from '../seal/index.ts'
import { instantOf } from '../verify/appraise/index.ts'
import { toBase64Url } from '../verify/bytes/bytes.ts'
import { BROKER_TYP, ENTRUSTMENT_TYP, type EntrustedKey, encodeEntrustment, parseBroker } from '../verify/documents/entrustment.ts'
import { brokerOf } from '../verify/documents/grant.ts'
import { type HpkePublicKey, hpkeKeyDigest } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyFlattenedJws } from '../verify/formats/jws.ts'
import { type checkOwnGrant, revokedError } from './grants.ts'
import type { Owner } from './owner.ts'

/** A key broker by its own signed word. That it is the one that an owner means follows from the thumbprint alone. */
export interface BrokerFile {
  /** Thumbprint of the intent key, which grants name. */
  readonly thumbprint: string
  readonly kem: HpkePublicKey
}

/** A grant of the owner, checked. */
export type EntrustableGrant = Pick<Awaited<ReturnType<typeof checkOwnGrant>>, 'grantId' | 'grant' | 'jws' | 'revoked'>

/** Reads a broker's `broker.json`. @throws AttestError `JWS_MALFORMED`, `SIGNATURE_INVALID`, `DOCUMENT_INVALID`. */
export async function parseBrokerFile(jws: Uint8Array): Promise<BrokerFile> {
  const { payload, signers } = await verifyFlattenedJws(jws, BROKER_TYP, 'broker')
  return { thumbprint: signers[0]?.thumbprint ?? '', kem: parseBroker(payload).kem }
}

/**
 * Seals the keys of datasets, and the use key of the grant that names them, to the broker that the grant names. From then on
 * whoever controls that broker can read the data.
 * @param datasets - Of the grant; none: all of them.
 * @param now - Seconds since the epoch.
 * @returns a JWS for `sealgate broker accept`.
 * @throws AttestError `GRANT_DENIED` for a grant that names another broker or none, or was revoked, or does not name a dataset;
 * `NOT_FOUND` for a key that is not in the keyring; `LIMIT_EXCEEDED`.
 */
export async function entrust(
  owner: Owner,
  broker: BrokerFile,
  own: EntrustableGrant,
  datasets: readonly string[],
  now: number,
): Promise<Uint8Array> {
  const { grantId, grant } = own
  if (brokerOf(grant) !== broker.thumbprint) {
    throw new AttestError('GRANT_DENIED', `grant ${grantId} says release ${grant.release}, not brokered:${broker.thumbprint}`, {
      at: 'grant.release',
    })
  }
  if (own.revoked) throw revokedError(grantId)
  const stranger = datasets.find((d) => !grant.datasets.includes(d))
  if (stranger !== undefined)
    throw new AttestError('GRANT_DENIED', `grant ${grantId} does not name dataset ${stranger}`, { at: 'grant.datasets' })
  const bound = { broker: broker.thumbprint, owner: owner.grantThumbprint, grant: grantId }
  const seal = (dataset: string | null, key: Secret): Promise<EntrustedKey> => sealAndWipe(broker.kem, { ...bound, dataset }, key)
  const entrusted = []
  for (const dataset of datasets.length === 0 ? grant.datasets : [...new Set(datasets)]) {
    const { header } = await owner.keyring.dataset(dataset)
    entrusted.push({ header: toBase64Url(header), key: await seal(dataset, await owner.keyring.datasetKey(dataset)) })
  }
  const useKey = await seal(null, (await owner.keyring.grant(grantId)).useKey)
  const payload = encodeEntrustment({
    v: 1,
    broker: broker.thumbprint,
    kem: await hpkeKeyDigest(broker.kem),
    entrustedAt: instantOf(now),
    grant: { jws: toBase64Url(own.jws), useKey },
    datasets: entrusted,
  })
  return issueFlattenedJws(payload, ENTRUSTMENT_TYP, owner.grantKey)
}

async function sealAndWipe(kem: HpkePublicKey, context: Parameters<typeof wrapEntrusted>[1], key: Secret): Promise<EntrustedKey> {
  try {
    return await wrapEntrusted(kem, context, key)
  } finally {
    key.wipe()
  }
}
