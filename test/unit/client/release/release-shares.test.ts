import { beforeAll, describe, expect, it } from 'vitest'
import { type Client, LogMemory, makeFolder, type Owner, ownerKeys, Slots } from '../../../../src/client/index.ts'
import { random } from '../../../../src/client/owner.ts'
import { checkShares } from '../../../../src/client/release/check-share.ts'
import { beginRelease, type ReleaserMeans, releaseShares } from '../../../../src/client/release/release-shares.ts'
import { type JobTerms, type RemoteTerms, readTerms } from '../../../../src/client/release/terms.ts'
import { createDatasetHeader, issueFlattenedJws, Secret } from '../../../../src/seal/index.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../../../src/verify/documents/contract.ts'
import { brokeredBy, encodeGrant, GRANT_TYP, type Grant } from '../../../../src/verify/documents/grant.ts'
import { digestOf, policyBytes, sampleContract, sampleGrant, submitter, T0 } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { sampleTrust } from '../../../support/receipt-builder.ts'
import { freshOwner, LEGAL, temporaryFolder } from '../support.ts'

const folder = temporaryFolder()
let owner: Owner
let header: Uint8Array
let remote: RemoteTerms
let terms: JobTerms

const withCode = (code: string): object => expect.objectContaining({ code })

async function documents(changes: { grant?: Partial<Grant>; contract?: Partial<Contract>; keep?: boolean } = {}): Promise<RemoteTerms> {
  const contract = await sampleContract(header, policyBytes, changes.contract)
  const grant = encodeGrant(await sampleGrant(header, policyBytes, changes.grant))
  if (changes.keep !== false) await owner.keyring.putGrant(await digestOf(grant), new Secret(random(32)), 3).catch(() => undefined)
  return {
    contract: await issueFlattenedJws(encodeContract(contract), CONTRACT_TYP, submitter.jwk),
    grants: [await issueFlattenedJws(grant, GRANT_TYP, owner.grantKey)],
    policies: [policyBytes],
    headers: [header],
  }
}

const read = (of: RemoteTerms): Promise<JobTerms> => sampleContract(header, policyBytes).then(({ jobId }) => readTerms(jobId, of))

beforeAll(async () => {
  owner = await freshOwner(folder)
  await makeFolder(folder)
  const legal = { ...LEGAL, purposes: ['https://w3id.org/dpv#ScientificResearch'] }
  const made = await createDatasetHeader({ content: 'file', plaintextSize: 10, owner: owner.grantThumbprint, legal, random })
  header = made.bytes
  await owner.keyring.putDataset({ digest: made.digest, name: 'a', header, root: toBase64Url(testBytes('root', 32)) }, made.dek)
  remote = await documents()
  terms = await read(remote)
})

describe('the documents of a job', () => {
  it('are read where they belong together', () => {
    expect(terms.grants).toMatchObject([{ signer: owner.grantThumbprint }])
  })

  it.each<[string, (r: RemoteTerms) => RemoteTerms, string]>([
    ['a grant twice', (r) => ({ ...r, grants: [...r.grants, ...r.grants] }), 'DOCUMENT_INVALID'],
    ['another policy', (r) => ({ ...r, policies: [] }), 'DOCUMENT_INVALID'],
    ['a header too many', (r) => ({ ...r, headers: [...r.headers, ...r.headers] }), 'DOCUMENT_INVALID'],
    ['no header', (r) => ({ ...r, headers: [] }), 'DOCUMENT_INVALID'],
    [
      'more grants than a job has',
      (r) => ({ ...r, grants: Array.from({ length: 17 }, () => r.grants[0] as Uint8Array) }),
      'DOCUMENT_INVALID',
    ],
  ])('are refused with %s', async (_, change, code) => {
    await expect(read(change(remote))).rejects.toEqual(withCode(code))
  })

  it('of another job are refused', async () => {
    await expect(readTerms('A'.repeat(22), remote)).rejects.toEqual(withCode('DOCUMENT_INVALID'))
  })
})

describe('a releaser', () => {
  it('takes the part of the job that its grants are, and no more', async () => {
    const shares = await checkShares(terms, ownerKeys(owner), T0)
    expect(shares).toMatchObject([{ releaser: { mode: 'direct', thumbprint: owner.grantThumbprint }, datasets: [await digestOf(header)] }])
  })

  it.each<[string, { grant?: Partial<Grant>; contract?: Partial<Contract>; keep?: boolean }, string]>([
    ['whose submitter it does not name', { grant: { submitters: [] } }, 'GRANT_DENIED'],
    ['for recipients that it does not name', { grant: { recipients: [] } }, 'GRANT_DENIED'],
    [
      'that a broker releases',
      { grant: { release: brokeredBy('A'.repeat(43)) }, contract: { release: ['brokered', 'direct'] } },
      'GRANT_DENIED',
    ],
    ['in a mode that the submitter does not accept', { contract: { release: ['brokered'] } }, 'GRANT_DENIED'],
    ['that has ended', { grant: { expires: '2026-05-28T20:26:40Z' } }, 'GRANT_EXPIRED'],
    ['whose use key is elsewhere', { grant: { agreement: 'another' }, keep: false }, 'NOT_FOUND'],
  ])('refuses a job under a grant %s', async (_, changes, code) => {
    await expect(checkShares(await read(await documents(changes)), ownerKeys(owner), T0)).rejects.toEqual(withCode(code))
  })

  it('refuses a job of whose data it has no key, and one under a grant that was revoked here', async () => {
    const keys = ownerKeys(owner)
    await expect(checkShares(terms, { ...keys, datasetKey: () => Promise.resolve(null) }, T0)).rejects.toEqual(withCode('NOT_FOUND'))
    await expect(checkShares(terms, { ...keys, isRevoked: () => Promise.resolve(true) }, T0)).rejects.toEqual(withCode('GRANT_DENIED'))
  })

  it('refuses evidence over nonces that it did not make for this job: none, old ones, those of another', async () => {
    const keys = ownerKeys(owner)
    const progress = beginRelease(terms, keys.thumbprint)
    const own = [...progress.nonces.values()]
    expect(own).toHaveLength(1)
    const earlier = [...beginRelease(terms, keys.thumbprint).nonces.values()]
    for (const ownerNonces of [[], earlier, [...own, ...own], [random(32)]]) {
      const client = { jobEvidence: () => Promise.resolve({ ownerNonces, checkpoint: '' }) } as unknown as Client
      const means: ReleaserMeans = {
        client,
        keys,
        slots: new Slots(keys),
        trust: sampleTrust,
        memory: new LogMemory(folder),
        now: () => new Date(T0 * 1000),
      }
      await expect(releaseShares(means, terms, progress)).rejects.toEqual(withCode('EVIDENCE_REJECTED'))
    }
  })
})

describe('slots', () => {
  it('go to one job each, also when two take at once, and come back when surely unused', async () => {
    const keys = ownerKeys(owner)
    const grant = terms.grants[0]?.digest ?? ''
    const slots = new Slots(keys)
    expect((await Promise.all([slots.take(grant, 3), slots.take(grant, 3)])).sort()).toEqual([0, 1])
    slots.giveBack(grant, 1)
    expect(await slots.take(grant, 3)).toBe(1)
    expect(await slots.take(grant, 3)).toBe(2)
    await expect(slots.take(grant, 3)).rejects.toEqual(withCode('GRANT_USED'))
    await expect(slots.take('A'.repeat(43), 3)).rejects.toEqual(withCode('NOT_FOUND'))
  })
})
