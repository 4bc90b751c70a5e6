import { bytesOf, entryToWire, sealgate } from '../../rpc/index.ts'
import {
  contractTimeChecks,
  grantTimeChecks,
  intentChecks,
  intentTimeChecks,
  policiesAllow,
  releaserText,
  sharesOf,
} from '../../verify/appraise/index.ts'
import { equal, toBase64Url } from '../../verify/bytes/bytes.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../../verify/documents/intent.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { type LoggedEntry, leafHash as leafHashOf } from '../../verify/tlog/index.ts'
import type { EntryPlace } from '../log/index.ts'
import { refuseUnless } from '../refuse.ts'
import type { Tx } from '../store/open-store.ts'
import type { JobCore } from './core.ts'
import { evidenceOf, type JobEvidence } from './evidence.ts'
import { type JobFacts, type JobRelease, sameBytes, takeStep } from './records.ts'
import { isBeforeRelease } from './states.ts'
import { isWithdrawn, refuseWithdrawn, withdrawalOf } from './withdrawn.ts'

/** HPKE messages are small: the largest `enc` here is that of ML-KEM-768 with X25519 (1120 bytes). */
const MAX_ENC_SIZE = 2048
const MAX_SEALED_SIZE = 4096

/** Log first, then release: the two steps of each releaser, and what the host gets of them once all have taken both. */
export class Releases {
  readonly #core: JobCore

  constructor(core: JobCore) {
    this.#core = core
  }

  /**
   * Appends the release intent of one releaser to the log; with the last one the job is logged. Asking again with the same
   * intent answers the same entry. The entry is handed out when the witnesses that the policies demand have cosigned it; until
   * then asking again is all that is to be done.
   * @param salt - 32 bytes, the releaser's.
   * @throws AttestError `WITNESS_QUORUM` for an entry that is logged but not cosigned; `JOB_CONFLICT`, `GRANT_USED` for a
   * spent slot, `GRANT_DENIED`, `GRANT_EXPIRED`, `DEADLINE`, `POLICY_DENIED`.
   */
  async logIntent(jobId: string, jws: Uint8Array, salt: Uint8Array): Promise<LoggedEntry> {
    const { index, facts } = await this.#core.alone(jobId, async (before) => ({
      index: await this.#append(before, jws, salt),
      facts: before,
    }))
    // Outside of the job's lock and of any transaction: witnesses may take their time.
    return this.#witnessed(facts, index)
  }

  /** @returns the place of the intent in the log, durable. */
  async #append(facts: JobFacts, jws: Uint8Array, salt: Uint8Array): Promise<number> {
    const jobId = facts.row.job_id
    const { row, state } = facts
    const { log, hosts } = this.#core.means
    await this.#unlessWithdrawn(facts, () => refuseWithdrawn(this.#core.means.db, facts))
    const logged = facts.releases.find((release) => sameBytes(release.jws, jws))
    if (logged !== undefined) return logged.index
    const evidence = await evidenceOf(row)
    if (state !== 'attested' || evidence === null) throw conflict(`the job is ${state}`)
    if (hosts.get(row.host ?? '') === null) throw conflict('its host is not connected')
    if (salt.length !== 32) throw new AttestError('DOCUMENT_INVALID', 'want a salt of 32 bytes', { at: 'salt' })
    const { intent, releaser } = await this.#checkIntent(facts, evidence, jws)
    if (facts.releases.some((release) => release.releaser === releaser)) throw conflict(`${releaser} has released under another intent`)
    const tags = intent.slots.map((slot) => slot.tag).sort()
    const leaf = { v: 1, type: 'release', commitment: await commitmentOf(salt, jws), tags, ends: [], deadline: intent.deadline } as const
    const also = async (tx: Tx, { index }: EntryPlace): Promise<void> => {
      await refuseWithdrawn(tx, facts)
      await spendSlots(tx, jobId, intent)
      await tx.insertInto('job_releases').values({ job_id: jobId, releaser, intent: jws, log_index: index, sealed_keys: null }).execute()
      await this.#afterIntent(tx, facts, index)
    }
    // Durable when it returns: the entry, its use slots, the release and the job's step, together, and that nothing was withdrawn
    // before. A crash before leaves none of them, and the releaser asks again; a crash after costs nothing, the same question
    // gets this entry.
    const entry = await this.#unlessWithdrawn(facts, () => log.append({ leaf, salt, opening: jws, also }))
    await this.#core.changed(jobId, isLast(facts) ? 'logged' : state)
    return entry.index
  }

  /** The last intent takes the job on; any other needs it to be where it was. */
  async #afterIntent(tx: Tx, facts: JobFacts, index: number): Promise<void> {
    const { job_id } = facts.row
    if (isLast(facts)) {
      const reason = `${facts.releases.length === 0 ? 'the release intent' : 'the last release intent'} is entry ${index} of the log`
      return takeStep(tx, job_id, facts.state, { to: 'logged', reason, at: this.#core.means.clock.now() })
    }
    const row = await tx.selectFrom('jobs').select('state').where('job_id', '=', job_id).executeTakeFirst()
    if (row?.state !== facts.state) throw conflict('the job has moved on')
  }

  /** The entry of a release as the policies of its job demand it. */
  #witnessed({ row, policies }: JobFacts, index: number): Promise<LoggedEntry> {
    const documents = policies.map((p) => p.document)
    return this.#core.means.witnessed.entry(index, documents, row.checkpoint === null ? [] : [row.checkpoint])
  }

  /**
   * Keeps the sealed keys of one releaser; with the last ones all go to the host. Repeating it is harmless.
   * @param maySpeakFor - Whether the caller may hand over keys of this releaser.
   * @throws AttestError `JOB_CONFLICT`, `DOCUMENT_INVALID`; `GRANT_DENIED` when a grant was revoked meanwhile, `GRANT_HELD`, `DATASET_ERASED`: each ends the job.
   */
  async releaseKeys(
    jobId: string,
    request: sealgate.v1.IReleaseKeysRequest,
    maySpeakFor: (grants: readonly string[]) => Promise<boolean>,
  ): Promise<void> {
    await this.#core.alone(jobId, async (facts) => {
      const { state } = facts
      const bytes = new Uint8Array(sealgate.v1.ReleaseKeysRequest.encode(request).finish())
      await this.#unlessWithdrawn(facts, () => refuseWithdrawn(this.#core.means.db, facts))
      if (facts.releases.some((release) => sameBytes(release.sealedKeys, bytes))) return
      if ((state !== 'attested' && state !== 'logged') || facts.releases.length === 0) throw conflict(`the job is ${state}`)
      const release = await this.#releaseOf(facts, bytesOf(request.leafHash))
      if (!(await maySpeakFor(release.intent.grants))) {
        throw new AttestError('PERMISSION_DENIED', 'these keys are for their own releaser to hand over', { at: 'leaf_hash' })
      }
      if (release.sealedKeys !== null) throw conflict('its releaser has handed over other keys')
      await this.#checkKeys(facts, release, request)
      const isComplete = state === 'logged' && facts.releases.every((r) => r === release || r.sealedKeys !== null)
      await this.#unlessWithdrawn(facts, () => this.#keepKeys(facts, release, bytes, isComplete))
      if (!isComplete) return
      if (!(await this.#send(await this.#core.facts(jobId)))) await refuseWithdrawn(this.#core.means.db, facts)
    })
  }

  async #keepKeys(facts: JobFacts, { releaser }: JobRelease, bytes: Uint8Array, isComplete: boolean): Promise<void> {
    const { row, state } = facts
    const { db } = this.#core.means
    const keep = async (tx: Tx): Promise<void> => {
      await refuseWithdrawn(tx, facts)
      const own = tx.updateTable('job_releases').set({ sealed_keys: bytes }).where('job_id', '=', row.job_id)
      await own.where('releaser', '=', releaser).execute()
    }
    // Durable when it returns: the keys, with the last of them the job's step, and that nothing was withdrawn before. Whoever
    // revokes or erases after that waits for this job, and the keys that are here are dropped with that. A crash before costs
    // the releaser this one call.
    if (isComplete) await this.#core.step(row.job_id, state, { to: 'released', reason: 'sealed keys were handed over' }, keep)
    else await db.transaction().execute(keep)
  }

  /**
   * Sends sealed keys to a host that came back and may lack them: an agent opens them once at most. A job of which a grant was
   * revoked, or a dataset erased, meanwhile gets none; it ends, unless its host says that it has them.
   */
  async deliver(jobId: string, hasKeys: boolean): Promise<void> {
    await this.#core.alone(jobId, async (facts) => {
      if (facts.state === 'released') await this.#send(facts, hasKeys)
    })
  }

  /** Call it inside {@link JobCore.alone}. @returns false for keys that are held back because a grant was revoked or a dataset erased. */
  async #send(facts: JobFacts, hasKeys = false): Promise<boolean> {
    const { row, grants, policies, contract, releases } = facts
    const { hosts } = this.#core.means
    if (row.host === null) return true
    const parts: sealgate.v1.IReleasePart[] = []
    for (const { index, jws, sealedKeys } of releases) {
      const entry = entryToWire(await this.#witnessed(facts, index))
      const keys = sealedKeys === null ? [] : sealgate.v1.ReleaseKeysRequest.decode(sealedKeys).keys
      parts.push({ intentJws: jws, entry, keys })
    }
    const withdrawn = await withdrawalOf(this.#core.means.db, facts)
    if (withdrawn !== null) {
      const { code, message } = withdrawn
      if (!hasKeys) await this.#core.endWithdrawn(facts, { code, message: `${message}; its host was not sent the keys` })
      return false
    }
    if (releases.some((release) => release.sealedKeys === null)) {
      // A hold dropped them and has ended since. Nobody can send them any more.
      if (!hasKeys) await this.#core.endWithdrawn(facts, { code: 'GRANT_HELD', message: 'its keys were dropped while its grant was held' })
      return hasKeys
    }
    hosts.send(row.host, {
      keyRelease: {
        jobId: row.job_id,
        grantsJws: grants.map((g) => g.jws),
        policies: policies.map((p) => p.bytes),
        parts,
        ear: row.ear,
        blobIds: contract.inputs.map((input) => input.header),
      },
    })
    return true
  }

  async #checkIntent(
    facts: JobFacts,
    evidence: JobEvidence,
    jws: Uint8Array,
  ): Promise<{ readonly intent: ReleaseIntent; readonly releaser: string }> {
    const { row, contract, grants, policies } = facts
    const { witnessed } = this.#core.means
    const { payload, signers } = await verifyFlattenedJws(jws, INTENT_TYP, 'intent')
    const signer = signers[0]?.thumbprint ?? ''
    const intent = parseIntent(payload)
    const wanted = {
      job: row.digest,
      contract,
      grants,
      binding: evidence.bindingDigest,
      evidence: evidence.evidenceDigest,
      kem: evidence.kemDigest,
    }
    refuseUnless(intentChecks(intent, signer, wanted), 'GRANT_DENIED', 'intent')
    const demands = { contract, policies: policies.map((p) => p.document), kem: evidence.binding.kem }
    refuseUnless(policiesAllow({ ...demands, log: witnessed.terms }), 'POLICY_DENIED', 'policies')
    await this.#checkTimes(facts, intent)
    return { intent, releaser: releaserText({ mode: intent.mode, thumbprint: signer }) }
  }

  async #checkTimes({ contract, grants }: JobFacts, intent: ReleaseIntent): Promise<void> {
    const now = Math.floor(this.#core.means.clock.now() / 1000)
    refuseUnless([...intentTimeChecks(intent, now), ...contractTimeChecks(contract, now)], 'DEADLINE', 'intent.deadline')
    refuseUnless(
      grants.flatMap((g) => grantTimeChecks(g.grant, now, now)),
      'GRANT_EXPIRED',
      'grants',
    )
  }

  /**
   * Does what only a job may do of which no grant was revoked and no dataset erased. One that is refused for it, and whose keys are not with a host
   * yet, is over.
   * @throws AttestError whatever `work` throws.
   */
  async #unlessWithdrawn<T>(facts: JobFacts, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (isWithdrawn(error) && isBeforeRelease(facts.state)) await this.#core.endWithdrawn(facts, error)
      throw error
    }
  }

  /** The release that keys follow, by the hash of its leaf. */
  async #releaseOf(facts: JobFacts, leafHash: Uint8Array): Promise<JobRelease> {
    for (const release of facts.releases) {
      // Whoever releases has seen it cosigned; the enclave will want to see it too.
      const entry = await this.#witnessed(facts, release.index)
      if (equal(await leafHashOf(entry.leaf), leafHash)) return release
    }
    throw new AttestError('DOCUMENT_INVALID', 'the keys follow another log entry', { at: 'leaf_hash' })
  }

  async #checkKeys({ row }: JobFacts, { intent }: JobRelease, { keys }: sealgate.v1.IReleaseKeysRequest): Promise<void> {
    const evidence = await evidenceOf(row)
    const wanted = [...new Set(intent.datasets)].sort()
    const got = (keys ?? []).map((key) => toBase64Url(bytesOf(key.headerDigest))).sort()
    if (JSON.stringify(wanted) !== JSON.stringify(got))
      throw new AttestError('DOCUMENT_INVALID', 'want one key per dataset', { at: 'keys' })
    for (const { suite, enc, ciphertext } of keys ?? []) {
      const fits = suite === evidence?.binding.kem.suite && within(enc, MAX_ENC_SIZE) && within(ciphertext, MAX_SEALED_SIZE)
      if (!fits) throw new AttestError('DOCUMENT_INVALID', 'a key is not sealed to the key of this job', { at: 'keys' })
    }
  }
}

/** True when one more intent makes all of them. */
function isLast({ contract, grants, releases }: JobFacts): boolean {
  return releases.length + 1 === sharesOf(contract, grants).length
}

/** The slots of an intent, each once and for ever. The tags in the log say the same to everybody. */
async function spendSlots(tx: Tx, jobId: string, { slots }: ReleaseIntent): Promise<void> {
  for (const { grant, k } of slots) {
    const spent = await tx.selectFrom('use_slots').select('job_id').where('grant_digest', '=', grant).where('k', '=', k).executeTakeFirst()
    if (spent !== undefined) throw new AttestError('GRANT_USED', `slot ${k} of grant ${grant} is spent`, { at: 'intent.slots' })
    await tx.insertInto('use_slots').values({ grant_digest: grant, k, job_id: jobId }).execute()
  }
}

function within(bytes: Uint8Array | null | undefined, max: number): boolean {
  const { length } = bytesOf(bytes)
  return length >= 1 && length <= max
}

function conflict(message: string): AttestError {
  return new AttestError('JOB_CONFLICT', message, { at: 'job.state' })
}
