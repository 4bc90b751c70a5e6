import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GrantService, JobService } from '../../../../src/rpc/index.ts'
import { issueFlattenedJws, publicOf } from '../../../../src/seal/jws.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, encodeContract } from '../../../../src/verify/documents/contract.ts'
import { encodeGrant, GRANT_TYP } from '../../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { encodePolicy, type Policy } from '../../../../src/verify/documents/policy.ts'
import { encodeVerifierKey, NOTE_ED25519 } from '../../../../src/verify/tlog/index.ts'
import { digestOf, ORIGIN, owner, sampleGrant, sampleHeader, samplePolicy, submitter } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { TestGateway } from '../fixture.ts'
import { type Changes, Scenario, sealedFile, upload } from '../scenario.ts'

let gateway: TestGateway
let scenario: Scenario
beforeAll(async () => {
  gateway = await TestGateway.start()
  scenario = await Scenario.prepare(gateway)
})
afterAll(() => gateway.end())

/** Creates a job with one thing changed. */
async function attempt(contract: Partial<Contract>, { grant = {}, policy }: Changes = {}, signer = submitter): Promise<unknown> {
  const alice = await gateway.dial('client', 'alice')
  const policyText = policy === undefined ? scenario.policy : encodePolicy(samplePolicy(policy))
  const grantBytes = encodeGrant(await sampleGrant(scenario.header, policyText, grant))
  const grantJws = await issueFlattenedJws(grantBytes, GRANT_TYP, owner.jwk)
  const { grantId } = await alice.unary(GrantService.putGrant, { jws: grantJws, policy: policyText })
  const policies = [await digestOf(policyText)]
  const jobId = toBase64Url(testBytes(`job ${Math.random()}`, 16))
  const bytes = encodeContract({ ...scenario.contract, jobId, policies, ...contract })
  const contractJws = await issueFlattenedJws(bytes, CONTRACT_TYP, signer.jwk)
  return alice.unary(JobService.createJob, { contractJws, grantIds: [grantId], ownerNonces: [scenario.nonce] })
}

const otherLog: Partial<Policy> = {
  log: { origin: ORIGIN, key: await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: testKey('other log').publicKey }) },
}

describe('a job is not admitted', () => {
  it.each<[string, string, Partial<Contract>, Changes]>([
    ['for an image that the grant does not name', 'GRANT_DENIED', { image: { runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` } }, {}],
    ['with other arguments than the grant pins', 'GRANT_DENIED', { argv: ['cat', '/in/data.csv'] }, {}],
    ['for another purpose', 'GRANT_DENIED', { purpose: 'https://w3id.org/dpv#Marketing' }, {}],
    ['for a submitter that the grant does not name', 'GRANT_DENIED', {}, { grant: { submitters: [] } }],
    ['for recipients that the grant does not name', 'GRANT_DENIED', {}, { grant: { recipients: [] } }],
    ['under a grant without uses', 'GRANT_DENIED', {}, { grant: { uses: 0 } }],
    ['under a grant that has expired', 'GRANT_EXPIRED', {}, { grant: { expires: '2026-05-28T20:10:00Z' } }],
    ['under a grant that has not begun', 'GRANT_EXPIRED', {}, { grant: { notBefore: '2026-05-28T23:00:00Z' } }],
    ['when it is too late', 'DEADLINE', { notAfter: '2026-05-28T20:00:00Z' }, {}],
    ['under a policy that names another log', 'POLICY_DENIED', {}, { policy: otherLog }],
    ['under a policy that wants witnesses', 'POLICY_DENIED', {}, { policy: { witnessing: { mode: 'quorum', k: 1, keys: ['w'] } } }],
    ['under a policy without its runner', 'POLICY_DENIED', {}, { policy: { runners: ['docker'] } }],
    ['with an isolation of another runner', 'POLICY_DENIED', { isolation: 'sealgate-container-v1' }, {}],
    [
      'with a weaker isolation than its policy asks for',
      'POLICY_DENIED',
      {},
      { policy: { minimumGrades: { binding: 'none', placement: 'none', isolation: 'container' } } },
    ],
    ['with ciphertext of another root', 'ROOT_MISMATCH', {}, {}],
    ['with data that is not here', 'NOT_FOUND', {}, {}],
    ['under a policy that no grant names', 'GRANT_DENIED', { policies: [toBase64Url(testBytes('policy', 32))] }, {}],
  ])('%s', async (what, code, contract, changes) => {
    const [input] = scenario.contract.inputs
    if (input === undefined) throw new Error('the sample job has an input')
    const other = toBase64Url(testBytes('other', 32))
    const inputs = code === 'ROOT_MISMATCH' ? [{ ...input, root: other }] : code === 'NOT_FOUND' ? [{ ...input, header: other }] : [input]
    await expect(attempt({ inputs, ...contract }, changes), what).rejects.toMatchObject({ code })
  })

  it('when somebody else signed the contract', async () => {
    await expect(attempt({}, {}, testKey('mallory'))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
  })

  it('with a grant that nobody has put here', async () => {
    const alice = await gateway.dial('client', 'alice')
    const request = {
      contractJws: await scenario.contractJws(),
      grantIds: [toBase64Url(testBytes('grant', 32))],
      ownerNonces: [scenario.nonce],
    }
    await expect(alice.unary(JobService.createJob, request)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it.each([
    ['no grant', [], []],
    ['the same grant twice', ['same', 'same'], [32, 32]],
    ['a short nonce', ['same'], [31]],
    ['a nonce too few', ['same'], []],
    ['a nonce too many', ['same'], [32, 32]],
  ])('with %s', async (_what, ids, sizes) => {
    const alice = await gateway.dial('client', 'alice')
    const request = {
      contractJws: await scenario.contractJws(),
      grantIds: ids.map(() => scenario.grantId),
      ownerNonces: sizes.map((size) => testBytes('nonce', size)),
    }
    await expect(alice.unary(JobService.createJob, request)).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
  })

  it('with a contract of one changed byte', async () => {
    const alice = await gateway.dial('client', 'alice')
    const text = new TextDecoder().decode(await scenario.contractJws())
    const at = text.indexOf('"payload":"') + 40
    const changed = new TextEncoder().encode(text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1))
    const request = { contractJws: changed, grantIds: [scenario.grantId], ownerNonces: [scenario.nonce] }
    await expect(alice.unary(JobService.createJob, request)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' })
  })

  it('under a grant of another owner for none of its data', async () => {
    const alice = await gateway.dial('client', 'alice')
    const other = testKey('second owner')
    const header = encodeHeader(
      sampleHeader({ owner: await thumbprint(publicOf(other.jwk)), datasetId: toBase64Url(testBytes('second', 16)) }),
    )
    await upload(alice, await sealedFile(header), header)
    const grant = encodeGrant(await sampleGrant(header, scenario.policy))
    const { grantId } = await alice.unary(GrantService.putGrant, {
      jws: await issueFlattenedJws(grant, GRANT_TYP, other.jwk),
      policy: scenario.policy,
    })
    const grantIds = [scenario.grantId, grantId]
    const request = { contractJws: await scenario.contractJws(), grantIds, ownerNonces: [scenario.nonce, scenario.nonce] }
    await expect(alice.unary(JobService.createJob, request)).rejects.toMatchObject({ code: 'GRANT_DENIED' })
  })
})

describe('grants', () => {
  it('are kept for who put them, and shown to nobody else', async () => {
    const alice = await gateway.dial('client', 'alice')
    const { grant } = await alice.unary(GrantService.getGrant, { grantId: scenario.grantId })
    expect(grant).toMatchObject({ grantId: scenario.grantId, revoked: false })
    const mallory = await gateway.dial('client', 'mallory')
    await expect(mallory.unary(GrantService.getGrant, { grantId: scenario.grantId })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect((await mallory.unary(GrantService.listGrants, {})).grants).toEqual([])
  })

  it.each<[string, string, () => Promise<{ jws: Uint8Array; policy: Uint8Array }>]>([
    ['signed by somebody else than the owner of the data', 'GRANT_DENIED', async () => sign(testKey('mallory').jwk)],
    [
      'with another policy than it names',
      'POLICY_DENIED',
      async () => ({ ...(await sign()), policy: encodePolicy(samplePolicy({ runners: [] })) }),
    ],
    ['for data that is not here', 'NOT_FOUND', async () => sign(owner.jwk, { datasets: [toBase64Url(testBytes('none', 32))] })],
    ['that is no JWS', 'JSON_MALFORMED', async () => ({ jws: testBytes('junk', 64), policy: scenario.policy })],
    ['that is nothing', 'JSON_MALFORMED', async () => ({ jws: new Uint8Array(), policy: new Uint8Array() })],
  ])('are refused %s', async (_what, code, make) => {
    const alice = await gateway.dial('client', 'alice')
    const attempted = alice.unary(GrantService.putGrant, await make())
    if (code === 'JSON_MALFORMED')
      await expect(attempted).rejects.toMatchObject({ code: expect.stringMatching(/JSON_MALFORMED|ENCODING_INVALID/) })
    else await expect(attempted).rejects.toMatchObject({ code })
  })

  it('are revoked by their owner alone, once and for ever', async () => {
    const own = await Scenario.prepare(gateway, { grant: { grantId: toBase64Url(testBytes('to be revoked', 16)) } })
    await expect(own.revoke(testKey('mallory'))).rejects.toMatchObject({ code: 'GRANT_DENIED' })
    await own.revoke()
    await own.revoke()
    const alice = await gateway.dial('client', 'alice')
    expect((await alice.unary(GrantService.getGrant, { grantId: own.grantId })).grant).toMatchObject({ revoked: true })
    await expect(own.create()).rejects.toMatchObject({ code: 'GRANT_DENIED' })
  })
})

async function sign(key = owner.jwk, changes = {}): Promise<{ jws: Uint8Array; policy: Uint8Array }> {
  const grant = encodeGrant(await sampleGrant(scenario.header, scenario.policy, changes))
  return { jws: await issueFlattenedJws(grant, GRANT_TYP, key), policy: scenario.policy }
}
