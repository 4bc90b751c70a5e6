import { constraintChecks } from '../../verify/appraise/index.ts'
import { CONTRACT_TYP, type Contract, parseContract, type RunnerKind } from '../../verify/documents/contract.ts'
import type { IsolationName } from '../../verify/documents/isolation.ts'
import { jobNonce } from '../../verify/documents/job-nonce.ts'
import type { HpkeSuiteName } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'
import { readSigned } from './read-release.ts'

/** A job as the gateway offers it. */
export interface Offer {
  readonly jobId: string
  /** Contract, flattened JWS. */
  readonly contract: Uint8Array
  /** 32 bytes each, in the order of the job's grants. */
  readonly ownerNonces: readonly Uint8Array[]
  /** C2SP signed note: the newest checkpoint when the offer was made. Goes into the nonce, is not verified here. */
  readonly checkpoint: string
  /** For the job's KEM key. The releaser decides by its own policies whether it seals to such a key. */
  readonly kemSuite: HpkeSuiteName
}

/** A job that this host could run. */
export interface CheckedOffer {
  readonly offer: Offer
  readonly contract: Contract
  /** Job digest. */
  readonly job: string
  /** Thumbprint of the contract's signer. */
  readonly submitter: string
  /** 32 bytes, for the evidence. */
  readonly nonce: Uint8Array
}

/** What this machine has. */
export interface Capacity {
  readonly runner: RunnerKind
  readonly isolations: readonly IsolationName[]
  readonly tee: string
  readonly region: string | null
  /** GPUs that give evidence and that a job can be given. Their models are for those who verify the evidence. */
  readonly gpus: number
  readonly memoryBytes: number
}

const MAX_NONCES = 16
const MAX_CHECKPOINT_SIZE = 16 * 1024

/**
 * Reads an offer and says no to what cannot work here, before any key exists.
 * @throws AttestError `NO_HOST`, `LIMIT_EXCEEDED`, `DOCUMENT_INVALID`, `JWS_MALFORMED`, `SIGNATURE_INVALID`.
 */
export async function checkOffer(offer: Offer, capacity: Capacity): Promise<CheckedOffer> {
  const { document: contract, digest: job, signer } = await readSigned(offer.contract, CONTRACT_TYP, 'contract', parseContract)
  if (contract.jobId !== offer.jobId) throw new AttestError('DOCUMENT_INVALID', 'the contract names another job', { at: 'contract.jobId' })
  const nonces = offer.ownerNonces
  if (nonces.length < 1 || nonces.length > MAX_NONCES || nonces.some((n) => n.length !== 32)) {
    throw new AttestError('DOCUMENT_INVALID', `want 1 to ${MAX_NONCES} owner nonces of 32 bytes`, { at: 'offer.nonces' })
  }
  if (offer.checkpoint === '' || offer.checkpoint.length > MAX_CHECKPOINT_SIZE) {
    throw new AttestError('DOCUMENT_INVALID', 'the checkpoint is missing or too long', { at: 'offer.checkpoint' })
  }
  if (contract.image.runner !== capacity.runner) {
    throw new AttestError('NO_HOST', `this host runs ${capacity.runner} images`, { at: 'contract.image' })
  }
  if (!capacity.isolations.includes(contract.isolation)) {
    throw new AttestError('NO_HOST', `this host offers ${capacity.isolations.join(', ')}`, { at: 'contract.isolation' })
  }
  if (contract.isolation === 'sealgate-gvisor-v1' && contract.resources.gpus > 0) {
    throw new AttestError('NO_HOST', 'a gVisor sandbox is given no GPU', { at: 'contract.resources' })
  }
  if (contract.limits.memoryBytes > capacity.memoryBytes) {
    throw new AttestError('LIMIT_EXCEEDED', `this host has ${capacity.memoryBytes} bytes of memory`, { at: 'contract.limits' })
  }
  const unmet = constraintChecks(contract, { ...capacity, gpuModels: null }).find((c) => c.outcome !== 'pass')
  if (unmet !== undefined) throw new AttestError('NO_HOST', `want ${unmet.want}, got ${unmet.got}`, { at: unmet.rule })
  return { offer, contract, job, submitter: signer, nonce: await jobNonce(job, nonces, offer.checkpoint) }
}
