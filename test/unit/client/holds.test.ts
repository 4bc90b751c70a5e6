import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Client } from '../../../src/client/client.ts'
import { refuseRevoked } from '../../../src/client/grants.ts'
import { checkOwnGrant, holdGrant, type Owner, type RemoteGrant, sendHold } from '../../../src/client/index.ts'
import { findGrants, namedGrants } from '../../../src/client/job/choose-grants.ts'
import { random } from '../../../src/client/owner.ts'
import { ownerKeys } from '../../../src/client/releaser-keys.ts'
import { issueFlattenedJws, Secret } from '../../../src/seal/index.ts'
import { encodeGrant, GRANT_TYP, type Grant } from '../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../src/verify/documents/header.ts'
import { encodeHold, HOLD_TYP, type Hold, parseHold } from '../../../src/verify/documents/hold.ts'
import { AttestError } from '../../../src/verify/errors.ts'
import { verifyFlattenedJws } from '../../../src/verify/formats/jws.ts'
import { digestOf, policyBytes, sampleGrant, sampleHeader, T0 } from '../../support/job-documents.ts'
import { testKey } from '../../support/keys.ts'
import { freshOwner, temporaryFolder } from './support.ts'

const folder = temporaryFolder()
const isHeld: object = expect.objectContaining({ code: 'GRANT_HELD' })
const hold = { held: true, stopJobs: false, basis: null }
const end = { held: false, stopJobs: false, basis: null }
let owner: Owner
let grant: Grant
let remote: RemoteGrant

/** A gateway that shows what it wants of holds. */
function gatewayThatShows(shown: Uint8Array | null, holdGrantAt: Client['holdGrant'] = () => Promise.resolve()): Client {
  const told = { ...remote, hold: shown }
  const grants = { getGrant: () => Promise.resolve(told), listGrants: () => Promise.resolve([told]) }
  return { ...grants, holdGrant: holdGrantAt } as unknown as Client
}

beforeEach(async () => {
  owner = await freshOwner(folder)
  grant = await sampleGrant(encodeHeader(sampleHeader()), policyBytes, { submitters: [owner.submitThumbprint] })
  const bytes = encodeGrant(grant)
  const jws = await issueFlattenedJws(bytes, GRANT_TYP, owner.grantKey)
  remote = { grantId: await digestOf(bytes), jws, policy: policyBytes, revoked: false, hold: null }
  await owner.keyring.putGrant(remote.grantId, new Secret(random(32)), 1)
})

function choose(client: Client, named: readonly string[]): Promise<readonly { readonly grantId: string }[]> {
  const [image] = grant.images
  if (image === undefined) throw new Error('the sample grant has an image')
  const owners = [owner.grantThumbprint]
  if (named.length > 0) return namedGrants(client, owner, owners, named)
  const datasets = new Map(grant.datasets.map((d) => [d, owner.grantThumbprint]))
  return findGrants(client, owner, owners, { datasets, image, purpose: grant.purposes[0] ?? '', clients: [], now: T0 })
}

async function expectServes(client: Client): Promise<void> {
  for (const named of [[remote.grantId], []]) expect(await choose(client, named)).toMatchObject([{ grantId: remote.grantId }])
}

async function expectHeld(client: Client): Promise<void> {
  for (const named of [[remote.grantId], []]) await expect(choose(client, named)).rejects.toEqual(isHeld)
}

function signed(changes: Partial<Hold>, key = owner.grantKey): Promise<Uint8Array> {
  const whole: Hold = { v: 1, grant: remote.grantId, sequence: 1, ...hold, at: '2026-05-28T20:30:00Z', ...changes }
  return issueFlattenedJws(encodeHold(whole), HOLD_TYP, key)
}

async function read(jws: Uint8Array): Promise<Hold> {
  return parseHold((await verifyFlattenedJws(jws, HOLD_TYP, 'hold')).payload)
}

describe('a hold', () => {
  it('is signed by the owner, counted, and remembered with its end', async () => {
    const first = await holdGrant(owner, remote.grantId, { ...hold, stopJobs: true, basis: 'https://example.org/basis' }, T0)
    expect(await read(first)).toMatchObject({ grant: remote.grantId, sequence: 1, held: true, stopJobs: true })
    expect((await verifyFlattenedJws(first, HOLD_TYP, 'hold')).signers[0]?.thumbprint).toBe(owner.grantThumbprint)
    await expect(refuseRevoked(ownerKeys(owner), [remote.grantId])).rejects.toEqual(isHeld)
    expect(await read(await holdGrant(owner, remote.grantId, end, T0))).toMatchObject({ sequence: 2, held: false })
    await refuseRevoked(ownerKeys(owner), [remote.grantId])
    for (let sequence = 3; sequence <= 11; sequence++) await holdGrant(owner, remote.grantId, hold, T0)
    expect(await owner.keyring.hold(remote.grantId)).toEqual({ sequence: 11, held: true })
  })

  it('that a gateway hides, or never got, counts all the same, named or not', async () => {
    await expectServes(gatewayThatShows(null))
    await holdGrant(owner, remote.grantId, hold, T0)
    await expectHeld(gatewayThatShows(null))
    expect(await checkOwnGrant(owner, remote)).toMatchObject({ held: true, revoked: false })
    await holdGrant(owner, remote.grantId, end, T0)
    await expectServes(gatewayThatShows(null))
  })

  it('is not ended by an older end that a gateway shows, nor by a newer one of another folder', async () => {
    const older = await signed({ ...end, sequence: 1 })
    await owner.keyring.putHold(remote.grantId, { sequence: 2, held: true }, random(200))
    await expectHeld(gatewayThatShows(older))
    await expectHeld(gatewayThatShows(await signed({ ...end, sequence: 9 })))
  })

  it('of another copy of the folder counts when the gateway shows it, unless it is older than what was said here', async () => {
    await expectHeld(gatewayThatShows(await signed({ sequence: 1 })))
    await owner.keyring.putHold(remote.grantId, { sequence: 4, held: false }, random(200))
    await expectServes(gatewayThatShows(await signed({ sequence: 3 })))
    await expectHeld(gatewayThatShows(await signed({ sequence: 4 })))
    await expectHeld(gatewayThatShows(await signed({ sequence: 5 })))
  })

  it('of somebody else, or of another grant, is a lie', async () => {
    const denied: object = expect.objectContaining({ code: 'GRANT_DENIED' })
    await expect(checkOwnGrant(owner, { ...remote, hold: await signed({}, testKey('mallory').jwk) })).rejects.toEqual(denied)
    const another = await digestOf(random(32))
    await expect(checkOwnGrant(owner, { ...remote, hold: await signed({ grant: another }) })).rejects.toEqual(denied)
  })

  it('says nothing of other grants', async () => {
    await holdGrant(owner, await digestOf(random(32)), hold, T0)
    await expectServes(gatewayThatShows(null))
  })
})

describe('the memory of holds', () => {
  const kept = (): readonly string[] => readdirSync(join(owner.path, 'keyring')).filter((n) => n.startsWith('hold-'))

  it('holds a grant whose newest file a crash cut, and goes on from its number', async () => {
    await holdGrant(owner, remote.grantId, hold, T0)
    writeFileSync(join(owner.path, 'keyring', `hold-${remote.grantId}-2.json`), '{"held":fal')
    expect(await owner.keyring.hold(remote.grantId)).toEqual({ sequence: 2, held: true })
    expect(await read(await holdGrant(owner, remote.grantId, end, T0))).toMatchObject({ sequence: 3 })
    await expectServes(gatewayThatShows(null))
  })

  it('is there before a gateway is asked, and when it does not answer', async () => {
    const jws = await holdGrant(owner, remote.grantId, hold, T0)
    const silent = { holdGrant: () => Promise.reject(new AttestError('GATEWAY_UNREACHABLE', 'no answer')) } as unknown as Client
    await expect(sendHold(silent, owner, jws)).rejects.toMatchObject({ code: 'GATEWAY_UNREACHABLE' })
    await expectHeld(gatewayThatShows(null))
  })

  it('gives a number to one of two processes alone', async () => {
    await owner.keyring.putHold(remote.grantId, { sequence: 1, held: true }, random(200))
    await expect(owner.keyring.putHold(remote.grantId, { sequence: 1, held: false }, random(200))).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    })
    expect(await owner.keyring.hold(remote.grantId)).toEqual({ sequence: 1, held: true })
    expect(kept()).toEqual([`hold-${remote.grantId}-1.json`])
  })

  it.each(['', '../../etc/passwd', 'a'.repeat(44)])('takes "%s" for no grant', async (id) => {
    await expect(owner.keyring.hold(id)).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('a gateway that has something newer', () => {
  function gateway(newest: Uint8Array | null): { readonly client: Client; readonly got: Uint8Array[] } {
    const got: Uint8Array[] = []
    const holdGrantAt = async (jws: Uint8Array): Promise<void> => {
      const { sequence } = await read(jws)
      if (newest !== null && sequence <= (await read(newest)).sequence) throw new AttestError('HOLD_STALE', 'older')
      got.push(jws)
    }
    return { client: gatewayThatShows(newest, holdGrantAt), got }
  }

  it('of another copy of the folder: the hold is signed again above it, and remembered so', async () => {
    const { client, got } = gateway(await signed({ ...end, sequence: 7 }))
    await sendHold(client, owner, await holdGrant(owner, remote.grantId, { ...hold, basis: 'https://example.org/basis' }, T0))
    expect(await Promise.all(got.map(read))).toMatchObject([{ sequence: 8, held: true, basis: 'https://example.org/basis' }])
    expect(await owner.keyring.hold(remote.grantId)).toEqual({ sequence: 8, held: true })
  })

  it('but shows none, or one of somebody else, gets nothing more to sign', async () => {
    const jws = await holdGrant(owner, remote.grantId, hold, T0)
    const lying = (shown: Uint8Array | null): Client =>
      gatewayThatShows(shown, () => Promise.reject(new AttestError('HOLD_STALE', 'so it says')))
    await expect(sendHold(lying(null), owner, jws)).rejects.toMatchObject({ code: 'HOLD_STALE' })
    const forged = await signed({ sequence: 9 }, testKey('mallory').jwk)
    await expect(sendHold(lying(forged), owner, jws)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    expect(await owner.keyring.hold(remote.grantId)).toEqual({ sequence: 1, held: true })
  })
})
