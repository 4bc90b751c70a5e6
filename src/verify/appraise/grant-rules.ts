import type { Contract, ImageRef } from '../documents/contract.ts'
import type { Grant } from '../documents/grant.ts'
import type { DatasetHeader } from '../documents/header.ts'
import { hpkeKeyDigest } from '../documents/keys.ts'
import { check, oneOf } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import { allowsItems } from './array-rules.ts'
import { listed, sameJson } from './check.ts'
import { inputReleaserChecks, releaserOf } from './releasers.ts'

/** A grant whose signature was verified: what it says, its digest, and the thumbprint of its signer. */
export interface SignedGrant {
  readonly grant: Grant
  readonly digest: string
  readonly signer: string
}

/** A job as far as grants decide about it. */
export interface GrantedJob {
  readonly contract: Contract
  /** Thumbprint of the key that signed the contract. */
  readonly submitter: string
  /** Headers of the contract's inputs, by digest. Whoever calls has checked the digests. */
  readonly headers: ReadonlyMap<string, DatasetHeader>
}

/**
 * Everything but time that the owners' grants decide about a job: each grant allows it ({@link grantChecks}), together
 * they cover every input under its own owner's key, each by one releaser, and the contract follows no policy that no grant names.
 */
export async function jobGrantChecks(job: GrantedJob, grants: readonly SignedGrant[]): Promise<readonly Check[]> {
  const each = await Promise.all(grants.map((g) => grantChecks(job, g)))
  return [...each.flat(), ...coverageChecks(job, grants), ...inputReleaserChecks(job.contract, grants)]
}

/**
 * Whether one grant allows a job. An empty list in a grant allows nobody; only `argv`, `env` (null) and `jurisdictions`
 * (empty) may leave a question open. Time is apart: {@link grantTimeChecks}.
 */
export async function grantChecks(job: GrantedJob, { grant, digest, signer }: SignedGrant): Promise<readonly Check[]> {
  const { contract } = job
  const recipients = await Promise.all(contract.recipients.map(hpkeKeyDigest))
  const covered = contract.inputs.map((i) => i.header).filter((h) => grant.datasets.includes(h))
  const owners = covered.map((h) => job.headers.get(h)?.owner ?? 'unknown')
  const by = `(grant ${digest})`
  return [
    check(
      'policy.grant-dataset',
      covered.length > 0,
      `an input of ${oneOf(grant.datasets)} ${by}`,
      listed(contract.inputs.map((i) => i.header)),
    ),
    check(
      'policy.grant-owner',
      owners.every((o) => o === signer),
      `datasets of ${signer} ${by}`,
      listed(owners),
    ),
    check(
      'policy.grant-image',
      grant.images.some((i) => sameJson({ ...i }, { ...contract.image })),
      `${oneOf(grant.images.map(imageText))} ${by}`,
      imageText(contract.image),
    ),
    ...pinned('policy.grant-argv', grant.argv, contract.argv, by),
    ...pinned('policy.grant-env', grant.env, contract.env, by),
    ...items(grant, contract, by),
    check('policy.grant-submitter', grant.submitters.includes(job.submitter), `${oneOf(grant.submitters)} ${by}`, job.submitter),
    check(
      'policy.grant-recipients',
      recipients.every((r) => grant.recipients.includes(r)),
      `${oneOf(grant.recipients)} ${by}`,
      listed(recipients),
    ),
    ...clients(grant, contract, by),
    check('policy.grant-purpose', grant.purposes.includes(contract.purpose), `${oneOf(grant.purposes)} ${by}`, contract.purpose),
    check('policy.grant-policy', contract.policies.includes(grant.policy), `${grant.policy} ${by}`, listed(contract.policies)),
    check(
      'policy.grant-release',
      contract.release.includes(releaserOf({ grant, signer }).mode),
      `${grant.release} ${by}`,
      listed(contract.release),
    ),
    check('policy.grant-uses', grant.uses >= 1, `at least one use ${by}`, `${grant.uses} uses`),
    ...jurisdictions(grant, contract, by),
  ]
}

function coverageChecks({ contract, headers }: GrantedJob, grants: readonly SignedGrant[]): readonly Check[] {
  const isCovered = (header: string): boolean =>
    grants.some((g) => g.grant.datasets.includes(header) && g.signer === headers.get(header)?.owner)
  const bare = contract.inputs.map((i) => i.header).filter((h) => !isCovered(h))
  const unnamed = contract.policies.filter((p) => !grants.some((g) => g.grant.policy === p))
  const foreign = contract.inputs.map((i) => i.header).filter((h) => !(headers.get(h)?.legal.purposes.includes(contract.purpose) ?? false))
  const digests = new Set(grants.map((g) => g.digest))
  return [
    check(
      'policy.grant-coverage',
      bare.length === 0,
      'a grant of its owner for every input',
      bare.length === 0 ? 'all covered' : `none for ${listed(bare)}`,
    ),
    check(
      'policy.grant-distinct',
      grants.length > 0 && digests.size === grants.length,
      'one or more different grants',
      listed([...digests]),
    ),
    check(
      'policy.contract-policies',
      unnamed.length === 0,
      'policies that a grant names',
      unnamed.length === 0 ? 'all named' : listed(unnamed),
    ),
    check(
      'policy.data-purpose',
      foreign.length === 0,
      `data collected for ${contract.purpose}`,
      foreign.length === 0 ? 'all inputs' : `not so ${listed(foreign)}`,
    ),
  ]
}

function pinned(
  rule: Check['rule'],
  want: Grant['argv'] | Grant['env'],
  got: Contract['argv'] | Contract['env'],
  by: string,
): readonly Check[] {
  return want === null ? [] : [check(rule, sameJson(want, got), `${JSON.stringify(want)} ${by}`, JSON.stringify(got))]
}

function items(grant: Grant, { array }: Contract, by: string): readonly Check[] {
  if (array === undefined) return []
  const want = grant.items === undefined ? 'no array job' : grant.items === null ? 'any items' : `some of ${grant.items.length} items`
  return [check('policy.grant-items', allowsItems(grant, array.items), `${want} ${by}`, `an array of ${array.items.length} items`)]
}

/** Whoever speaks with a service learns what it answers, so a client is as much as a recipient. */
function clients(grant: Grant, { service }: Contract, by: string): readonly Check[] {
  if (service === null) return []
  const passes = service.clients.every((c) => grant.clients.includes(c))
  return [check('policy.grant-clients', passes, `${oneOf(grant.clients)} ${by}`, listed(service.clients))]
}

/** Nobody can prove where a machine stands, so an owner who names places needs a contract that binds itself to one. */
function jurisdictions(grant: Grant, contract: Contract, by: string): readonly Check[] {
  if (grant.jurisdictions.length === 0) return []
  const { region } = contract.constraints
  const passes = region !== null && grant.jurisdictions.includes(region)
  return [check('policy.grant-jurisdiction', passes, `${oneOf(grant.jurisdictions)} ${by}`, region ?? 'no region named')]
}

function imageText(image: ImageRef): string {
  return `${image.runner} ${image.digest}`
}
