import { crypto } from '#crypto'
import type { SignedGrant } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { GRANT_TYP, parseGrant, parseRevocation, REVOCATION_TYP, type Revocation } from '../../verify/documents/grant.ts'
import { parseHeader } from '../../verify/documents/header.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { Clock } from '../clock.ts'
import { refuseErased } from '../erasure/erased.ts'
import type { Events } from '../events/events.ts'
import { KeyedLock } from '../keyed-lock.ts'
import { grantsNaming, writeParties } from '../parties/parties.ts'
import type { Caller } from '../server/caller.ts'
import type { Database, Tx } from '../store/open-store.ts'
import { type GrantRow, LIST_LIMIT, type PartyRole } from '../store/tables.ts'
import { refuseHeld } from './held.ts'
import { refuseRevoked, revokedAmong } from './revoked.ts'

/** A grant as kept: signature, digest and policy were checked again when it was read. */
export interface StoredGrant extends SignedGrant {
  readonly jws: Uint8Array
  readonly policyText: Uint8Array
  readonly policy: Policy
  readonly putBy: string
}

/** Whoever a grant names may read it. */
const PARTIES: readonly PartyRole[] = ['owner', 'releaser', 'submitter']

/** Grants of data owners. The gateway checks what it stores, and again what it reads: the store is not trusted. */
export class Grants {
  readonly #db: Database
  readonly #events: Events
  readonly #clock: Clock
  /** Two revocations of one grant go one after the other. */
  readonly #locks = new KeyedLock()

  constructor(db: Database, events: Events, clock: Clock) {
    this.#db = db
    this.#events = events
    this.#clock = clock
  }

  /**
   * Stores a grant with its policy. Repeating it is harmless.
   * @returns its digest.
   * @throws AttestError `SIGNATURE_INVALID`, `DOCUMENT_INVALID`, `POLICY_DENIED` for a policy text that it does not name,
   * `NOT_FOUND` for a dataset that is not here, `DATASET_ERASED`, `GRANT_DENIED` for one of another owner.
   */
  async put(caller: Caller, jws: Uint8Array, policyText: Uint8Array): Promise<string> {
    const grant = await readGrant({ jws, policy: policyText, put_by: caller.id })
    await refuseErased(this.#db, grant.grant.datasets)
    await this.#checkDatasets(grant)
    const row: GrantRow = { digest: grant.digest, jws, policy: policyText, put_by: caller.id, created_at: this.#clock.now() }
    // Durable now: the grant. A crash before costs the owner this one call.
    await this.#db.transaction().execute(async (tx) => {
      await refuseErased(tx, grant.grant.datasets)
      await tx
        .insertInto('grants')
        .values(row)
        .onConflict((conflict) => conflict.doNothing())
        .execute()
      await writeParties(tx, grant)
    })
    return grant.digest
  }

  /** @throws AttestError `NOT_FOUND` also for a grant that somebody else put here and that names no key of the caller. */
  async get(caller: Caller, digest: string): Promise<StoredGrant> {
    const named = await grantsNaming(this.#db, caller, PARTIES).where('grant_digest', '=', digest).executeTakeFirst()
    const grant = await this.load(digest)
    if (grant.putBy !== caller.id && named === undefined) throw unknownGrant(digest)
    return grant
  }

  /** Those that the caller put here and those that name a key of it. The newest ones, oldest first. */
  async list(caller: Caller): Promise<readonly StoredGrant[]> {
    const named = grantsNaming(this.#db, caller, PARTIES)
    const all = this.#db
      .selectFrom('grants')
      .selectAll()
      .where((eb) => eb.or([eb('put_by', '=', caller.id), eb('digest', 'in', named)]))
    const rows = await all.orderBy('created_at', 'desc').limit(LIST_LIMIT).execute()
    return Promise.all(rows.reverse().map(readStored))
  }

  /** For the gateway's own checks, whoever put it. */
  async load(digest: string): Promise<StoredGrant> {
    const row = await this.#db.selectFrom('grants').selectAll().where('digest', '=', digest).executeTakeFirst()
    if (row === undefined) throw unknownGrant(digest)
    return readStored(row)
  }

  /** Which of these grants their owner has taken back. */
  revoked(digests: readonly string[]): Promise<ReadonlySet<string>> {
    return revokedAmong(this.#db, digests)
  }

  /** @throws AttestError `GRANT_DENIED` when one of these grants was taken back, `GRANT_HELD` when one is held. */
  async refuseWithdrawn(grants: readonly StoredGrant[]): Promise<void> {
    const digests = grants.map((g) => g.digest)
    await refuseRevoked(this.#db, digests)
    await refuseHeld(this.#db, digests)
  }

  /** Of which of these grants their owner has asked that running jobs stop. */
  async stopping(grants: readonly StoredGrant[]): Promise<ReadonlySet<string>> {
    const digests = grants.map((g) => g.digest)
    const rows = await this.#db.selectFrom('revocations').selectAll().where('grant_digest', 'in', digests).execute()
    const stopping = new Set<string>()
    for (const { grant_digest, jws } of rows) {
      const { payload, signers } = await verifyFlattenedJws(jws, REVOCATION_TYP, 'revocation')
      const { grant, stopJobs } = parseRevocation(payload)
      const owner = grants.find((g) => g.digest === grant_digest)?.signer
      if (grant !== grant_digest || signers[0]?.thumbprint !== owner) {
        throw new AttestError('LOG_CORRUPT', 'a stored revocation is not the one of its grant', { at: 'store.revocations' })
      }
      if (stopJobs) stopping.add(grant)
    }
    return stopping
  }

  /**
   * Takes a grant back, in the log and for every release from now on. Whoever brings the owner's signature may. Repeating it is
   * harmless.
   * @returns what was revoked.
   * @throws AttestError `SIGNATURE_INVALID`, `NOT_FOUND`, `GRANT_DENIED` when somebody else than the owner signed.
   */
  async revoke(jws: Uint8Array): Promise<Revocation> {
    const { payload, signers } = await verifyFlattenedJws(jws, REVOCATION_TYP, 'revocation')
    const revocation = parseRevocation(payload)
    const grant = await this.load(revocation.grant)
    if (signers[0]?.thumbprint !== grant.signer)
      throw new AttestError('GRANT_DENIED', 'only its owner revokes a grant', { at: 'revocation.signer' })
    await this.#locks.run(grant.digest, () => this.#keep(grant, revocation, jws))
    return revocation
  }

  /** A second revocation counts where it asks for more than the first: that running jobs stop. */
  async #keep(grant: StoredGrant, { stopJobs }: Revocation, jws: Uint8Array): Promise<void> {
    const { digest } = grant
    const isRevoked = (await this.revoked([digest])).has(digest)
    if (isRevoked && (!stopJobs || (await this.stopping([grant])).has(digest))) return
    const { digest: revocation } = await verifyFlattenedJws(jws, REVOCATION_TYP, 'revocation')
    // Durable when it returns: the log entry, the revocation, and that no sealed keys are kept for its jobs any more, together.
    // A crash before costs the owner this one call.
    await this.#events.append({
      type: 'revocation',
      subject: digest,
      predicate: { grant: digest, owner: grant.signer, revocation },
      documents: {
        type: 'sealgate/revocation-file/v1',
        revocation: toBase64Url(jws),
        grant: toBase64Url(grant.jws),
        policy: toBase64Url(grant.policyText),
      },
      name: digest,
      reader: grant.putBy,
      also: async (tx) => {
        await tx
          .insertInto('revocations')
          .values({ grant_digest: digest, jws, created_at: this.#clock.now() })
          .onConflict((conflict) => conflict.column('grant_digest').doUpdateSet({ jws }))
          .execute()
        await dropSealedKeys(tx, digest)
      },
    })
  }

  async #checkDatasets({ grant, signer }: StoredGrant): Promise<void> {
    const rows = await this.#db
      .selectFrom('blobs')
      .selectAll()
      .where('blob_id', 'in', grant.datasets)
      .where('kind', '=', 'dataset')
      .execute()
    for (const digest of grant.datasets) {
      const header = rows.find((row) => row.blob_id === digest)?.header
      if (header === undefined) throw new AttestError('NOT_FOUND', `dataset ${digest} is not here`, { at: 'grant.datasets' })
      const parsed = parseHeader(header)
      if (parsed.kind !== 'dataset' || parsed.owner !== signer) {
        throw new AttestError('GRANT_DENIED', `dataset ${digest} has another owner`, { at: 'grant.datasets' })
      }
    }
  }
}

/** In the transaction that revokes or holds the grant: what was not delivered by then never is. */
export async function dropSealedKeys(tx: Tx, digest: string): Promise<void> {
  const under = tx.selectFrom('job_grants').select('job_id').where('grant_digest', '=', digest)
  await tx
    .updateTable('job_releases')
    .set({ sealed_keys: null })
    .where('job_id', 'in', under)
    .where('sealed_keys', 'is not', null)
    .execute()
}

/** @throws AttestError as {@link Grants.put}. */
async function readGrant({ jws, policy: policyText, put_by }: Pick<GrantRow, 'jws' | 'policy' | 'put_by'>): Promise<StoredGrant> {
  const { payload, digest, signers } = await verifyFlattenedJws(jws, GRANT_TYP, 'grant')
  const grant = parseGrant(payload)
  const policy = parsePolicy(policyText)
  const policyDigest = toBase64Url(await crypto.digest('SHA-256', policyText))
  if (policyDigest !== grant.policy) throw new AttestError('POLICY_DENIED', 'the grant names another policy', { at: 'grant.policy' })
  return { grant, digest, signer: signers[0]?.thumbprint ?? '', jws, policyText, policy, putBy: put_by }
}

async function readStored(row: GrantRow): Promise<StoredGrant> {
  const grant = await readGrant(row)
  if (grant.digest !== row.digest) throw new AttestError('LOG_CORRUPT', 'a stored grant is not the one of its name', { at: 'store.grants' })
  return grant
}

function unknownGrant(digest: string): AttestError {
  return new AttestError('NOT_FOUND', `no grant ${digest}`, { at: 'grants' })
}
