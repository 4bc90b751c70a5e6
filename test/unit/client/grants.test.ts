import { beforeEach, describe, expect, it } from 'vitest'
import type { Client } from '../../../src/client/client.ts'
import { checkOwnGrant, type Owner, type RemoteGrant, revokeGrant } from '../../../src/client/index.ts'
import { findGrants, type GrantNeed, namedGrants } from '../../../src/client/job/choose-grants.ts'
import { random } from '../../../src/client/owner.ts'
import { issueFlattenedJws, Secret } from '../../../src/seal/index.ts'
import { encodeGrant, GRANT_TYP, type Grant, parseRevocation, REVOCATION_TYP } from '../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../src/verify/documents/header.ts'
import { verifyFlattenedJws } from '../../../src/verify/formats/jws.ts'
import { digestOf, policyBytes, sampleGrant, sampleHeader, T0 } from '../../support/job-documents.ts'
import { freshOwner, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const denied: object = expect.objectContaining({ code: 'GRANT_DENIED' })
const header = encodeHeader(sampleHeader())
let owner: Owner
let grant: Grant
let remote: RemoteGrant

/** A gateway that says what it wants about revocations. */
function gatewayThatSays(revoked: boolean): Client {
  const told = { ...remote, revoked }
  return { getGrant: () => Promise.resolve(told), listGrants: () => Promise.resolve([told]) } as unknown as Client
}

beforeEach(async () => {
  owner = await freshOwner(folder)
  grant = await sampleGrant(header, policyBytes, { submitters: [owner.submitThumbprint] })
  const bytes = encodeGrant(grant)
  const jws = await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey)
  remote = { grantId: await digestOf(bytes), jws, policy: policyBytes, revoked: false, hold: null }
  await owner.keyring.putGrant(remote.grantId, new Secret(random(32)), 1)
})

/** By name, and by what fits. */
async function choose(client: Client): Promise<readonly (readonly string[])[]> {
  const [image] = grant.images
  if (image === undefined) throw new Error('the sample grant has an image')
  const need = {
    datasets: new Map(grant.datasets.map((d) => [d, owner.grantThumbprint])),
    image,
    purpose: grant.purposes[0] ?? '',
    clients: [],
    now: T0,
  }
  const owners = [owner.grantThumbprint]
  const found = [namedGrants(client, owner, owners, [remote.grantId]), findGrants(client, owner, owners, need)]
  const ways = found.map(async (way) => (await way).map((g) => g.grantId))
  const settled = await Promise.allSettled(ways)
  const failed = settled.filter((s) => s.status === 'rejected')
  if (failed.length === 1) throw new Error('one way leads there and the other does not')
  if (failed[0] !== undefined) throw failed[0].reason
  return Promise.all(ways)
}

describe('a revocation', () => {
  it('is signed by the owner and says whether jobs are to stop', async () => {
    for (const stopJobs of [false, true]) {
      const jws = await revokeGrant(owner, remote.grantId, stopJobs, T0)
      const { payload, signers } = await verifyFlattenedJws(jws, REVOCATION_TYP, 'revocation')
      expect(parseRevocation(payload)).toMatchObject({ grant: remote.grantId, stopJobs })
      expect(signers[0]?.thumbprint).toBe(owner.grantThumbprint)
    }
  })

  it('that the gateway withholds is remembered: the grant serves no job, named or not', async () => {
    expect(await choose(gatewayThatSays(false))).toEqual([[remote.grantId], [remote.grantId]])
    await revokeGrant(owner, remote.grantId, false, T0)
    await expect(choose(gatewayThatSays(false))).rejects.toEqual(denied)
    expect(await checkOwnGrant(owner, remote)).toMatchObject({ revoked: true })
  })

  it('that the gateway tells of counts too, named or not', async () => {
    await expect(choose(gatewayThatSays(true))).rejects.toEqual(denied)
  })

  it('says nothing of other grants', async () => {
    await revokeGrant(owner, await digestOf(random(32)), true, T0)
    expect(await choose(gatewayThatSays(false))).toEqual([[remote.grantId], [remote.grantId]])
  })
})

describe('a grant of another owner', () => {
  const need = (signer: string): GrantNeed => {
    const [image] = grant.images
    if (image === undefined) throw new Error('the sample grant has an image')
    return { datasets: new Map(grant.datasets.map((d) => [d, signer])), image, purpose: grant.purposes[0] ?? '', clients: [], now: T0 }
  }

  it('serves who is named in it as submitter, and nobody else', async () => {
    const [submitter, stranger] = [await freshOwner(folder), await freshOwner(folder)]
    const theirs = { ...grant, submitters: [submitter.submitThumbprint] }
    const bytes = encodeGrant(theirs)
    remote = { ...remote, grantId: await digestOf(bytes), jws: await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey) }
    const client = gatewayThatSays(false)
    const owners = [owner.grantThumbprint]
    expect(await findGrants(client, submitter, owners, need(owner.grantThumbprint))).toMatchObject([{ signer: owner.grantThumbprint }])
    await expect(findGrants(client, stranger, owners, need(owner.grantThumbprint))).rejects.toEqual(denied)
    // Of an owner whom the trust file does not name no receipt would verify.
    const unknown = expect.objectContaining({ code: 'SIGNER_UNKNOWN' })
    await expect(findGrants(client, submitter, [], need(owner.grantThumbprint))).rejects.toEqual(unknown)
    await expect(namedGrants(client, submitter, [], [remote.grantId])).rejects.toEqual(unknown)
    // Signed by one owner, it is no grant for the data of another.
    await expect(findGrants(client, submitter, owners, need(stranger.grantThumbprint))).rejects.toEqual(denied)
  })
})
