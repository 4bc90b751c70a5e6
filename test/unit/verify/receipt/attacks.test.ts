import { describe, expect, it } from 'vitest'
import { issueFlattenedJws, publicOf } from '../../../../src/seal/jws.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { encodeGrant, GRANT_TYP } from '../../../../src/verify/documents/grant.ts'
import { encodeHeader } from '../../../../src/verify/documents/header.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { encodeReceiptFile, type ReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey } from '../../../../src/verify/tlog/index.ts'
import {
  digestOf,
  headerBytes,
  kemKey,
  log,
  ORIGIN,
  PURPOSE,
  policyBytes,
  sampleGrant,
  sampleHeader,
  samplePolicy,
  T0,
} from '../../../support/job-documents.ts'
import { noteSigner, testBytes, testKey } from '../../../support/keys.ts'
import { buildReceipt, DEFAULT_PLAN, type Plan, sampleTrust, simulatedReport } from '../../../support/receipt-builder.ts'

const OTHER = 'A'.repeat(43)
const stranger = testKey('stranger')
const keys = DEFAULT_PLAN.keys
const appraisal = samplePolicy().appraisal

async function verify(changes: Partial<Plan>, trust: TrustFile = sampleTrust): Promise<ReceiptVerdict> {
  return verifyReceiptFile((await buildReceipt(changes)).bytes, { trust })
}

/** Rules that failed, or the error that kept the file from being read. */
function failed(verdict: ReceiptVerdict): string[] {
  expect(verdict.decision).toBe('reject')
  if (verdict.decision === 'reject' && verdict.parsed === null) return [verdict.error?.code ?? 'none']
  return [...new Set(verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule))]
}

type Attack = readonly [name: string, changes: Partial<Plan>, rules: readonly string[]]

describe('a release against the rules of the owner is rejected:', () => {
  const attacks: readonly Attack[] = [
    ['expired grant', { grant: { expires: '2026-05-28T20:26:40Z' } }, ['freshness.grant-expiry']],
    ['grant that had not begun', { grant: { notBefore: '2026-05-28T20:26:41Z' } }, ['freshness.grant-begun']],
    ['wrong recipient', { contract: { recipients: [kemKey('thief')] } }, ['policy.grant-recipients']],
    ['one recipient too many', { grant: { recipients: [] } }, ['policy.grant-recipients']],
    ['tampered argv', { contract: { argv: ['classify', '--threshold', '0.5', '--dump'] } }, ['policy.grant-argv']],
    ['tampered environment', { grant: { env: { LANG: 'de' } } }, ['policy.grant-env']],
    ['another image', { grant: { images: [{ runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` }] } }, ['policy.grant-image']],
    ['stranger as submitter', { keys: { ...keys, submitter: stranger } }, ['policy.grant-submitter']],
    ['another purpose', { contract: { purpose: 'https://w3id.org/dpv#Marketing' } }, ['policy.grant-purpose', 'policy.data-purpose']],
    [
      'data not collected for the purpose',
      { grant: { purposes: ['https://w3id.org/dpv#Marketing', PURPOSE] }, contract: { purpose: 'https://w3id.org/dpv#Marketing' } },
      ['policy.data-purpose'],
    ],
    [
      'grant for another dataset',
      { grant: { datasets: [OTHER] } },
      ['policy.grant-dataset', 'policy.grant-coverage', 'binding.intent-datasets'],
    ],
    [
      'grant signed by a stranger',
      { keys: { ...keys, owner: stranger } },
      ['policy.grant-owner', 'policy.grant-coverage', 'policy.intent-signer', 'binding.releasers', 'policy.trusted-owner'],
    ],
    ['data of another owner', { header: { owner: OTHER } }, ['policy.grant-owner', 'policy.grant-coverage', 'policy.trusted-owner']],
    [
      'other policy than the grant names',
      { grant: { policy: OTHER } },
      ['policy.grant-policy', 'policy.contract-policies', 'freshness.release-time'],
    ],
    ['place that the contract does not bind itself to', { grant: { jurisdictions: ['EU'] } }, ['policy.grant-jurisdiction']],
    ['grant without uses', { grant: { uses: 0 } }, ['policy.grant-uses', 'policy.intent-uses']],
    ['contract out of date', { contract: { notAfter: '2026-05-28T20:26:40Z' } }, ['freshness.contract']],
    ['runner that the policy does not allow', { policy: { runners: ['docker'] } }, ['policy.runner']],
    ['suite that the policy does not allow', { policy: { suites: ['DHKEM-P384,HKDF-SHA384,AES-256-GCM'] } }, ['policy.suite']],
    [
      'isolation weaker than the policy asks for',
      { policy: { minimumGrades: { ...samplePolicy().minimumGrades, isolation: 'gvisor' } } },
      ['policy.isolation-grade'],
    ],
    [
      'isolation profile of another runner',
      { contract: { isolation: 'sealgate-container-v1' } },
      ['signature.isolation', 'policy.isolation'],
    ],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect(failed(await verify(changes))).toEqual(rules)
  })
})

describe('an enclave that the policy does not want is rejected:', () => {
  const attacks: readonly Attack[] = [
    [
      'wrong measurement',
      { policy: { appraisal: { ...appraisal, measurements: [{ tee: 'sev-snp', value: 'cd'.repeat(48) }] } } },
      ['reference-values.measurement'],
    ],
    ['simulated evidence', { policy: { appraisal: { ...appraisal, allowSimulated: false } } }, ['policy.simulated']],
    ['TEE that is not listed', { policy: { appraisal: { ...appraisal, tees: ['tdx'] } } }, ['policy.tee']],
    [
      'TEE that the submitter excluded',
      { contract: { constraints: { tees: ['tdx'], gpuModel: null, region: null, maxLatencyMs: null, maxPricePerHour: null } } },
      ['policy.contract-tee'],
    ],
    ['no GPU where one was asked for', { contract: { resources: { gpus: 1 } } }, ['policy.contract-gpus']],
    ['higher binding grade demanded', { policy: { minimumGrades: { binding: 'link', placement: 'none' } } }, ['policy.binding-grade']],
    ['placement demanded', { policy: { minimumGrades: { binding: 'none', placement: 'facility-signed' } } }, ['policy.placement-grade']],
    ['collateral too old', { policy: { maximumAge: { checkpointSeconds: 600, collateralSeconds: 60 } } }, ['freshness.collateral-age']],
    ['report in debug mode', { report: (binding) => debugReport(binding) }, ['debug.guest-policy']],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect(failed(await verify(changes))).toEqual(rules)
  })

  async function debugReport(binding: Uint8Array): Promise<Uint8Array> {
    const { attest } = await import('../../../../src/sim/index.ts')
    const { createHash } = await import('node:crypto')
    const reportData = new Uint8Array(createHash('sha512').update(binding).digest())
    return attest(DEFAULT_PLAN.platform, { reportData, measurement: new Uint8Array(48).fill(0xab), policy: 0xb0000n }).report
  }
})

describe('evidence that is not of this job is rejected:', () => {
  const attacks: readonly Attack[] = [
    ['report over another binding', { report: () => simulatedReport(testBytes('another binding', 99)) }, ['binding.report-data']],
    [
      'report whose measurement the statement gets wrong',
      { report: (b) => simulatedReport(b, DEFAULT_PLAN.platform, 'cd'.repeat(48)) },
      ['reference-values.measurement', 'binding.ear'],
    ],
    ['old nonce', { binding: { nonce: toBase64Url(testBytes('old nonce', 32)) } }, ['freshness.binding-nonce']],
    ['another job', { binding: { job: OTHER } }, ['binding.job']],
    ['role of a host', { binding: { role: 'host', job: null } }, ['binding.role', 'binding.job']],
    ['another configuration', { binding: { config: OTHER } }, ['binding.config']],
    ['devices that nobody verified', { binding: { devices: [{ type: 'gpu', report: OTHER }] } }, ['binding.devices']],
    ['key that the binding does not hold', { binding: { sig: { alg: 'Ed25519', publicKey: stranger.jwk.x } } }, ['binding.job-key']],
    ['intent for another key', { intent: { kem: OTHER } }, ['binding.intent-key']],
    ['intent for another binding', { intent: { binding: OTHER } }, ['binding.intent-binding']],
    ['intent for other evidence', { intent: { evidence: OTHER } }, ['binding.intent-evidence']],
    ['intent for another job', { intent: { job: OTHER } }, ['binding.intent-job']],
    ['intent for another dataset', { intent: { datasets: [OTHER] } }, ['binding.intent-datasets']],
    ['intent under other grants', { intent: { grants: [OTHER] } }, ['binding.intent-grants']],
    ['intent under other policies', { intent: { policies: [OTHER] } }, ['binding.intent-policies']],
    ['intent by a stranger', { keys: { ...keys, releaser: stranger } }, ['policy.intent-signer', 'binding.releasers']],
    ['statement that hides the simulation', { predicate: { simulated: false } }, ['binding.simulated']],
    [
      'endorsement that nobody signed',
      { endorsements: [DEFAULT_PLAN.platform.vek.certificate.map((b, i, a) => (i === a.length - 1 ? b ^ 1 : b))] },
      ['signature.endorsements'],
    ],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect(failed(await verify(changes))).toEqual(rules)
  })

  it('a verdict of the gateway that says more than the evidence', async () => {
    const { predicate } = JSON.parse(new TextDecoder().decode((await buildReceipt()).documents.statement)) as {
      predicate: Plan['predicate']
    }
    for (const change of [{ tee: 'tdx' }, { measurement: null }, { simulated: false }, { bindingGrade: 'link' }]) {
      const ear = { ...predicate.ear, ...change } as NonNullable<Plan['predicate']['ear']>
      expect(failed(await verify({ predicate: { ear } }))).toEqual(['binding.ear'])
    }
    const ear = { ...predicate.ear, status: 'warning' } as NonNullable<Plan['predicate']['ear']>
    expect(failed(await verify({ predicate: { ear } }))).toEqual(['policy.ear'])
    expect(failed(await verify({ predicate: { ear: null } }))).toEqual(['policy.ear'])
  })
})

describe('a statement that contradicts its documents is rejected:', () => {
  const attacks: readonly Attack[] = [
    ['another job', { predicate: { job: OTHER } }, ['signature.job']],
    ['another job id', { predicate: { jobId: 'A'.repeat(22) } }, ['signature.contract']],
    ['another attempt', { predicate: { attempt: 2 } }, ['signature.contract']],
    ['another image', { predicate: { image: { runner: 'wasm', digest: `sha256:${'00'.repeat(32)}` } } }, ['signature.contract']],
    ['other inputs', { predicate: { inputs: [{ name: 'data.csv', header: OTHER, root: OTHER }] } }, ['signature.contract']],
    ['other grants', { predicate: { grants: [OTHER] } }, ['signature.grants']],
    ['no grants', { predicate: { grants: [] } }, ['signature.grants']],
    ['other policies', { predicate: { policies: [OTHER] } }, ['signature.stated-policies']],
    ['other legal context', { predicate: { legal: [] } }, ['signature.legal']],
    ['another binding', { predicate: { binding: OTHER } }, ['signature.binding']],
    ['other evidence', { predicate: { evidence: OTHER } }, ['signature.evidence']],
    ['no evidence', { predicate: { evidence: null } }, ['format.stated-evidence', 'signature.evidence']],
    [
      'another place in the log',
      { predicate: { releases: [{ leafHash: OTHER, index: 7, treeSize: 9, time: T0 }] } },
      ['signature.releases'],
    ],
    ['no release', { predicate: { releases: [] } }, ['format.timing', 'signature.releases']],
    [
      'success that is an outcome of nothing',
      { ending: 'lost', predicate: { outcome: { kind: 'succeeded', exitCode: 0, code: null, reason: 'done' } } },
      ['signature.results', 'signature.outcome'],
    ],
    [
      'refusal as outcome of a run',
      { predicate: { outcome: { kind: 'refused', exitCode: null, code: null, reason: 'no' } } },
      ['signature.outcome'],
    ],
    [
      'isolation of another grade',
      { predicate: { isolation: { runner: 'wasm', profile: 'sealgate-wasm-v1', profileDigest: OTHER, grade: 'container' } } },
      ['signature.isolation'],
    ],
    ['no isolation', { predicate: { isolation: null } }, ['format.isolation']],
    ['no usage', { predicate: { usage: null } }, ['format.usage']],
    ['no timing', { predicate: { timing: null } }, ['format.timing']],
    [
      'outputs of a refusal',
      { ending: 'refusal-released', predicate: { outputs: [{ commitment: OTHER }] } },
      ['format.outputs', 'signature.results'],
    ],
    ['end before the release', { predicate: { timing: { notBefore: T0 - 1, notAfter: T0 + 39 } } }, ['freshness.timing-begin']],
    ['end after the entry about it', { predicate: { timing: { notBefore: T0 + 41, notAfter: T0 + 50 } } }, ['freshness.timing-end']],
    ['bounds the wrong way round', { predicate: { timing: { notBefore: T0 + 5, notAfter: T0 + 4 } } }, ['freshness.timing-bounds']],
    [
      'absurd times',
      { predicate: { timing: { notBefore: Number.MAX_SAFE_INTEGER, notAfter: 0 } } },
      ['freshness.timing-end', 'freshness.timing-bounds'],
    ],
    [
      'contract as result of a success',
      { statement: { subject: [{ name: 'contract', digest: { sha256: 'ab'.repeat(32) } }] } },
      ['signature.subject', 'signature.results'],
    ],
    [
      'unknown subject',
      { statement: { subject: [{ name: 'results.tar', digest: { sha256: 'ab'.repeat(32) } }] } },
      ['signature.subject', 'signature.results'],
    ],
    [
      'results of a refusal',
      { ending: 'refusal-released', statement: { subject: [{ name: 'results.sealed', digest: { sha256: 'ab'.repeat(32) } }] } },
      ['signature.subject'],
    ],
    [
      'two results',
      { statement: { subject: Array.from({ length: 2 }, () => ({ name: 'results.sealed', digest: { sha256: 'ab'.repeat(32) } })) } },
      ['signature.subject'],
    ],
    ['simulation without evidence', { ending: 'refusal-early', predicate: { simulated: true } }, ['binding.simulated']],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect(failed(await verify(changes))).toEqual(rules)
  })
})

describe('signatures that are not those of agent and gateway are rejected:', () => {
  const attacks: readonly Attack[] = [
    ['only the gateway signed a run', { signers: [keys.gateway] }, ['format.signatures', 'format.timing']],
    ['only the agent signed', { signers: [keys.job] }, ['format.signatures', 'format.timing', 'policy.trusted-gateway']],
    ['wrong order', { signers: [keys.gateway, keys.job] }, ['binding.job-key', 'policy.trusted-gateway']],
    ['job key replaced', { signers: [stranger, keys.gateway] }, ['binding.job-key']],
    ['unknown gateway', { signers: [keys.job, stranger] }, ['policy.trusted-gateway']],
    ['gateway in both places', { signers: [keys.gateway, keys.gateway] }, ['JWS_MALFORMED']],
    ['a third signature', { signers: [keys.job, stranger, keys.gateway] }, ['JWS_MALFORMED']],
    ['agent signs that it is lost', { ending: 'lost', signers: [keys.job, keys.gateway] }, ['format.signatures', 'format.timing']],
    [
      'gateway plays the agent of an early refusal',
      { ending: 'refusal-early', signers: [stranger, keys.gateway] },
      ['format.evidence', 'signature.grants', 'signature.legal'],
    ],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect(failed(await verify(changes))).toEqual(rules)
  })

  it('a signature taken out of the file', async () => {
    const { file } = await buildReceipt()
    const jws = JSON.parse(Buffer.from(file.receipt, 'base64url').toString()) as { payload: string; signatures: unknown[] }
    for (const signatures of [jws.signatures.slice(1), jws.signatures.slice(0, 1), jws.signatures.toReversed()]) {
      const receipt = toBase64Url(new TextEncoder().encode(JSON.stringify({ payload: jws.payload, signatures })))
      const rules = failed(await verifyReceiptFile(encodeReceiptFile({ ...file, receipt }), { trust: sampleTrust }))
      expect(rules).toContain('signature.log-ending')
    }
  })
})

describe('a job of two owners', () => {
  it('that ran on the release of one alone is rejected', async () => {
    const other = encodeHeader(sampleHeader({ owner: await thumbprint(publicOf(stranger.jwk)), datasetId: `${'B'.repeat(21)}A` }))
    const [first, second] = [await digestOf(headerBytes), await digestOf(other)]
    const theirs = encodeGrant(await sampleGrant(other, policyBytes))
    const jws = await issueFlattenedJws(theirs, GRANT_TYP, stranger.jwk)
    const own = await digestOf((await buildReceipt()).documents.grant)
    const inputs = [first, second].map((header, i) => ({ name: `${i}.csv`, header, root: OTHER }))
    const turned = own > (await digestOf(theirs))
    const verdict = await verify({
      contract: { inputs },
      intent: { datasets: [first] },
      predicate: { grants: [own, await digestOf(theirs)].sort(), legal: [sampleHeader().legal, sampleHeader().legal] },
      file: (file) => ({
        ...file,
        grants: turned ? [toBase64Url(jws), ...file.grants] : [...file.grants, toBase64Url(jws)],
        headers: [...file.headers, toBase64Url(other)],
        ownerNonces: [...file.ownerNonces, ...file.ownerNonces],
      }),
    })
    // The nonce of the one owner is not in the evidence either.
    expect(failed(verdict).sort()).toEqual(['binding.releasers', 'freshness.binding-nonce', 'policy.trusted-owner'])
  })
})

describe('a log that does not bear the receipt out is rejected:', () => {
  const liar = noteSigner(ORIGIN, 'lying log')
  const attacks: readonly Attack[] = [
    [
      'wrong log',
      { log: liar, cosigners: [liar] },
      ['signature.log-ending', 'signature.log-release', 'signature.nonce-checkpoint', 'freshness.release-time'],
    ],
    [
      'log without a time',
      { cosigners: [] },
      ['signature.log-ending', 'signature.log-release', 'signature.nonce-checkpoint', 'freshness.release-time'],
    ],
    ['ending of another type', { endingLeaf: { type: 'refusal' } }, ['signature.ending-type']],
    ['ending that ends nothing', { endingLeaf: { ends: [] } }, ['signature.ending-ends']],
    ['ending of another release', { endingLeaf: { ends: [OTHER] } }, ['signature.ending-ends']],
    ['ending with tags of its own', { endingLeaf: { tags: [OTHER] } }, ['signature.ending-leaf']],
    ['ending with a deadline', { endingLeaf: { deadline: '2026-05-28T21:00:00Z' } }, ['signature.ending-leaf']],
    ['release entry of another type', { releaseLeaf: { type: 'onboard' } }, ['binding.leaf-type']],
    ['release entry without its tag', { releaseLeaf: { tags: [] } }, ['binding.leaf-tags']],
    ['release entry with another tag', { releaseLeaf: { tags: [OTHER] } }, ['binding.leaf-tags']],
    ['release entry with a later deadline', { releaseLeaf: { deadline: '2026-05-29T21:00:00Z' } }, ['binding.leaf-deadline']],
    [
      'release entry about another document',
      { releaseLeaf: { commitment: OTHER } },
      ['signature.log-release', 'freshness.release-time', 'signature.ending-ends'],
    ],
    ['receipt entry about another document', { endingLeaf: { commitment: OTHER } }, ['signature.log-ending']],
    ['deadline missed', { times: { nonce: T0 - 30, release: T0, ending: T0 + 7200 } }, ['freshness.deadline-kept']],
    ['deadline before the release', { intent: { deadline: '2026-05-28T20:26:40Z' } }, ['freshness.deadline-kept', 'freshness.deadline']],
    [
      'ending before the release',
      { times: { nonce: T0 - 30, release: T0, ending: T0 - 1 } },
      ['freshness.ending-time', 'freshness.timing-end'],
    ],
    ['stale checkpoint in the nonce', { times: { nonce: T0 - 601, release: T0, ending: T0 + 40 } }, ['freshness.checkpoint-age']],
    [
      'checkpoint in the nonce from after the release',
      { times: { nonce: T0 + 1, release: T0, ending: T0 + 40 } },
      ['freshness.nonce-time'],
    ],
  ]
  it.each(attacks)('%s', async (_, changes, rules) => {
    expect([...failed(await verify(changes))].sort()).toEqual([...rules].sort())
  })

  it('a late ending is what a lost job looks like', async () => {
    const times = { nonce: T0 - 30, release: T0, ending: T0 + 7200 }
    expect((await verify({ ending: 'lost', times })).decision).toBe('accept')
  })

  type Log = ReceiptFile['log']
  const swaps: readonly (readonly [string, (release: Log['ending'], ending: Log['ending']) => Log])[] = [
    [
      'proofs swapped',
      (release, ending) => ({ releases: [{ ...release, proof: ending.proof }], ending: { ...ending, proof: release.proof } }),
    ],
    ['entries swapped', (release, ending) => ({ releases: [ending], ending: release })],
    [
      'checkpoints swapped',
      (release, ending) => ({
        releases: [{ ...release, checkpoint: ending.checkpoint }],
        ending: { ...ending, checkpoint: release.checkpoint },
      }),
    ],
    ['index one off', (release, ending) => ({ releases: [release], ending: { ...ending, index: ending.index + 1 } })],
    ['no proof', (release, ending) => ({ releases: [{ ...release, proof: [] }], ending })],
    ['proof one hash longer', (release, ending) => ({ releases: [{ ...release, proof: [...release.proof, OTHER] }], ending })],
    ['salt of the other entry', (release, ending) => ({ releases: [release], ending: { ...ending, salt: release.salt } })],
    ['release left out', (_, ending) => ({ releases: [], ending })],
    ['release twice', (release, ending) => ({ releases: [release, release], ending })],
  ]
  it.each(swaps)('%s', async (_, swap) => {
    expect(
      failed(await verify({ file: (file) => ({ ...file, log: swap(file.log.releases[0] ?? file.log.ending, file.log.ending) }) })).length,
    ).toBeGreaterThan(0)
  })
})

describe('witnesses', async () => {
  const witnesses = ['w1.example', 'w2.example', 'w3.example'].map((name) => noteSigner(name))
  const all = (
    await Promise.all(witnesses.map((w) => encodeVerifierKey({ name: w.name, type: COSIGNATURE_ED25519, publicKey: w.publicKey })))
  ).sort()
  const policy = { witnessing: { mode: 'quorum', k: 2, keys: all } } as const
  const trust = { ...sampleTrust, witnesses: all }

  it('in a quorum bear a receipt out', async () => {
    const verdict = await verify({ policy, cosigners: witnesses.slice(0, 2) }, trust)
    expect(verdict.decision === 'accept' && verdict.claims.log?.witnesses).toBe('2 of 3')
  })

  it('too few reject it', async () => {
    expect(failed(await verify({ policy, cosigners: [log, ...witnesses.slice(0, 1)] }, trust))).toContain('signature.log-release')
  })

  it('that the trust file does not know do not count, even if the policy names them', async () => {
    const two = { ...trust, witnesses: all.slice(0, 2) }
    const third = witnesses.filter((w) => !two.witnesses.some((k) => k.startsWith(`${w.name}+`)))
    const known = witnesses.filter((w) => !third.includes(w))
    expect((await verify({ policy, cosigners: known }, two)).decision).toBe('accept')
    expect(failed(await verify({ policy, cosigners: [...known.slice(0, 1), ...third] }, two))).toContain('signature.log-release')
  })

  it('of whom the trust file knows too few leave the signers unknown', async () => {
    const verdict = await verify({ policy, cosigners: witnesses }, { ...trust, witnesses: all.slice(0, 1) })
    expect(failed(verdict)).toEqual(['policy.trusted-witnesses'])
    expect(verdict).toMatchObject({ error: { code: 'SIGNER_UNKNOWN' } })
  })
})

describe('two receipts spliced', () => {
  it('are rejected, whichever member was taken from the other', async () => {
    const a = await buildReceipt()
    const b = await buildReceipt({
      header: { datasetId: `${'B'.repeat(21)}A` },
      policy: { maximumAge: { checkpointSeconds: 601, collateralSeconds: 7_776_000 } },
      contract: { jobId: `${'B'.repeat(21)}A` },
      grant: { grantId: `${'B'.repeat(21)}A` },
      times: { nonce: T0 - 29, release: T0, ending: T0 + 41 },
    })
    expect((await verifyReceiptFile(b.bytes, { trust: sampleTrust })).decision).toBe('accept')
    const members = ['receipt', 'contract', 'grants', 'policies', 'headers', 'intents', 'evidence', 'nonceCheckpoint', 'log'] as const
    for (const member of members) {
      expect(a.file[member], member).not.toEqual(b.file[member])
      const spliced = encodeReceiptFile({ ...a.file, [member]: b.file[member] })
      expect((await verifyReceiptFile(spliced, { trust: sampleTrust })).decision, member).toBe('reject')
    }
  })

  it('are rejected with any member left out', async () => {
    const { file } = await buildReceipt()
    const without: readonly Partial<ReceiptFile>[] = [
      { grants: [] },
      { policies: [] },
      { headers: [] },
      { intents: [] },
      { evidence: null },
      { ownerNonces: [] },
      { nonceCheckpoint: null },
    ]
    for (const change of without) {
      const verdict = await verifyReceiptFile(encodeReceiptFile({ ...file, ...change }), { trust: sampleTrust })
      expect(verdict.decision, Object.keys(change)[0]).toBe('reject')
    }
  })

  it('are rejected with a member doubled', async () => {
    const { file } = await buildReceipt()
    for (const member of ['grants', 'policies', 'headers', 'ownerNonces'] as const) {
      const doubled = encodeReceiptFile({ ...file, [member]: [...file[member], ...file[member]] })
      expect((await verifyReceiptFile(doubled, { trust: sampleTrust })).decision, member).toBe('reject')
    }
  })
})
