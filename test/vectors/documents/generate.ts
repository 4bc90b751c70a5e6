import { existsSync, readFileSync } from 'node:fs'
import { MessageHash } from '../../../src/rpc/service/index.ts'
import { issueFlattenedJws, issueGeneralJws, publicOf } from '../../../src/seal/jws.ts'
import { cosign, signCheckpoint } from '../../../src/seal/note.ts'
import { equal, fromBase64Url, toBase64Url, toHex, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { crypto } from '../../../src/verify/crypto/node.ts'
import { type ArrayTerms, itemManifestName } from '../../../src/verify/documents/array.ts'
import { encodeBinding, parseBinding } from '../../../src/verify/documents/binding.ts'
import { CONTRACT_TYP, encodeContract, parseContract } from '../../../src/verify/documents/contract.ts'
import { deviceNonce } from '../../../src/verify/documents/device-nonce.ts'
import { ERASURE_TYP } from '../../../src/verify/documents/erasure.ts'
import { EVENT_TYP } from '../../../src/verify/documents/event-statement.ts'
import { bundleFromJson, evidenceDigest } from '../../../src/verify/documents/evidence-bundle.ts'
import { encodeGrant, encodeRevocation, GRANT_TYP, parseGrant, REVOCATION_TYP } from '../../../src/verify/documents/grant.ts'
import { encodeHeader, STREAM_SUITE } from '../../../src/verify/documents/header.ts'
import { HOLD_TYP } from '../../../src/verify/documents/hold.ts'
import { INTENT_TYP } from '../../../src/verify/documents/intent.ts'
import { jobNonce } from '../../../src/verify/documents/job-nonce.ts'
import { encodeKeyProof, KEY_PROOF_TYP } from '../../../src/verify/documents/key-proof.ts'
import { thumbprint } from '../../../src/verify/documents/keys.ts'
import { commitmentOf, encodeLeaf } from '../../../src/verify/documents/leaf.ts'
import { encodePolicy } from '../../../src/verify/documents/policy.ts'
import {
  type Exchange,
  encodeSessionFile,
  encodeSessionRecord,
  exchangeCommitment,
  nextHead,
  SESSION_TYP,
  sessionStart,
  sizeBits,
} from '../../../src/verify/documents/session.ts'
import { encodeStatement, parseStatement, RECEIPT_TYP } from '../../../src/verify/documents/statement.ts'
import { encodeSuccession, SUCCESSION_TYP } from '../../../src/verify/documents/succession.ts'
import { encodeTrustFile } from '../../../src/verify/documents/trust.ts'
import { useKeyCommitment, useSlotTag } from '../../../src/verify/documents/use-slot.ts'
import { encodeCanonical, type Json } from '../../../src/verify/formats/canonical-json.ts'
import { succeed, verifySuccession } from '../../../src/verify/receipt/index.ts'
import {
  COSIGNATURE_ED25519,
  consistencyProof,
  encodeVerifierKey,
  inclusionProof,
  leafHash,
  parseNote,
  rootAt,
} from '../../../src/verify/tlog/index.ts'
import { type BuiltEvent, buildEvent } from '../../support/event-builder.ts'
import {
  digestOf,
  gateway,
  gatewayMlDsa,
  jobKey,
  log,
  logKey,
  ORIGIN,
  owner,
  ownerThumbprint,
  recipient,
  recipientDigest,
  samplePolicy,
  submitter,
  T0,
  useKey,
} from '../../support/job-documents.ts'
import { noteSigner, type TestKey, testBytes, testKey, testMlDsaKey } from '../../support/keys.ts'
import { storeTree } from '../../support/log.ts'
import { buildReceipt, mlDsaTrust, sampleTrust, simulatedReport } from '../../support/receipt-builder.ts'
import { everyRequirement } from '../../support/requirements.ts'
import { brokerVectors } from './broker-vectors.ts'

/** One vector: what it shows, the page that specifies it, and its files, byte for byte. */
export interface Vector {
  readonly id: string
  /** File name of the page under docs/formats. */
  readonly page: string
  readonly expect: { readonly [name: string]: Json }
  readonly files: { readonly [name: string]: Uint8Array }
}

/** Everything but the signature of the simulated report is deterministic: that one is recorded, and kept while it still fits. */
async function recordedReport(binding: Uint8Array, vector = '018-evidence-bundle'): Promise<Uint8Array> {
  const recorded = new URL(`${vector}/report.bin`, import.meta.url)
  if (existsSync(recorded)) {
    const report = new Uint8Array(readFileSync(recorded))
    if (equal(report.subarray(0x50, 0x90), await crypto.digest('SHA-512', binding))) return report
  }
  return simulatedReport(binding)
}

/** All vectors, from throwaway keys. */
export async function generate(): Promise<readonly Vector[]> {
  const receipt = await buildReceipt({ report: (binding) => recordedReport(binding) })
  const [keys, documents, logs] = [await keyVectors(), await documentVectors(receipt), await logVectors()]
  const mlDsaReceipt = await buildReceipt({ report: (binding) => recordedReport(binding), mlDsa: gatewayMlDsa })
  return [
    ...keys,
    ...documents,
    ...logs,
    ...(await receiptVectors(receipt, mlDsaReceipt)),
    await deviceVector(receipt),
    ...(await eventVectors()),
    await keyProofVector(),
    ...(await brokerVectors()),
    ...(await successionVectors()),
  ]
}

type Built = Awaited<ReturnType<typeof buildReceipt>>

async function keyVectors(): Promise<readonly Vector[]> {
  const numbers = {
    '€': 'euro',
    '\r': 'return',
    1: 'one',
    '😀': 'smile',
    '\u0080': 'control',
    ö: 'o',
    '\ufb33': 'dalet',
    n: [0, -1, 9007199254740991],
    e: '"\\\u000f\u007f/',
  }
  const json = encodeCanonical(numbers)
  const key = publicOf(owner.jwk)
  return [
    {
      id: '001-canonical-json',
      page: 'canonical-json.md',
      expect: { sha256: toHex(await crypto.digest('SHA-256', json)) },
      files: { 'value.golden.json': json },
    },
    {
      id: '002-signing-key',
      page: 'jws.md',
      expect: { thumbprint: await thumbprint(key), seed: owner.jwk.d },
      files: { 'jwk.golden.json': encodeCanonical({ ...key }) },
    },
    {
      id: '002b-ml-dsa-key',
      page: 'jws.md',
      expect: { thumbprint: await thumbprint(gatewayMlDsa.key), seed: gatewayMlDsa.jwk.priv },
      files: { 'jwk.golden.json': encodeCanonical({ ...gatewayMlDsa.key }) },
    },
    {
      id: '003-recipient-key',
      page: 'contract.md',
      expect: { digest: recipientDigest },
      files: { 'key.golden.json': encodeCanonical({ ...recipient }) },
    },
  ]
}

async function signed(id: string, page: string, payload: Uint8Array, typ: string, key: TestKey): Promise<Vector> {
  const expect = { typ, digest: await digestOf(payload), signer: await thumbprint(publicOf(key.jwk)) }
  return { id, page, expect, files: { 'payload.golden.json': payload, 'jws.golden.json': await issueFlattenedJws(payload, typ, key.jwk) } }
}

async function plain(id: string, page: string, payload: Uint8Array): Promise<Vector> {
  return { id, page, expect: { digest: await digestOf(payload) }, files: { 'payload.golden.json': payload } }
}

function keyProofVector(): Promise<Vector> {
  const proof = encodeKeyProof({ v: 1, tls: toBase64Url(testBytes('tls key', 32)) })
  return signed('037-key-proof', 'key-proof.md', proof, KEY_PROOF_TYP, owner)
}

/** A gateway's succession, and the trust file of 028b once it is taken in. */
async function successionVectors(): Promise<readonly Vector[]> {
  const [next, nextMlDsa] = [testKey('next gateway'), await testMlDsaKey('next gateway')]
  const payload = encodeSuccession({
    v: 1,
    from: publicOf(gateway.jwk),
    to: publicOf(next.jwk),
    mlDsa: nextMlDsa.key,
    retired: '2026-06-01T00:00:00Z',
  })
  const jws = await issueGeneralJws(payload, SUCCESSION_TYP, [gateway.jwk, next.jwk], gatewayMlDsa)
  const trust = encodeTrustFile(succeed(mlDsaTrust, await verifySuccession(jws)))
  return [
    {
      id: '050-succession',
      page: 'succession.md',
      expect: {
        typ: SUCCESSION_TYP,
        digest: await digestOf(payload),
        signers: [await thumbprint(publicOf(gateway.jwk)), await thumbprint(publicOf(next.jwk))],
        mlDsa: await thumbprint(gatewayMlDsa.key),
      },
      files: { 'payload.golden.json': payload, 'succession.golden.json': jws },
    },
    {
      id: '050b-trust-file-retired',
      page: 'trust-file.md',
      expect: { sha256: toHex(await crypto.digest('SHA-256', trust)) },
      files: { 'trust.golden.json': trust },
    },
  ]
}

const array: ArrayTerms = {
  items: [['--patient', '0'], ['--patient', '1'], ['--summary']],
  itemLimits: { timeMs: 20_000, outputBytes: 524_288 },
  onItemFailure: 'continue',
}

/** The sample job as an array job, of which one item failed. */
function arrayStatement(statement: Uint8Array): Uint8Array {
  const { predicate, subject, ...rest } = parseStatement(statement)
  return encodeStatement({
    ...rest,
    subject: [...subject, ...[0, 1, 2].map((i) => ({ name: itemManifestName(i), digest: { sha256: toHex(testBytes(`item ${i}`, 32)) } }))],
    predicate: {
      ...predicate,
      outcome: { kind: 'failed', exitCode: null, code: 'JOB_FAILED', reason: '2 of 3 items succeeded' },
      outputs: [],
      items: [
        { kind: 'succeeded', exitCode: 0 },
        { kind: 'failed', exitCode: 3 },
        { kind: 'succeeded', exitCode: 0 },
      ],
    },
  })
}

async function documentVectors({ documents, file }: Built): Promise<readonly Vector[]> {
  const { contract, grant, policy, header, binding, intent } = documents
  if (intent === null || file.evidence === null || file.nonceCheckpoint === null) throw new Error('the sample job has all parts')
  const revocation = encodeRevocation({ v: 1, grant: await digestOf(grant), revokedAt: '2026-05-28T21:00:00Z', stopJobs: true })
  const bundle = encodeCanonical(file.evidence as unknown as Json)
  const job = await digestOf(contract)
  const nonce = await jobNonce(job, file.ownerNonces.map(fromBase64Url), file.nonceCheckpoint)
  return [
    await signed('010-contract', 'contract.md', contract, CONTRACT_TYP, submitter),
    await signed('010b-contract-array', 'contract.md', encodeContract({ ...parseContract(contract), array }), CONTRACT_TYP, submitter),
    await signed('011-grant', 'grant.md', grant, GRANT_TYP, owner),
    await signed('011b-grant-items', 'grant.md', encodeGrant({ ...parseGrant(grant), items: array.items }), GRANT_TYP, owner),
    await signed('012-revocation', 'grant.md', revocation, REVOCATION_TYP, owner),
    await plain('013-policy', 'policy.md', policy),
    await plain(
      '013b-policy-requirements',
      'policy.md',
      encodePolicy(samplePolicy({ appraisal: { ...samplePolicy().appraisal, ...everyRequirement } })),
    ),
    await plain('014-dataset-header', 'README.md', header),
    await plain('015-result-header', 'README.md', await resultHeader(job)),
    {
      id: '016-binding',
      page: 'binding.md',
      expect: { digest: await digestOf(binding), reportData: toHex(await crypto.digest('SHA-512', binding)) },
      files: { 'payload.golden.json': binding },
    },
    await signed('017-release-intent', 'release-intent.md', intent, INTENT_TYP, owner),
    {
      id: '018-evidence-bundle',
      page: 'evidence-bundle.md',
      expect: { evidenceDigest: await evidenceDigest(bundleFromJson(file.evidence)), simulated: true },
      files: { 'bundle.golden.json': bundle, 'report.bin': fromBase64Url(file.evidence.cpu.report) },
    },
    {
      id: '019-job-nonce',
      page: 'binding.md',
      expect: { job, nonces: [...file.ownerNonces], nonce: toBase64Url(nonce) },
      files: { 'checkpoint.txt': utf8(file.nonceCheckpoint) },
    },
    {
      id: '020-use-slot',
      page: 'grant.md',
      expect: {
        useKey: toBase64Url(useKey),
        commitment: await useKeyCommitment(useKey),
        tag0: await useSlotTag(useKey, 0),
        tag1: await useSlotTag(useKey, 1),
      },
      files: {},
    },
  ]
}

function resultHeader(job: string): Promise<Uint8Array> {
  const b64 = (label: string, size: number): string => toBase64Url(testBytes(label, size))
  const wrapped = { recipient: recipientDigest, suite: recipient.suite, enc: b64('enc', 1120), ciphertext: b64('wrapped', 48) }
  const sealed = {
    v: 1,
    suite: STREAM_SUITE,
    plaintextSize: 5,
    salt: b64('result salt', 32),
    keyCommitment: b64('result commitment', 32),
  } as const
  return Promise.resolve(encodeHeader({ ...sealed, kind: 'result', job, recipients: [wrapped] }))
}

async function logVectors(): Promise<readonly Vector[]> {
  const [salt, opening] = [testBytes('leaf salt', 32), utf8('the signed document')]
  const leaf = encodeLeaf({
    v: 1,
    type: 'release',
    commitment: await commitmentOf(salt, opening),
    tags: [await useSlotTag(useKey, 0)],
    ends: [],
    deadline: '2026-05-28T21:00:00Z',
  })
  const hash = await leafHash(leaf)
  const tree = await storeTree([...(await Promise.all(Array.from({ length: 6 }, (_, i) => leafHash(utf8(`leaf ${i}`))))), hash])
  const root = await rootAt(7, tree.read)
  const checkpoint = await signCheckpoint({ origin: ORIGIN, size: 7, root }, log)
  const own = await cosign(checkpoint, log, T0)
  const witnesses = ['w1.example', 'w2.example', 'w3.example'].map((name) => noteSigner(name))
  const keys = await Promise.all(
    witnesses.map((w) => encodeVerifierKey({ name: w.name, type: COSIGNATURE_ED25519, publicKey: w.publicKey })),
  )
  let witnessed = checkpoint
  for (const [i, witness] of witnesses.slice(0, 2).entries()) witnessed = await cosign(witnessed, witness, T0 + 10 * i)
  const hashes = (list: readonly Uint8Array[]): string[] => list.map(toBase64Url)
  return [
    {
      id: '021-leaf',
      page: 'log.md',
      expect: { salt: toBase64Url(salt), opening: toBase64Url(opening), leafHash: toBase64Url(hash) },
      files: { 'leaf.golden.json': leaf },
    },
    {
      id: '022-checkpoint',
      page: 'log.md',
      expect: { key: logKey, origin: ORIGIN, size: 7, root: toBase64Url(root), time: T0 },
      files: { 'note.txt': utf8(own), 'text.txt': utf8(parseNote(own).text) },
    },
    {
      id: '023-witnessed-checkpoint',
      page: 'log.md',
      expect: { key: logKey, witnesses: keys, k: 2, time: T0 },
      files: { 'note.txt': utf8(witnessed) },
    },
    {
      id: '024-inclusion',
      page: 'log.md',
      expect: {
        leafHash: toBase64Url(hash),
        index: 6,
        size: 7,
        root: toBase64Url(root),
        proof: hashes(await inclusionProof(6, 7, tree.read)),
      },
      files: {},
    },
    {
      id: '025-consistency',
      page: 'log.md',
      expect: {
        oldSize: 3,
        oldRoot: toBase64Url(await rootAt(3, tree.read)),
        newSize: 7,
        newRoot: toBase64Url(root),
        proof: hashes(await consistencyProof(3, 7, tree.read)),
      },
      files: {},
    },
  ]
}

/** @param mlDsa - the same receipt, signed with ML-DSA too. */
async function receiptVectors({ bytes, documents }: Built, mlDsa: Built): Promise<readonly Vector[]> {
  const trust = encodeTrustFile(sampleTrust)
  const trustMlDsa = encodeTrustFile(mlDsaTrust)
  const jws = await issueGeneralJws(documents.statement, RECEIPT_TYP, [jobKey.jwk, gateway.jwk])
  return [
    await plain('026-statement', 'receipt.md', documents.statement),
    await plain('026b-statement-items', 'receipt.md', arrayStatement(documents.statement)),
    {
      id: '027-receipt',
      page: 'receipt.md',
      expect: { typ: RECEIPT_TYP, signers: [await thumbprint(publicOf(jobKey.jwk)), await thumbprint(publicOf(gateway.jwk))] },
      files: { 'jws.golden.json': jws },
    },
    {
      id: '027b-receipt-ml-dsa',
      page: 'receipt.md',
      expect: {
        typ: RECEIPT_TYP,
        signers: [await thumbprint(publicOf(jobKey.jwk)), await thumbprint(publicOf(gateway.jwk))],
        mlDsa: await thumbprint(gatewayMlDsa.key),
        sha256: toHex(await crypto.digest('SHA-256', fromBase64Url(mlDsa.file.receipt))),
      },
      files: { 'jws.golden.json': fromBase64Url(mlDsa.file.receipt) },
    },
    ...(await sessionVectors()),
    {
      id: '028-trust-file',
      page: 'trust-file.md',
      expect: { owners: [ownerThumbprint], sha256: toHex(await crypto.digest('SHA-256', trust)) },
      files: { 'trust.golden.json': trust },
    },
    {
      id: '028b-trust-file-ml-dsa',
      page: 'trust-file.md',
      expect: { mlDsa: await thumbprint(gatewayMlDsa.key), sha256: toHex(await crypto.digest('SHA-256', trustMlDsa)) },
      files: { 'trust.golden.json': trustMlDsa },
    },
    {
      id: '029-receipt-file',
      page: 'receipt-file.md',
      expect: {
        decision: 'accept',
        sha256: toHex(await crypto.digest('SHA-256', bytes)),
        releasedAt: '2026-05-28T20:26:40Z',
        simulated: true,
      },
      files: { 'receipt.golden.json': bytes, 'trust.golden.json': trust },
    },
    {
      id: '029b-receipt-file-ml-dsa',
      page: 'receipt-file.md',
      expect: {
        decision: 'accept',
        sha256: toHex(await crypto.digest('SHA-256', mlDsa.bytes)),
        mlDsa: await thumbprint(gatewayMlDsa.key),
        simulated: true,
      },
      files: { 'receipt.golden.json': mlDsa.bytes, 'trust.golden.json': trustMlDsa },
    },
  ]
}

/** The sample binding, as if two devices had been there. */
async function deviceVector({ documents }: Built): Promise<Vector> {
  const types = ['gpu', 'nvswitch'] as const
  const devices = await Promise.all(types.map(async (type) => ({ type, report: await digestOf(testBytes(`report of a ${type}`, 100)) })))
  const binding = { ...parseBinding(documents.binding), devices }
  const [nonce0, nonce1] = [await deviceNonce(binding, 0), await deviceNonce(binding, 1)]
  return {
    id: '030-device-nonce',
    page: 'binding.md',
    expect: { nonce0: toBase64Url(nonce0), nonce1: toBase64Url(nonce1) },
    files: { 'binding.golden.json': encodeBinding(binding) },
  }
}

/** Of each type of event the receipt file, and of an erasure its order, of a hold the hold itself too. All verify under the trust file of 028. */
async function eventVectors(): Promise<readonly Vector[]> {
  const erasure = await buildEvent('erasure')
  if (erasure.file.type !== 'sealgate/erasure-file/v1') throw new Error('not an erasure')
  const { payload } = JSON.parse(new TextDecoder().decode(fromBase64Url(erasure.file.order))) as { payload: string }
  const onboard = await buildEvent('onboard', { report: (binding) => recordedReport(binding, '034-onboarding-file') })
  if (onboard.file.type !== 'sealgate/onboarding-file/v1') throw new Error('not an onboarding')
  const report = fromBase64Url(onboard.file.evidence.cpu.report)
  const hold = await buildEvent('hold')
  if (hold.file.type !== 'sealgate/hold-file/v1') throw new Error('not a hold')
  const signedHold = JSON.parse(new TextDecoder().decode(fromBase64Url(hold.file.hold))) as { payload: string }
  return [
    await signed('031-erasure-order', 'erasure.md', fromBase64Url(payload), ERASURE_TYP, owner),
    await eventVector('032-erasure-file', erasure),
    await eventVector('033-revocation-file', await buildEvent('revocation')),
    await eventVector('034-onboarding-file', onboard, { 'report.bin': report }),
    await signed('035-hold', 'grant.md', fromBase64Url(signedHold.payload), HOLD_TYP, owner),
    await eventVector('036-hold-file', hold),
  ]
}

async function eventVector(id: string, { bytes, statement }: BuiltEvent, more: Vector['files'] = {}): Promise<Vector> {
  const expect = {
    decision: 'accept',
    typ: EVENT_TYP,
    statement: await digestOf(statement),
    sha256: toHex(await crypto.digest('SHA-256', bytes)),
  }
  return { id, page: 'event-receipt.md', expect, files: { 'event.golden.json': bytes, ...more } }
}
/** Two exchanges of a client with a service, the second cut off. */
async function sessionVectors(): Promise<readonly Vector[]> {
  const b64 = (label: string, size = 32): string => toBase64Url(testBytes(label, size))
  const subject = { job: b64('service job'), session: b64('session', 16), client: b64('client key') }
  const secret = testBytes('session secret', 32)
  const request = MessageHash.ofRequest('POST', '/v1/chat/completions', ['Host', '127.0.0.1:8080', 'Content-Type', 'application/json'])
  request.update(utf8('{"messages":[]}'))
  const answer = MessageHash.ofResponse(200, ['Content-Type', 'application/json'])
  answer.update(utf8('{}'))
  const [asked, answered] = [request.digest(), answer.digest()]
  const exchanges: Exchange[] = [
    {
      n: 0,
      request: await exchangeCommitment(secret, 'request', 0, asked),
      response: await exchangeCommitment(secret, 'response', 0, answered),
      requestBits: sizeBits(15),
      responseBits: sizeBits(2),
      status: 2,
      complete: true,
    },
    {
      n: 1,
      request: await exchangeCommitment(secret, 'request', 1, asked),
      response: await exchangeCommitment(secret, 'response', 1, new Uint8Array(32)),
      requestBits: sizeBits(15),
      responseBits: 0,
      status: 0,
      complete: false,
    },
  ]
  const before = await sessionStart(subject)
  let head = before
  for (const exchange of exchanges) head = await nextHead(head, exchange)
  const payload = encodeSessionRecord({ v: 1, ...subject, first: 0, before, exchanges, head })
  const jws = await issueFlattenedJws(payload, SESSION_TYP, jobKey.jwk)
  const file = encodeSessionFile({ v: 1, type: 'sealgate/session-file/v1', records: [toBase64Url(jws)], secret: toBase64Url(secret) })
  const expect = { before, head, requestDigest: toBase64Url(asked), responseDigest: toBase64Url(answered) }
  return [
    {
      id: '027c-session',
      page: 'session.md',
      expect: {
        typ: SESSION_TYP,
        digest: toBase64Url(await crypto.digest('SHA-256', payload)),
        signer: await thumbprint(publicOf(jobKey.jwk)),
        ...expect,
      },
      files: { 'payload.golden.json': payload, 'jws.golden.json': jws },
    },
    {
      id: '027d-session-file',
      page: 'session.md',
      expect: { sha256: toHex(await crypto.digest('SHA-256', file)) },
      files: { 'session.golden.json': file },
    },
  ]
}
