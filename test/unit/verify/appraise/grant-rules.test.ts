import { describe, expect, it } from 'vitest'
import { type GrantedJob, jobGrantChecks, type SignedGrant } from '../../../../src/verify/appraise/index.ts'
import type { Contract } from '../../../../src/verify/documents/contract.ts'
import { encodeGrant, type Grant } from '../../../../src/verify/documents/grant.ts'
import { type DatasetHeader, encodeHeader } from '../../../../src/verify/documents/header.ts'
import { accepts } from '../../../../src/verify/verdict.ts'
import {
  digestOf,
  headerBytes,
  kemKey,
  ownerThumbprint,
  policyBytes,
  sampleContract,
  sampleGrant,
  sampleHeader,
  submitterThumbprint,
} from '../../../support/job-documents.ts'

const OTHER = 'A'.repeat(43)

interface Case {
  readonly contract?: Partial<Contract>
  readonly grant?: Partial<Grant>
  readonly job?: Partial<GrantedJob>
  readonly signer?: string
  readonly header?: Partial<DatasetHeader>
}

async function failed({ contract = {}, grant = {}, job = {}, signer = ownerThumbprint, header }: Case): Promise<string[]> {
  const dataset = sampleHeader(header)
  const bytes = encodeHeader(dataset)
  const given: GrantedJob = {
    contract: await sampleContract(bytes, policyBytes, contract),
    submitter: submitterThumbprint,
    headers: new Map([[await digestOf(bytes), dataset]]),
    ...job,
  }
  return failures(given, [await signed(await sampleGrant(bytes, policyBytes, grant), signer)])
}

async function signed(grant: Grant, signer: string): Promise<SignedGrant> {
  return { grant, signer, digest: await digestOf(encodeGrant(grant)) }
}

async function failures(job: GrantedJob, grants: readonly SignedGrant[]): Promise<string[]> {
  const checks = await jobGrantChecks(job, grants)
  return checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
}

describe('a grant', () => {
  it('allows the job that it was made for', async () => {
    expect(await failed({})).toEqual([])
  })

  const array = { items: [['a'], ['b', 'c']], itemLimits: { timeMs: 1000, outputBytes: 1000 }, onItemFailure: 'continue' as const }

  it('allows the items that it lists, in any order and number, or any where it says so', async () => {
    for (const items of [null, array.items, [['x'], ...array.items].reverse()]) {
      expect(await failed({ contract: { array }, grant: { items } })).toEqual([])
    }
    expect(await failed({ grant: { items: null } })).toEqual([])
  })

  const cases: readonly (readonly [string, Case, readonly string[]])[] = [
    ['a dataset that it does not list', { grant: { datasets: [OTHER] } }, ['policy.grant-dataset', 'policy.grant-coverage']],
    ['a signer who does not own the data', { signer: OTHER }, ['policy.grant-owner', 'policy.grant-coverage']],
    ['data of another owner', { header: { owner: OTHER } }, ['policy.grant-owner', 'policy.grant-coverage']],
    ['an array job, where it says nothing of items', { contract: { array } }, ['policy.grant-items']],
    ['an array job, though it pins no argument', { contract: { array }, grant: { argv: null } }, ['policy.grant-items']],
    ['an item that it does not list', { contract: { array }, grant: { items: [['a'], ['b']] } }, ['policy.grant-items']],
    [
      'arguments of an item run together',
      { contract: { array: { ...array, items: [['a', 'b']] } }, grant: { items: [['a b'], ['a'], ['b']] } },
      ['policy.grant-items'],
    ],
    ['another image', { contract: { image: { runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` } } }, ['policy.grant-image']],
    [
      'the image under another runner',
      { contract: { image: { runner: 'docker', digest: `sha256:${'5e'.repeat(32)}` } } },
      ['policy.grant-image'],
    ],
    ['other arguments than the pinned ones', { contract: { argv: ['classify', '--threshold', '0.6'] } }, ['policy.grant-argv']],
    ['one argument more', { contract: { argv: ['classify', '--threshold', '0.5', '--leak'] } }, ['policy.grant-argv']],
    ['the pinned arguments joined into one', { contract: { argv: ['classify --threshold 0.5'] } }, ['policy.grant-argv']],
    ['no arguments where some are pinned', { contract: { argv: [] } }, ['policy.grant-argv']],
    ['arguments where none are pinned', { grant: { argv: [] } }, ['policy.grant-argv']],
    ['another environment than the pinned one', { grant: { env: { LANG: 'de_DE' } } }, ['policy.grant-env']],
    ['a variable more than the pinned ones', { grant: { env: {} } }, ['policy.grant-env']],
    ['a stranger as submitter', { job: { submitter: OTHER } }, ['policy.grant-submitter']],
    ['a recipient more than allowed', { contract: { recipients: [kemKey('recipient'), kemKey('thief')] } }, ['policy.grant-recipients']],
    ['another recipient', { contract: { recipients: [kemKey('thief')] } }, ['policy.grant-recipients']],
    ['another purpose', { contract: { purpose: 'https://w3id.org/dpv#Marketing' } }, ['policy.grant-purpose', 'policy.data-purpose']],
    [
      'a purpose that the data was not collected for',
      { header: { legal: { ...sampleHeader().legal, purposes: [] } } },
      ['policy.data-purpose'],
    ],
    ['another policy', { grant: { policy: OTHER } }, ['policy.grant-policy', 'policy.contract-policies']],
    [
      'a policy that no grant names',
      { contract: { policies: [`${'9'.repeat(42)}A`, OTHER] } },
      ['policy.grant-policy', 'policy.contract-policies'],
    ],
    ['no use left by its own word', { grant: { uses: 0 } }, ['policy.grant-uses']],
    ['a place that the contract does not bind itself to', { grant: { jurisdictions: ['EU'] } }, ['policy.grant-jurisdiction']],
    [
      'another place',
      {
        grant: { jurisdictions: ['EU'] },
        contract: { constraints: { tees: [], gpuModel: null, region: 'US', maxLatencyMs: null, maxPricePerHour: null } },
      },
      ['policy.grant-jurisdiction'],
    ],
    ['headers that nobody showed', { job: { headers: new Map() } }, ['policy.grant-owner', 'policy.grant-coverage', 'policy.data-purpose']],
    ['an empty list of submitters', { grant: { submitters: [] } }, ['policy.grant-submitter']],
    ['an empty list of recipients', { grant: { recipients: [] } }, ['policy.grant-recipients']],
    ['an empty list of purposes', { grant: { purposes: [] } }, ['policy.grant-purpose']],
  ]

  it.each(cases)('refuses %s', async (_, given, want) => {
    expect(await failed(given)).toEqual(want)
  })

  it('allows a place that the contract binds itself to, any arguments where none are pinned, and the pinned environment', async () => {
    const constraints = { tees: [], gpuModel: null, region: 'EU', maxLatencyMs: null, maxPricePerHour: null }
    expect(
      await failed({ grant: { jurisdictions: ['EU'], argv: null, env: { LANG: 'C' } }, contract: { constraints, argv: ['other'] } }),
    ).toEqual([])
  })
})

describe('several grants', () => {
  const second = { ...sampleHeader(), datasetId: `${'B'.repeat(21)}A` }
  const secondBytes = encodeHeader(second)

  async function twoInputs(changes: Partial<Contract> = {}): Promise<GrantedJob> {
    const [a, b] = [await digestOf(headerBytes), await digestOf(secondBytes)]
    const inputs = [
      { name: 'a.csv', header: a, root: OTHER },
      { name: 'b.csv', header: b, root: OTHER },
    ]
    const contract = await sampleContract(headerBytes, policyBytes, { inputs, ...changes })
    return {
      contract,
      submitter: submitterThumbprint,
      headers: new Map([
        [a, sampleHeader()],
        [b, second],
      ]),
    }
  }

  const grantFor = async (bytes: Uint8Array, changes: Partial<Grant> = {}, signer = ownerThumbprint): Promise<SignedGrant> =>
    signed(await sampleGrant(bytes, policyBytes, changes), signer)

  it('together cover all inputs', async () => {
    expect(await failures(await twoInputs(), [await grantFor(headerBytes), await grantFor(secondBytes)])).toEqual([])
  })

  it('refuse a job with an input that none covers', async () => {
    expect(await failures(await twoInputs(), [await grantFor(headerBytes)])).toEqual(['policy.grant-coverage'])
  })

  it("refuse an input that only another owner's grant lists", async () => {
    const foreign = await grantFor(secondBytes, {}, OTHER)
    expect(await failures(await twoInputs(), [await grantFor(headerBytes), foreign])).toEqual([
      'policy.grant-owner',
      'policy.grant-coverage',
    ])
  })

  it('refuse a recipient that only one of them allows', async () => {
    const strict = await grantFor(secondBytes, { recipients: [] })
    expect(await failures(await twoInputs(), [await grantFor(headerBytes), strict])).toEqual(['policy.grant-recipients'])
  })

  it('refuse one grant counted twice', async () => {
    const grant = await grantFor(headerBytes)
    const job = { ...(await twoInputs()), contract: await sampleContract(headerBytes, policyBytes) }
    expect(await failures(job, [grant, grant])).toEqual(['policy.grant-distinct'])
  })

  it('refuse a job without any grant', async () => {
    const checks = await jobGrantChecks(await twoInputs(), [])
    expect(accepts(checks)).toBe(false)
  })
})
