import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { simulatedAttester } from '../../../../src/host/attesters/sim.ts'
import { openDurableFiles } from '../../../../src/host/job/durable-files.ts'
import { Job } from '../../../../src/host/job/job.ts'
import { checkOffer } from '../../../../src/host/job/offer.ts'
import { Outbox } from '../../../../src/host/job/outbox.ts'
import type { Release } from '../../../../src/host/job/read-release.ts'
import type { Attested } from '../../../../src/host/job/release-rules.ts'
import { countersignGeneralJws, generateKemKey, type KemKey } from '../../../../src/seal/index.ts'
import { sevSnpTee } from '../../../../src/sim/index.ts'
import { fromHex, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { parseBinding } from '../../../../src/verify/documents/binding.ts'
import { bundleToJson, evidenceDigest } from '../../../../src/verify/documents/evidence-bundle.ts'
import { DEFAULT_HPKE_SUITE, hpkeKeyDigest } from '../../../../src/verify/documents/keys.ts'
import { encodeReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import { parseStatement, RECEIPT_TYP } from '../../../../src/verify/documents/statement.ts'
import { encodeCanonical } from '../../../../src/verify/formats/canonical-json.ts'
import { verifyGeneralJws } from '../../../../src/verify/formats/jws.ts'
import { verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { entryToJson, leafHash } from '../../../../src/verify/tlog/index.ts'
import { digestOf, gateway, log, submitterThumbprint, T0 } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { TestLog } from '../../../support/log.ts'
import { MEASUREMENT, platform, sampleTrust } from '../../../support/receipt-builder.ts'
import { FakeClock, FakeRunner, FakeTransfers, wholeRoom } from '../fakes.ts'
import { makeRelease, makeScene, type ReleaseChanges, random, type Scene } from '../support.ts'

/** What a gateway that accepts the evidence says of it. */
const ear = encodeCanonical({
  profile: 'tag:ietf.org,2026:rats/ear#01',
  verifier: 'sealgate/0.1.0',
  iat: T0,
  status: 'affirming',
  tee: 'sev-snp',
  measurement: MEASUREMENT,
  bindingGrade: 'committed',
  simulated: true,
})

let recipient: KemKey
let scene: Scene
beforeAll(async () => {
  recipient = await generateKemKey(DEFAULT_HPKE_SUITE, random)
  const recipients = [await hpkeKeyDigest(recipient.publicKey)]
  scene = await makeScene({ contract: { recipients: [recipient.publicKey] }, grant: { recipients } })
})

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'receipt-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

interface Course {
  /** Null: none ever comes. */
  readonly release: ReleaseChanges | null
  readonly spoilData?: boolean
}

/** Runs a job with simulated evidence, then does the gateway's part: countersign, log, put the file together. */
async function receiptOf({ release: changes, spoilData }: Course): Promise<{ file: Uint8Array; type: string; code: string | null }> {
  const theLog = new TestLog(log)
  await theLog.fill(3)
  const checkpoint = await theLog.checkpoint(T0 - 30)
  const ownerNonce = testBytes('owner nonce', 32)
  const transfers = new FakeTransfers()
  const header = scene.contract.inputs[0]?.header ?? ''
  transfers.headers.set(header, scene.header)
  transfers.files.set(header, spoilData ? scene.file.map((b, i) => (i === scene.file.length - 1 ? b ^ 1 : b)) : scene.file)
  const outbox = await Outbox.open(await openDurableFiles(folder))
  const offer = {
    jobId: scene.contract.jobId,
    contract: scene.contractJws,
    ownerNonces: [ownerNonce],
    checkpoint,
    kemSuite: DEFAULT_HPKE_SUITE,
  }
  const job = await Job.begin(
    await checkOffer(offer, {
      runner: 'wasm',
      isolations: ['sealgate-wasm-v1'],
      tee: 'sev-snp',
      region: null,
      gpus: 0,
      memoryBytes: 2 ** 40,
    }),
    {
      attester: simulatedAttester(sevSnpTee(platform), fromHex(MEASUREMENT)),
      runner: new FakeRunner((inputs) => ({ outputs: { 'copy.csv': inputs.get('data.csv') ?? new Uint8Array() } })),
      transfers,
      outbox,
      clock: new FakeClock(),
      logger: pino({ enabled: false }),
      config: utf8('{"v":1}'),
      agent: 'sealgate/0.1.0',
      releaseWaitMs: 1000,
      room: wholeRoom,
      onProgress: () => {},
      dialService: () => Promise.reject(new Error('no service here')),
    },
  )
  const binding = parseBinding(job.evidence.binding)
  const attested: Attested = {
    job: scene.job,
    contract: scene.contract,
    submitter: submitterThumbprint,
    bindingDigest: await digestOf(job.evidence.binding),
    evidenceDigest: await evidenceDigest(job.evidence),
    kem: binding.kem,
    kemDigest: await hpkeKeyDigest(binding.kem),
    simulated: true,
  }
  const release: Release | null =
    changes === null ? null : await makeRelease(scene, attested, { log: theLog, release: { ear }, ...changes })
  if (release === null) job.cancel('the gateway cancelled the job')
  else job.release(() => release)
  await job.ended

  const signed = outbox.pending[0]?.receipt ?? new Uint8Array()
  const receipt = await countersignGeneralJws(signed, RECEIPT_TYP, gateway.jwk)
  const { predicate } = parseStatement((await verifyGeneralJws(receipt, RECEIPT_TYP, 'receipt')).payload)
  const salt = testBytes('ending salt', 32)
  const parts = release?.parts ?? []
  const ends = await Promise.all(parts.map(async ({ entry }) => toBase64Url(await leafHash(entry.leaf))))
  const index = await theLog.append({ type: predicate.type, tags: [], ends, deadline: null }, salt, receipt)
  const ending = await theLog.prove(index, salt, await theLog.checkpoint(T0 + 40))
  const file = encodeReceiptFile({
    v: 1,
    type: 'sealgate/receipt-file/v1',
    receipt: toBase64Url(receipt),
    contract: toBase64Url(scene.contractJws),
    grants: [toBase64Url(scene.grant)],
    policies: [toBase64Url(scene.policy)],
    headers: [toBase64Url(scene.header)],
    intents: parts.map((part) => toBase64Url(part.intent)),
    evidence: bundleToJson(job.evidence),
    ownerNonces: [toBase64Url(ownerNonce)],
    nonceCheckpoint: checkpoint,
    endorsements: [toBase64Url(platform.root.certificate)],
    log: { releases: parts.map((part) => entryToJson(part.entry)), ending: entryToJson(ending) },
  })
  return { file, type: predicate.type, code: predicate.outcome.code }
}

describe('what the agent signs makes a receipt that verifies offline', () => {
  const courses: [string, Course, { type: string; code: string | null }][] = [
    ['of an execution', { release: {} }, { type: 'execution', code: null }],
    ['of a refusal after the release was verified', { release: {}, spoilData: true }, { type: 'refusal', code: 'SEGMENT_INVALID' }],
    ['of a refusal of a release that could not be verified', { release: { keys: () => [] } }, { type: 'refusal', code: 'UNWRAP_FAILED' }],
    ['of a job that was cancelled before any release', { release: null }, { type: 'refusal', code: 'CANCELLED' }],
  ]
  for (const [name, course, want] of courses) {
    it(name, async () => {
      const { file, ...got } = await receiptOf(course)
      expect(got).toEqual(want)
      const verdict = await verifyReceiptFile(file, { trust: sampleTrust })
      expect(verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true)).toEqual([])
      expect(verdict.decision).toBe('accept')
    })
  }
})
