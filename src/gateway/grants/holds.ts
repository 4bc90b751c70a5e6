import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { HOLD_TYP, type Hold, parseHold } from '../../verify/documents/hold.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { Clock } from '../clock.ts'
import type { Events } from '../events/events.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Database } from '../store/open-store.ts'
import { dropSealedKeys, type Grants, type StoredGrant } from './grants.ts'

interface SignedHold {
  readonly hold: Hold
  readonly digest: string
  readonly signer: string
}

/** Holds of grants, and their ends. Of each grant the newest document is kept, by its sequence. */
export class Holds {
  readonly #db: Database
  readonly #grants: Grants
  readonly #events: Events
  readonly #clock: Clock
  /** Two documents of one grant go one after the other. */
  readonly #locks = new KeyedLock()

  constructor(db: Database, grants: Grants, events: Events, clock: Clock) {
    this.#db = db
    this.#grants = grants
    this.#events = events
    this.#clock = clock
  }

  /**
   * Holds a grant, or ends that, in the log and for every release from now on. Whoever brings the owner's signature may. The newest
   * document again is harmless.
   * @returns what was put in force.
   * @throws AttestError `SIGNATURE_INVALID`, `NOT_FOUND`, `GRANT_DENIED` when somebody else than the owner signed, `HOLD_STALE` for
   * a sequence that is not above the newest one.
   */
  async put(jws: Uint8Array): Promise<Hold> {
    const signed = await readHold(jws)
    const grant = await this.#grants.load(signed.hold.grant)
    if (signed.signer !== grant.signer) throw new AttestError('GRANT_DENIED', 'only its owner holds a grant', { at: 'hold.signer' })
    await this.#locks.run(grant.digest, () => this.#keep(grant, signed, jws))
    return signed.hold
  }

  /** The newest signed document of each of these grants that has one. */
  async newest(digests: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const rows = await this.#db.selectFrom('holds').select(['grant_digest', 'jws']).where('grant_digest', 'in', digests).execute()
    return new Map(rows.map((row) => [row.grant_digest, row.jws]))
  }

  /** Which of these grants are held such that running jobs stop. */
  async stopping(grants: readonly StoredGrant[]): Promise<ReadonlySet<string>> {
    const stopping = new Set<string>()
    const newest = await this.newest(grants.map((g) => g.digest))
    for (const grant of grants) {
      const jws = newest.get(grant.digest)
      if (jws !== undefined && (await readStored(grant, jws)).hold.stopJobs) stopping.add(grant.digest)
    }
    return stopping
  }

  async #keep(grant: StoredGrant, { hold, digest }: SignedHold, jws: Uint8Array): Promise<void> {
    const kept = (await this.newest([grant.digest])).get(grant.digest)
    if (kept !== undefined) {
      const newest = await readStored(grant, kept)
      if (newest.digest === digest) return
      const { sequence } = newest.hold
      if (hold.sequence <= sequence) throw new AttestError('HOLD_STALE', `sequence ${sequence} is here already`, { at: 'hold.sequence' })
    }
    const row = { sequence: hold.sequence, held: hold.held ? 1 : 0, jws, created_at: this.#clock.now() } as const
    // Durable when it returns: the log entry, the hold, and that no sealed keys are kept for jobs of a held grant, together.
    // A crash before costs the owner this one call.
    await this.#events.append({
      type: 'hold',
      subject: grant.digest,
      predicate: { grant: grant.digest, owner: grant.signer, hold: digest },
      documents: {
        type: 'sealgate/hold-file/v1',
        hold: toBase64Url(jws),
        grant: toBase64Url(grant.jws),
        policy: toBase64Url(grant.policyText),
      },
      name: grant.digest,
      reader: grant.putBy,
      also: async (tx) => {
        await tx
          .insertInto('holds')
          .values({ grant_digest: grant.digest, ...row })
          .onConflict((conflict) => conflict.column('grant_digest').doUpdateSet(row))
          .execute()
        if (hold.held) await dropSealedKeys(tx, grant.digest)
      },
    })
  }
}

async function readHold(jws: Uint8Array): Promise<SignedHold> {
  const { payload, digest, signers } = await verifyFlattenedJws(jws, HOLD_TYP, 'hold')
  return { hold: parseHold(payload), digest, signer: signers[0]?.thumbprint ?? '' }
}

async function readStored({ digest, signer }: StoredGrant, jws: Uint8Array): Promise<SignedHold> {
  const signed = await readHold(jws)
  if (signed.hold.grant === digest && signed.signer === signer) return signed
  throw new AttestError('LOG_CORRUPT', 'a stored hold is not one of its grant', { at: 'store.holds' })
}
