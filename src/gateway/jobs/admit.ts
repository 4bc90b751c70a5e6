import { contractTimeChecks, grantTimeChecks, jobGrantChecks, policiesAllow } from '../../verify/appraise/index.ts'
import { CONTRACT_TYP, parseContract } from '../../verify/documents/contract.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { refuseErased } from '../erasure/erased.ts'
import type { Grants, StoredGrant } from '../grants/grants.ts'
import { refuseUnless } from '../refuse.ts'
import type { Database } from '../store/open-store.ts'
import { loadHeaders, policiesOf } from './records.ts'

export interface NewJob {
  readonly contractJws: Uint8Array
  readonly grantIds: readonly string[]
  /** One per grant, in their order: 32 bytes, or empty where the grant's releaser has yet to join. */
  readonly nonces: readonly Uint8Array[]
}

/** A job that its owners' grants allow, as far as the gateway can tell before there is evidence. */
export interface AdmittedJob {
  readonly jobId: string
  readonly digest: string
  /** Sorted by digest, each with its nonce, or null where its releaser has yet to join. */
  readonly grants: readonly { readonly digest: string; readonly nonce: Uint8Array | null }[]
  /** Each once. */
  readonly datasets: readonly string[]
}

export interface AdmissionDesk {
  readonly db: Database
  readonly grants: Grants
  /** The log, and the verifier keys of the witnesses that cosign it. */
  readonly log: { readonly origin: string; readonly key: string; readonly witnesses: readonly string[] }
  /** Seconds since the epoch. */
  readonly now: number
}

const MAX_GRANTS = 16

/**
 * Decides whether a job may be tried at all: contract, grants, datasets, policies and time. The agent checks all of it again.
 * @throws AttestError with the code of what does not hold.
 */
export async function admitJob({ db, grants, log, now }: AdmissionDesk, request: NewJob): Promise<AdmittedJob> {
  const { payload, digest, signers } = await verifyFlattenedJws(request.contractJws, CONTRACT_TYP, 'contract')
  const contract = parseContract(payload)
  checkLists(request)
  const datasets = [...new Set(contract.inputs.map((input) => input.header))]
  // Before its grants are looked for, which go with it.
  await refuseErased(db, datasets)
  const held = await Promise.all(request.grantIds.map((id) => grants.load(id)))
  await grants.refuseWithdrawn(held)
  const headers = await loadHeaders(db, contract)
  const job = { contract, submitter: signers[0]?.thumbprint ?? '', headers: new Map(headers.map((h) => [h.digest, h.document])) }
  refuseUnless(await jobGrantChecks(job, held), 'GRANT_DENIED', 'grants')
  refuseUnless(
    held.flatMap((g) => grantTimeChecks(g.grant, now, now)),
    'GRANT_EXPIRED',
    'grants',
  )
  refuseUnless(contractTimeChecks(contract, now), 'DEADLINE', 'contract.notAfter')
  const policies = policiesOf(contract, held).map((p) => p.document)
  refuseUnless(policiesAllow({ contract, policies, kem: null, log }), 'POLICY_DENIED', 'policies')
  for (const grant of held) await checkUses(db, grant)
  const pairs = request.grantIds.map((id, i) => ({ digest: id, nonce: givenNonce(request.nonces[i]) }))
  return { jobId: contract.jobId, digest, grants: pairs.sort((a, b) => (a.digest < b.digest ? -1 : 1)), datasets }
}

function checkLists({ grantIds, nonces }: NewJob): void {
  const fits = grantIds.length >= 1 && grantIds.length <= MAX_GRANTS && new Set(grantIds).size === grantIds.length
  if (!fits) throw new AttestError('DOCUMENT_INVALID', `want 1 to ${MAX_GRANTS} different grants`, { at: 'grant_ids' })
  if (nonces.length !== grantIds.length || nonces.some((n) => n.length !== 0 && n.length !== 32)) {
    throw new AttestError('DOCUMENT_INVALID', 'want one nonce of 32 bytes per grant, empty where its releaser brings it', {
      at: 'owner_nonces',
    })
  }
}

/** Null where the grant's releaser brings its own. */
export function givenNonce(nonce: Uint8Array | undefined): Uint8Array | null {
  return nonce === undefined || nonce.length === 0 ? null : nonce
}

/** Early word that no slot is left. What counts is the tag in the log. */
async function checkUses(db: Database, { digest, grant }: StoredGrant): Promise<void> {
  const { used } = await db
    .selectFrom('use_slots')
    .select((eb) => eb.fn.countAll<number>().as('used'))
    .where('grant_digest', '=', digest)
    .executeTakeFirstOrThrow()
  if (used >= grant.uses) throw new AttestError('GRANT_USED', `all ${grant.uses} uses of grant ${digest} are spent`, { at: 'grant.uses' })
}
