import type { SelectQueryBuilder } from 'kysely'
import { releaserOf, type SignedGrant } from '../../verify/appraise/index.ts'
import { KEY_PROOF_TYP, parseKeyProof } from '../../verify/documents/key-proof.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { Clock } from '../clock.ts'
import { type Caller, tlsKeyDigest } from '../server/caller.ts'
import type { Database, Tx } from '../store/open-store.ts'
import type { GrantPartyRow, PartyRole, Tables } from '../store/tables.ts'

/** A client has a few keys: to grant, to submit, to release for others. */
const MAX_KEYS = 16

/**
 * Which signing keys a connection has proven to hold, and what grants say of them. An identity under our CA tells who may
 * connect; documents name people by other keys, and this is what ties the two together.
 */
export class Parties {
  readonly #db: Database
  readonly #clock: Clock

  constructor(db: Database, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /**
   * Takes the proof that the caller holds a signing key. From then on, and for as long as it keeps its TLS key, it is whom
   * grants name by that key. Repeating it is harmless.
   * @returns the thumbprint.
   * @throws AttestError `SIGNATURE_INVALID`, `DOCUMENT_INVALID`; `PERMISSION_DENIED` for a proof that was made for another TLS
   * key; `LIMIT_EXCEEDED`.
   */
  async prove(caller: Caller, jws: Uint8Array): Promise<string> {
    const { payload, signers } = await verifyFlattenedJws(jws, KEY_PROOF_TYP, 'key-proof')
    const proof = parseKeyProof(payload)
    const thumbprint = signers[0]?.thumbprint
    const tls = tlsKeyDigest(caller)
    if (thumbprint === undefined || proof.tls !== tls) {
      throw new AttestError('PERMISSION_DENIED', 'the proof was made for another TLS key', { at: 'key-proof.tls' })
    }
    // Durable when it returns: that this TLS key comes with this signing key. A crash before costs the caller this one call.
    await this.#db.transaction().execute(async (tx) => {
      const known = await tx.selectFrom('proven_keys').select('thumbprint').where('tls', '=', tls).execute()
      if (known.some((row) => row.thumbprint === thumbprint)) return
      if (known.length >= MAX_KEYS) throw new AttestError('LIMIT_EXCEEDED', `at most ${MAX_KEYS} keys of one identity`, { at: 'key-proof' })
      await tx.insertInto('proven_keys').values({ tls, thumbprint, created_at: this.#clock.now() }).execute()
    })
    return thumbprint
  }

  /**
   * Whether the caller may act for whoever releases under these grants: it has proven that key, or it has put the grant here
   * and its owner releases. What it signs is held against the key in any case.
   */
  async maySpeakFor(caller: Caller, grants: readonly string[]): Promise<boolean> {
    const proven = new Set((await provenKeys(this.#db, caller).execute()).map((row) => row.thumbprint))
    for (const digest of grants) {
      const parties = await this.#db.selectFrom('grant_parties').selectAll().where('grant_digest', '=', digest).execute()
      const releaser = parties.find((row) => row.role === 'releaser')?.thumbprint
      const owner = parties.find((row) => row.role === 'owner')?.thumbprint
      const grant = await this.#db.selectFrom('grants').select('put_by').where('digest', '=', digest).executeTakeFirst()
      if (releaser === undefined || grant === undefined) return false
      if (!proven.has(releaser) && !(grant.put_by === caller.id && releaser === owner)) return false
    }
    return grants.length > 0
  }
}

/** Thumbprints of the keys that a caller has proven to hold. */
export function provenKeys(db: Database, caller: Caller): SelectQueryBuilder<Tables, 'proven_keys', { thumbprint: string }> {
  return db.selectFrom('proven_keys').select('thumbprint').where('tls', '=', tlsKeyDigest(caller))
}

/** Digests of the grants that name a key of the caller in one of these roles. */
export function grantsNaming(
  db: Database,
  caller: Caller,
  roles: readonly PartyRole[],
): SelectQueryBuilder<Tables, 'grant_parties', { grant_digest: string }> {
  return db.selectFrom('grant_parties').select('grant_digest').where('role', 'in', roles).where('thumbprint', 'in', provenKeys(db, caller))
}

/** Writes down whom a grant names, and which datasets. Repeating it is harmless. */
export async function writeParties(tx: Tx, grant: SignedGrant): Promise<void> {
  const { digest } = grant
  const row = (role: PartyRole, thumbprint: string): GrantPartyRow => ({ grant_digest: digest, role, thumbprint })
  const submitters = [...new Set(grant.grant.submitters)].map((s) => row('submitter', s))
  const rows = [row('owner', grant.signer), row('releaser', releaserOf(grant).thumbprint), ...submitters]
  await tx
    .insertInto('grant_parties')
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await tx
    .insertInto('grant_datasets')
    .values(grant.grant.datasets.map((dataset) => ({ grant_digest: digest, dataset })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}
