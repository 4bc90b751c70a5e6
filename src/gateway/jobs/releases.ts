import { bytesOf, entryToWire, sealgate } from '../../rpc/index.ts'
import { contractTimeChecks, grantTimeChecks, intentChecks, intentTimeChecks, policiesAllow } from '../../verify/appraise/index.ts'
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
import { type JobFacts, sameBytes, takeStep } from './records.ts'
import { isBeforeRelease } from './states.ts'
import { isWithdrawn, refuseWithdrawn, withdrawalOf } from './withdrawn.ts'

/** HPKE messages are small: the largest `enc` here is that of ML-KEM-768 with X25519 (1120 bytes). */
const MAX_ENC_SIZE = 2048
const MAX_SEALED_SIZE = 4096

/** Log first, then release: the two steps of an owner, and what the host gets of them. */
export class Releases {
  readonly #core: JobCore

  constructor(core: JobCore) {
    this.#core = core
  }

  /**
   * Appends a release intent to the log. Asking again with the same intent answers the same entry. The entry is handed out
   * when the witnesses that the policies demand have cosigned it; until then asking again is all that is to be done.
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
    const { log, hosts, clock } = this.#core.means
    await this.#unlessWithdrawn(facts, () => refuseWithdrawn(this.#core.means.db, facts))
    if (row.release_index !== null && sameBytes(row.intent, jws)) return row.release_index
    const evidence = await evidenceOf(row)
    if (state !== 'attested' || evidence === null) throw conflict(`the job is ${state}`)
    if (hosts.get(row.host ?? '') === null) throw conflict('its host is not connected')
    if (salt.length !== 32) throw new AttestError('DOCUMENT_INVALID', 'want a salt of 32 bytes', { at: 'salt' })
    const intent = await this.#checkIntent(facts, evidence, jws)
    const tags = intent.slots.map((slot) => slot.tag).sort()
    const leaf = {
      v: 1,
      type: 'release',
      commitment: await commitmentOf(salt, jws),
      tags,
      ends: null,
      deadline: intent.deadline,
    } as const
    const also = async (tx: Tx, { index }: EntryPlace): Promise<void> => {
      await refuseWithdrawn(tx, facts)
      await spendSlots(tx, jobId, intent)
      const set = { intent: jws, release_index: index }
      const reason = `the release intent is entry ${index} of the log`
      await takeStep(tx, jobId, state, { to: 'logged', reason, at: clock.now(), set })
    }
    // Durable when it returns: the entry, its use slots and the job's step, together, and that nothing was withdrawn before. A
    // crash before leaves none of them, and the owner asks again; a crash after costs nothing, the same question gets this entry.
    const entry = await this.#unlessWithdrawn(facts, () => log.append({ leaf, salt, opening: jws, also }))
    await this.#core.changed(jobId, 'logged')
    return entry.index
  }

  /** The entry of a release as the policies of its job demand it. */
  #witnessed({ row, policies }: JobFacts, index: number): Promise<LoggedEntry> {
    const documents = policies.map((p) => p.document)
    return this.#core.means.witnessed.entry(index, documents, row.checkpoint)
  }

  /**
   * Keeps the sealed keys and hands them to the host. Repeating it is harmless.
   * @throws AttestError `JOB_CONFLICT`, `DOCUMENT_INVALID`; `GRANT_DENIED` when a grant was revoked meanwhile, `GRANT_HELD`, `DATASET_ERASED`: each ends the job.
   */
  async releaseKeys(jobId: string, request: sealgate.v1.IReleaseKeysRequest): Promise<void> {
    await this.#core.alone(jobId, async (facts) => {
      const { row, state } = facts
      const bytes = new Uint8Array(sealgate.v1.ReleaseKeysRequest.encode(request).finish())
      await this.#unlessWithdrawn(facts, () => refuseWithdrawn(this.#core.means.db, facts))
      if (sameBytes(row.sealed_keys, bytes)) return
      if (state !== 'logged') throw conflict(`the job is ${state}`)
      await this.#checkKeys(facts, request)
      const step = { to: 'released', reason: 'sealed keys were handed over', set: { sealed_keys: bytes } } as const
      // Durable when it returns: the keys, and that nothing was withdrawn before. Whoever revokes or erases after that waits for this
      // job, and the keys that are here are dropped with that.
      await this.#unlessWithdrawn(facts, () => this.#core.step(jobId, state, step, (tx) => refuseWithdrawn(tx, facts)))
      if (!(await this.#send(await this.#core.facts(jobId)))) await refuseWithdrawn(this.#core.means.db, facts)
    })
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
    const { row, grants, policies, contract } = facts
    const { hosts } = this.#core.means
    if (row.host === null || row.release_index === null || row.intent === null) return true
    const entry = entryToWire(await this.#witnessed(facts, row.release_index))
    const withdrawn = await withdrawalOf(this.#core.means.db, facts)
    if (withdrawn !== null) {
      const { code, message } = withdrawn
      if (!hasKeys) await this.#core.endWithdrawn(facts, { code, message: `${message}; its host was not sent the keys` })
      return false
    }
    if (row.sealed_keys === null) {
      // A hold dropped them and has ended since. Nobody can send them any more.
      if (!hasKeys) await this.#core.endWithdrawn(facts, { code: 'GRANT_HELD', message: 'its keys were dropped while its grant was held' })
      return hasKeys
    }
    const { keys } = sealgate.v1.ReleaseKeysRequest.decode(row.sealed_keys)
    hosts.send(row.host, {
      keyRelease: {
        jobId: row.job_id,
        grantsJws: grants.map((g) => g.jws),
        policies: policies.map((p) => p.bytes),
        intentJws: row.intent,
        entry,
        keys,
        ear: row.ear,
        blobIds: contract.inputs.map((input) => input.header),
      },
    })
    return true
  }

  async #checkIntent(facts: JobFacts, evidence: JobEvidence, jws: Uint8Array): Promise<ReleaseIntent> {
    const { row, contract, grants, policies } = facts
    const { witnessed } = this.#core.means
    const { payload, signers } = await verifyFlattenedJws(jws, INTENT_TYP, 'intent')
    const intent = parseIntent(payload)
    const wanted = {
      job: row.digest,
      contract,
      grants,
      binding: evidence.bindingDigest,
      evidence: evidence.evidenceDigest,
      kem: evidence.kemDigest,
    }
    refuseUnless(intentChecks(intent, signers[0]?.thumbprint ?? '', wanted), 'GRANT_DENIED', 'intent')
    const demands = { contract, policies: policies.map((p) => p.document), kem: evidence.binding.kem }
    refuseUnless(policiesAllow({ ...demands, log: witnessed.terms }), 'POLICY_DENIED', 'policies')
    await this.#checkTimes(facts, intent)
    return intent
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

  async #checkKeys(facts: JobFacts, { leafHash, keys }: sealgate.v1.IReleaseKeysRequest): Promise<void> {
    const evidence = await evidenceOf(facts.row)
    // Whoever releases has seen it cosigned; the enclave will want to see it too.
    const entry = await this.#witnessed(facts, facts.row.release_index ?? -1)
    if (!equal(await leafHashOf(entry.leaf), bytesOf(leafHash))) {
      throw new AttestError('DOCUMENT_INVALID', 'the keys follow another log entry', { at: 'leaf_hash' })
    }
    const wanted = [...new Set(facts.contract.inputs.map((input) => input.header))].sort()
    const got = (keys ?? []).map((key) => toBase64Url(bytesOf(key.headerDigest))).sort()
    if (JSON.stringify(wanted) !== JSON.stringify(got))
      throw new AttestError('DOCUMENT_INVALID', 'want one key per dataset', { at: 'keys' })
    for (const { suite, enc, ciphertext } of keys ?? []) {
      const fits = suite === evidence?.binding.kem.suite && within(enc, MAX_ENC_SIZE) && within(ciphertext, MAX_SEALED_SIZE)
      if (!fits) throw new AttestError('DOCUMENT_INVALID', 'a key is not sealed to the key of this job', { at: 'keys' })
    }
  }
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
