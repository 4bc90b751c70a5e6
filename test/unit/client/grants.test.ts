import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Client } from '../../../src/client/client.ts'
import { checkOwnGrant, type Owner, type RemoteGrant, revokeGrant } from '../../../src/client/index.ts'
import { chooseGrants } from '../../../src/client/job/choose-grants.ts'
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

beforeAll(async () => {
  grant = await sampleGrant(header, policyBytes)
})

beforeEach(async () => {
  owner = await freshOwner(folder)
  const bytes = encodeGrant(grant)
  const jws = await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey)
  remote = { grantId: await digestOf(bytes), jws, policy: policyBytes, revoked: false }
  await owner.keyring.putGrant(remote.grantId, new Secret(random(32)), 1)
})

/** By name, and by what fits. */
async function choose(client: Client): Promise<readonly (readonly string[])[]> {
  const [image] = grant.images
  if (image === undefined) throw new Error('the sample grant has an image')
  const need = { datasets: grant.datasets, image, purpose: grant.purposes[0] ?? '', clients: [], now: T0 }
  const ways = [[remote.grantId], []].map(async (named) => (await chooseGrants(client, owner, named, need)).map((g) => g.grantId))
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
