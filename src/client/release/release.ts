import { issueFlattenedJws, type Secret, wrapRelease } from '../../seal/index.ts'
import { checkpointAgeChecks, instantOf, nonceCheckpointChecks, releaseLeafChecks, type Share } from '../../verify/appraise/index.ts'
import type { Contract } from '../../verify/documents/contract.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent, type UseSlot } from '../../verify/documents/intent.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import { useSlotTag } from '../../verify/documents/use-slot.ts'
import { AttestError } from '../../verify/errors.ts'
import { type VerifiedEntry, verifyCheckpoint, verifyEntry } from '../../verify/tlog/index.ts'
import { accepts } from '../../verify/verdict.ts'
import type { Client, SealedKeyMessage } from '../client.ts'
import { refuseErased } from '../dataset/erase-dataset.ts'
import { refuseRevoked } from '../grants.ts'
import type { LogMemory } from '../log-memory.ts'
import { random } from '../owner.ts'
import { untilWitnessed } from '../patience.ts'
import type { ReleaserKeys } from '../releaser-keys.ts'
import { describeFailures, type TrustedEnclave } from './check-evidence.ts'
import type { Slots } from './slots.ts'

export interface ReleasePlan {
  readonly client: Pick<Client, 'logIntent' | 'releaseKeys' | 'consistencyProof'>
  readonly keys: ReleaserKeys
  readonly slots: Slots
  readonly memory: LogMemory
  readonly contract: Contract
  readonly jobDigest: string
  /** What this releaser answers for. */
  readonly share: Share
  /** Of all grants of the job. */
  readonly policies: readonly Policy[]
  readonly enclave: Pick<TrustedEnclave, 'kem' | 'kemDigest' | 'bindingDigest' | 'evidenceDigest'>
  /** The checkpoint that went into the evidence's nonce. */
  readonly nonceCheckpoint: string
  readonly signal?: AbortSignal
  /** Seconds since the epoch. */
  readonly now: () => number
}

export interface LoggedIntent {
  readonly intent: ReleaseIntent
  readonly intentJws: Uint8Array
  readonly entry: VerifiedEntry
}

/** Slots that are tried for one job: a gateway that refuses all of them must not have every one of them signed. */
const MAX_TRIES = 32

/** An ending must be in the log by then: the job's own time, and this long for uploads and restarts. */
const ENDING_MARGIN_SECONDS = 15 * 60

/**
 * Signs the release intent and has it logged, then verifies the entry: leaf, inclusion and checkpoint under the log that
 * each policy names, and that this log shows the history seen before. No data key has been touched when this fails.
 * @throws AttestError `GRANT_DENIED` for a grant that was revoked here; `DATASET_ERASED`; `GRANT_USED` when every slot of a grant is spent; `LOG_*` for an entry that is not there.
 */
export async function logIntent(plan: ReleasePlan): Promise<LoggedIntent> {
  for (let tries = 1; ; tries++) {
    const salt = random(32)
    await refuseRevoked(plan.keys, grantIdsOf(plan))
    await refuseErased(plan.keys, plan.share.datasets)
    const intent = await makeIntent(plan)
    try {
      return await logOne(plan, intent, salt)
    } catch (error) {
      // Another client of this releaser may have used the slot: take the next one, as long as there is one.
      if (error instanceof AttestError && error.code === 'GRANT_USED' && tries < MAX_TRIES) continue
      for (const { grant, k } of intent.slots) plan.slots.giveBack(grant, k)
      throw error
    }
  }
}

async function logOne(plan: ReleasePlan, intent: ReleaseIntent, salt: Uint8Array): Promise<LoggedIntent> {
  const { client, contract, jobDigest, keys, signal } = plan
  const intentJws = await issueFlattenedJws(encodeIntent(intent), INTENT_TYP, keys.intentKey)
  const slots = intent.slots.map(({ grant, k }) => ({ grant, k }))
  await keys.recordRelease({ commitment: await commitmentOf(salt, intentJws), job: jobDigest, slots })
  const log = (): ReturnType<Client['logIntent']> => client.logIntent(contract.jobId, intentJws, salt, optionsOf(plan))
  const entry = await untilWitnessed(log, signal)
  const verified = await checkEntry(plan, intent, { ...entry, salt, opening: intentJws })
  for (const { grant, k } of slots) await keys.spendSlots(grant, k + 1)
  return { intent, intentJws, entry: verified }
}

async function makeIntent(plan: ReleasePlan): Promise<ReleaseIntent> {
  const { share } = plan
  const slots: UseSlot[] = []
  for (const { digest, grant } of share.grants) {
    const k = await plan.slots.take(digest, grant.uses)
    const { useKey } = await useKeyOf(plan.keys, digest)
    slots.push({ grant: digest, k, tag: await useSlotTag(useKey.expose(), k) })
    useKey.wipe()
  }
  return {
    v: 1,
    job: plan.jobDigest,
    binding: plan.enclave.bindingDigest,
    evidence: plan.enclave.evidenceDigest,
    datasets: share.datasets,
    grants: share.grants.map((g) => g.digest),
    policies: plan.contract.policies,
    slots,
    kem: plan.enclave.kemDigest,
    mode: share.releaser.mode,
    deadline: instantOf(plan.now() + Math.ceil(plan.contract.limits.timeMs / 1000) + ENDING_MARGIN_SECONDS),
  }
}

type Entry = Parameters<typeof verifyEntry>[0]

async function checkEntry(plan: ReleasePlan, intent: ReleaseIntent, entry: Entry): Promise<VerifiedEntry> {
  let verified: VerifiedEntry | null = null
  for (const policy of plan.policies) {
    verified = await verifyEntry(entry, policy)
    const { index, checkpoint } = verified
    const nonce = await verifyCheckpoint(plan.nonceCheckpoint, { ...policy.log, witnessing: policy.witnessing })
    const age = [
      ...checkpointAgeChecks(policy, checkpoint.time, plan.now()),
      // Evidence as old as this would make a receipt that does not verify: better no release.
      ...nonceCheckpointChecks(policy, nonce, { index, time: checkpoint.time }),
    ]
    if (!accepts(age)) throw new AttestError('LOG_STALE', describeFailures(age), { at: 'log.checkpoint' })
    await plan.memory.accept(policy.log, entry.checkpoint, 'any', (from, to) => plan.client.consistencyProof(from, to, optionsOf(plan)))
  }
  if (verified === null) throw new AttestError('POLICY_DENIED', 'no policy names a log')
  const leaf = releaseLeafChecks(verified.leaf, intent)
  if (!accepts(leaf)) throw new AttestError('LOG_PROOF_INVALID', describeFailures(leaf), { at: 'log.leaf' })
  return verified
}

/**
 * Seals the key of each dataset of this releaser to the enclave and hands the sealed keys over. Only to be called with an
 * entry that {@link logIntent} verified.
 * @throws AttestError `GRANT_DENIED` for a grant that was revoked here meanwhile, `DATASET_ERASED`.
 */
export async function releaseKeys(plan: ReleasePlan, logged: LoggedIntent): Promise<void> {
  const sealed: SealedKeyMessage[] = []
  const useKeys = new Map<string, Secret>()
  try {
    await refuseRevoked(plan.keys, grantIdsOf(plan))
    for (const grantId of grantIdsOf(plan)) useKeys.set(grantId, (await useKeyOf(plan.keys, grantId)).useKey)
    for (const dataset of new Set(logged.intent.datasets)) {
      const dek = await plan.keys.datasetKey(dataset)
      if (dek === null) throw new AttestError('NOT_FOUND', `the key of dataset ${dataset} is not here`, { at: 'contract.inputs' })
      try {
        const context = { intent: logged.intent, leafHash: logged.entry.leafHash, dataset }
        sealed.push({ header: dataset, ...(await wrapRelease(plan.enclave.kem, context, { dek, useKeys })) })
      } finally {
        dek.wipe()
      }
    }
  } finally {
    for (const key of useKeys.values()) key.wipe()
  }
  // Again: another process of this releaser may have revoked or erased while keys were sealed.
  await refuseRevoked(plan.keys, grantIdsOf(plan))
  await refuseErased(plan.keys, plan.share.datasets)
  await plan.client.releaseKeys(plan.contract.jobId, logged.entry.leafHash, sealed, optionsOf(plan))
}

async function useKeyOf(keys: ReleaserKeys, grantId: string): Promise<{ readonly useKey: Secret }> {
  const held = await keys.useKey(grantId)
  if (held === null) throw new AttestError('NOT_FOUND', `the use key of grant ${grantId} is not here`, { at: 'grants' })
  return held
}

function grantIdsOf({ share }: ReleasePlan): readonly string[] {
  return share.grants.map((g) => g.digest)
}

function optionsOf({ signal }: ReleasePlan): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
