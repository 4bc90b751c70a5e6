import type { SignedGrant } from '../../verify/appraise/index.ts'
import { CONTRACT_TYP, type Contract, parseContract } from '../../verify/documents/contract.ts'
import { GRANT_TYP, parseGrant } from '../../verify/documents/grant.ts'
import { type DatasetHeader, parseHeader } from '../../verify/documents/header.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { digestOf } from '../grants.ts'

/** The documents of a job as they come from a gateway. Nothing in them is verified. */
export interface RemoteTerms {
  readonly contract: Uint8Array
  /** In the order of their digests. */
  readonly grants: readonly Uint8Array[]
  /** In the order of the contract's policies. */
  readonly policies: readonly Uint8Array[]
  /** In the order of the contract's inputs. */
  readonly headers: readonly Uint8Array[]
}

/** A job as its releasers decide about it: every signature verified, every text the one that another document names. */
export interface JobTerms {
  readonly contract: Contract
  readonly jobDigest: string
  /** Thumbprint of the contract's signer. */
  readonly submitter: string
  /** Of all owners, sorted by digest. */
  readonly grants: readonly SignedGrant[]
  readonly policies: readonly { readonly digest: string; readonly document: Policy }[]
  readonly headers: ReadonlyMap<string, DatasetHeader>
}

/** More than any job has: the limits of contract and job. */
const MAX_GRANTS = 16
const MAX_INPUTS = 64

/**
 * Reads the documents of a job.
 * @throws AttestError `DOCUMENT_INVALID` for a job, policy or header other than it should be, `SIGNATURE_INVALID`, `JWS_MALFORMED`.
 */
export async function readTerms(jobId: string, remote: RemoteTerms): Promise<JobTerms> {
  const { payload, digest, signers } = await verifyFlattenedJws(remote.contract, CONTRACT_TYP, 'contract')
  const contract = parseContract(payload)
  if (contract.jobId !== jobId) throw other('the contract of another job', 'contract.jobId')
  if (remote.grants.length > MAX_GRANTS || remote.headers.length > MAX_INPUTS || remote.policies.length > MAX_GRANTS) {
    throw other('more documents than a job has', 'terms')
  }
  const grants = await Promise.all(remote.grants.map(readGrant))
  const isSorted = grants.every((g, i) => i === 0 || (grants[i - 1]?.digest ?? '') < g.digest)
  if (!isSorted) throw other('grants out of order', 'grants')
  const policies = await Promise.all(remote.policies.map(async (text) => ({ digest: await digestOf(text), document: parsePolicy(text) })))
  if (
    !sameList(
      policies.map((p) => p.digest),
      contract.policies,
    )
  )
    throw other('policies that the contract does not name', 'policies')
  const headers = await Promise.all(remote.headers.map(async (bytes) => [await digestOf(bytes), parseDatasetHeader(bytes)] as const))
  const inputs = contract.inputs.map((input) => input.header)
  if (
    !sameList(
      headers.map(([header]) => header),
      inputs,
    )
  )
    throw other('headers that the contract does not name', 'headers')
  return { contract, jobDigest: digest, submitter: signers[0]?.thumbprint ?? '', grants, policies, headers: new Map(headers) }
}

async function readGrant(jws: Uint8Array): Promise<SignedGrant> {
  const { payload, digest, signers } = await verifyFlattenedJws(jws, GRANT_TYP, 'grant')
  return { grant: parseGrant(payload), digest, signer: signers[0]?.thumbprint ?? '' }
}

export function parseDatasetHeader(bytes: Uint8Array): DatasetHeader {
  const header = parseHeader(bytes)
  if (header.kind !== 'dataset') throw new AttestError('HEADER_INVALID', 'results are no input', { at: 'header.kind' })
  return header
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}

function other(what: string, at: string): AttestError {
  return new AttestError('DOCUMENT_INVALID', `the gateway answered with ${what}`, { at })
}
