import { issueFlattenedJws, type Secret, wrapRelease } from '../../seal/index.ts'
import { checkpointAgeChecks, instantOf, nonceCheckpointChecks, releaseLeafChecks } from '../../verify/appraise/index.ts'
import type { Contract } from '../../verify/documents/contract.ts'
import { encodeIntent, INTENT_TYP, type ReleaseIntent } from '../../verify/documents/intent.ts'
import { commitmentOf } from '../../verify/documents/leaf.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import { useSlotTag } from '../../verify/documents/use-slot.ts'
import { AttestError } from '../../verify/errors.ts'
import { type VerifiedEntry, verifyCheckpoint, verifyEntry } from '../../verify/tlog/index.ts'
import { accepts } from '../../verify/verdict.ts'
import type { Client, SealedKeyMessage } from '../client.ts'
import { type OwnGrant, refuseRevoked } from '../grants.ts'
import type { LogMemory } from '../log-memory.ts'
import { type Owner, random } from '../owner.ts'
import { untilWitnessed } from '../patience.ts'
import { describeFailures, type TrustedEnclave } from './check-evidence.ts'

export interface ReleasePlan {
  readonly client: Client
  readonly owner: Owner
  readonly memory: LogMemory
  readonly contract: Contract
  readonly jobDigest: string
  /** Sorted by digest, with the policies that they name. */
  readonly grants: readonly OwnGrant[]
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

/** An ending must be in the log by then: the job's own time, and this long for uploads and restarts. */
const ENDING_MARGIN_SECONDS = 15 * 60

/**
 * Signs the release intent and has it logged, then verifies the entry: leaf, inclusion and checkpoint under the log that
 * each policy names, and that this log shows the history seen before. No key has been touched when this fails.
 * @throws AttestError `GRANT_DENIED` for a grant that was revoked here; `GRANT_USED` when every slot of a grant is spent; `LOG_*` for an entry that is not there.
 */
export async function logIntent(plan: ReleasePlan): Promise<LoggedIntent> {
  for (let attempt = 0; ; attempt++) {
    const salt = random(32)
    await refuseRevoked(plan.owner, grantIdsOf(plan))
    const intent = await makeIntent(plan, attempt)
    const intentJws = await issueFlattenedJws(encodeIntent(intent), INTENT_TYP, plan.owner.grantKey)
    const slots = intent.slots.map(({ grant, k }) => ({ grant, k }))
    await plan.owner.releases.put({ commitment: await commitmentOf(salt, intentJws), job: plan.jobDigest, slots })
    try {
      const log = (): ReturnType<Client['logIntent']> => plan.client.logIntent(plan.contract.jobId, intentJws, salt, optionsOf(plan))
      const entry = await untilWitnessed(log, plan.signal)
      const verified = await checkEntry(plan, intent, { ...entry, salt, opening: intentJws })
      for (const { grant, k } of intent.slots) await plan.owner.keyring.spendSlots(grant, k + 1)
      return { intent, intentJws, entry: verified }
    } catch (error) {
      // Another client of this owner may have used the slot: take the next one, as long as there is one.
      if (!(error instanceof AttestError) || error.code !== 'GRANT_USED' || plan.grants.length > 1) throw error
    }
  }
}

async function makeIntent(plan: ReleasePlan, attempt: number): Promise<ReleaseIntent> {
  const slots = []
  for (const { grantId, grant } of plan.grants) {
    const { useKey, nextSlot } = await plan.owner.keyring.grant(grantId)
    const k = nextSlot + attempt
    if (k >= grant.uses) throw new AttestError('GRANT_USED', `all ${grant.uses} uses of grant ${grantId} are spent`, { at: 'grant.uses' })
    slots.push({ grant: grantId, k, tag: await useSlotTag(useKey.expose(), k) })
    useKey.wipe()
  }
  return {
    v: 1,
    job: plan.jobDigest,
    binding: plan.enclave.bindingDigest,
    evidence: plan.enclave.evidenceDigest,
    datasets: plan.contract.inputs.map((i) => i.header),
    grants: plan.grants.map((g) => g.grantId),
    policies: plan.contract.policies,
    slots,
    kem: plan.enclave.kemDigest,
    mode: 'direct',
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
 * Seals each dataset's key to the enclave and hands the sealed keys over. Only to be called with an entry that
 * {@link logIntent} verified.
 * @throws AttestError `GRANT_DENIED` for a grant that was revoked here meanwhile.
 */
export async function releaseKeys(plan: ReleasePlan, logged: LoggedIntent): Promise<void> {
  const keys: SealedKeyMessage[] = []
  const useKeys = new Map<string, Secret>()
  try {
    await refuseRevoked(plan.owner, grantIdsOf(plan))
    for (const { grantId } of plan.grants) useKeys.set(grantId, (await plan.owner.keyring.grant(grantId)).useKey)
    for (const dataset of new Set(logged.intent.datasets)) {
      const dek = await plan.owner.keyring.datasetKey(dataset)
      const context = { intent: logged.intent, leafHash: logged.entry.leafHash, dataset }
      keys.push({ header: dataset, ...(await wrapRelease(plan.enclave.kem, context, { dek, useKeys })) })
      dek.wipe()
    }
  } finally {
    for (const key of useKeys.values()) key.wipe()
  }
  // Again: another process of this owner may have revoked while keys were sealed.
  await refuseRevoked(plan.owner, grantIdsOf(plan))
  await plan.client.releaseKeys(plan.contract.jobId, logged.entry.leafHash, keys, optionsOf(plan))
}

function grantIdsOf({ grants }: ReleasePlan): readonly string[] {
  return grants.map((g) => g.grantId)
}

function optionsOf({ signal }: ReleasePlan): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
