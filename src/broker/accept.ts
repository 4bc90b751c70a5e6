import { type EntrustContext, headerDigest, type KemKey, type Secret, unwrapEntrusted } from '../seal/index.ts'
import { checkKeyCommitment } from '../seal/key-commitment.ts'
import { grantTimeChecks } from '../verify/appraise/index.ts'
import { fromBase64Url } from '../verify/bytes/bytes.ts'
import { ENTRUSTMENT_TYP, type Entrustment, parseEntrustment } from '../verify/documents/entrustment.ts'
import { brokerOf, GRANT_TYP, parseGrant } from '../verify/documents/grant.ts'
import { type DatasetHeader, parseHeader } from '../verify/documents/header.ts'
import { hpkeKeyDigest } from '../verify/documents/keys.ts'
import { useKeyCommitment } from '../verify/documents/use-slot.ts'
import { AttestError } from '../verify/errors.ts'
import { verifyFlattenedJws } from '../verify/formats/jws.ts'
import { accepts } from '../verify/verdict.ts'
import type { BrokerStore, HeldGrant } from './store/broker-store.ts'

export interface AcceptQuestion {
  readonly store: BrokerStore
  /** Thumbprint of the broker's intent key. */
  readonly broker: string
  /** Thumbprints of the owners who may entrust keys: the broker's trust file. */
  readonly owners: readonly string[]
  /** Seconds since the epoch. */
  readonly now: number
}

/** An entrustment that was verified, with its keys in the clear: wipe them. */
interface OpenedEntrustment {
  readonly held: HeldGrant
  readonly grantJws: Uint8Array
  readonly useKey: Secret
  readonly datasets: readonly { readonly digest: string; readonly header: Uint8Array; readonly dek: Secret }[]
}

/**
 * Verifies an entrustment and keeps its keys, each wrapped. Nothing is kept before all of it has been checked; keys that are
 * here already stay.
 * @throws AttestError `SIGNER_UNKNOWN` for an owner that the trust file does not name; `GRANT_DENIED`, `GRANT_EXPIRED`;
 * `UNWRAP_FAILED`, `KEY_COMMITMENT_MISMATCH`; `DOCUMENT_INVALID`, `JWS_MALFORMED`, `SIGNATURE_INVALID`; `KEYSTORE_*`.
 */
export async function acceptEntrustment(
  question: AcceptQuestion,
  jws: Uint8Array,
): Promise<HeldGrant & { readonly entrusted: readonly string[] }> {
  const { store } = question
  const kem = await store.kemKey()
  let opened: OpenedEntrustment
  try {
    opened = await openEntrustment(question, kem, jws)
  } finally {
    kem.privateKey.wipe()
  }
  const { held, grantJws, useKey, datasets } = opened
  try {
    // Datasets first: a crash in between leaves keys that no grant releases, never a grant without its data. Accepting again finishes.
    for (const { header, dek } of datasets) await store.putDataset(header, dek)
    await store.putGrant(held, grantJws, useKey)
    return { ...held, entrusted: datasets.map((d) => d.digest) }
  } finally {
    wipe(opened)
  }
}

/** Everything that {@link acceptEntrustment} checks. */
async function openEntrustment({ store, broker, owners, now }: AcceptQuestion, kem: KemKey, jws: Uint8Array): Promise<OpenedEntrustment> {
  const { payload, signers } = await verifyFlattenedJws(jws, ENTRUSTMENT_TYP, 'entrustment')
  const owner = signers[0]?.thumbprint ?? ''
  if (!owners.includes(owner)) {
    throw new AttestError('SIGNER_UNKNOWN', `owner ${owner} is not named by this broker's trust file`, { at: 'entrustment' })
  }
  const entrustment = parseEntrustment(payload)
  await assertForMe(entrustment, broker, kem)
  const grantJws = fromBase64Url(entrustment.grant.jws)
  const held = await readGrant(grantJws, owner, broker)
  if (await store.isRevoked(held.digest))
    throw new AttestError('GRANT_DENIED', `grant ${held.digest} was revoked`, { at: 'entrustment.grant' })
  // Its beginning may lie ahead; one that has ended needs no keys here.
  const times = grantTimeChecks(held.grant, Math.max(now, Date.parse(held.grant.notBefore) / 1000), now)
  if (!accepts(times))
    throw new AttestError('GRANT_EXPIRED', `grant ${held.digest} ended at ${held.grant.expires}`, { at: 'entrustment.grant' })
  const headers = await Promise.all(entrustment.datasets.map((d) => readHeader(fromBase64Url(d.header), held)))
  return openKeys(entrustment, kem, { broker, owner, grant: held.digest }, { held, grantJws, headers })
}

async function assertForMe(entrustment: Entrustment, broker: string, kem: KemKey): Promise<void> {
  if (entrustment.broker !== broker) {
    throw new AttestError('UNWRAP_FAILED', `this was entrusted to broker ${entrustment.broker}, not to ${broker}`, {
      at: 'entrustment.broker',
    })
  }
  if (entrustment.kem !== (await hpkeKeyDigest(kem.publicKey))) {
    throw new AttestError('UNWRAP_FAILED', 'this was sealed to another KEM key than this broker has', { at: 'entrustment.kem' })
  }
}

async function readGrant(jws: Uint8Array, owner: string, broker: string): Promise<HeldGrant> {
  const { payload, digest, signers } = await verifyFlattenedJws(jws, GRANT_TYP, 'entrustment.grant')
  const grant = parseGrant(payload)
  const denied = (message: string): AttestError => new AttestError('GRANT_DENIED', message, { at: 'entrustment.grant' })
  if (signers[0]?.thumbprint !== owner) throw denied(`grant ${digest} was signed by another owner than the entrustment`)
  if (brokerOf(grant) !== broker) throw denied(`grant ${digest} says release ${grant.release}, which is not this broker`)
  return { digest, owner, grant }
}

interface ReadHeader {
  readonly digest: string
  readonly bytes: Uint8Array
  readonly header: DatasetHeader
}

async function readHeader(bytes: Uint8Array, { digest: grantDigest, grant, owner }: HeldGrant): Promise<ReadHeader> {
  const header = parseHeader(bytes)
  const digest = await headerDigest(bytes)
  const denied = (message: string): AttestError => new AttestError('GRANT_DENIED', message, { at: 'entrustment.datasets' })
  if (header.kind !== 'dataset' || header.owner !== owner) throw denied(`${digest} is not a dataset of owner ${owner}`)
  if (!grant.datasets.includes(digest)) throw denied(`grant ${grantDigest} does not name dataset ${digest}`)
  return { digest, bytes, header }
}

async function openKeys(
  entrustment: Entrustment,
  kem: KemKey,
  bound: Omit<EntrustContext, 'dataset'>,
  { held, grantJws, headers }: { readonly held: HeldGrant; readonly grantJws: Uint8Array; readonly headers: readonly ReadHeader[] },
): Promise<OpenedEntrustment> {
  const useKey = await unwrapEntrusted(kem, { ...bound, dataset: null }, entrustment.grant.useKey)
  const datasets: { readonly digest: string; readonly header: Uint8Array; readonly dek: Secret }[] = []
  const opened = { held, grantJws, useKey, datasets }
  try {
    if ((await useKeyCommitment(useKey.expose())) !== held.grant.useKeyCommitment) {
      throw new AttestError('KEY_COMMITMENT_MISMATCH', 'the grant commits to another use key', { at: 'entrustment.grant.useKey' })
    }
    for (const [i, { digest, bytes, header }] of headers.entries()) {
      const key = entrustment.datasets[i]?.key
      if (key === undefined) throw new AttestError('INTERNAL', 'a header without its key')
      const dek = await unwrapEntrusted(kem, { ...bound, dataset: digest }, key)
      datasets.push({ digest, header: bytes, dek })
      await checkKeyCommitment(header, dek)
    }
    return opened
  } catch (error) {
    wipe(opened)
    throw error
  }
}

function wipe({ useKey, datasets }: OpenedEntrustment): void {
  useKey.wipe()
  for (const { dek } of datasets) dek.wipe()
}
