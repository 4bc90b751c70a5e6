import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  type AttestRequest,
  attest,
  INTERMEDIATE_SERIAL,
  issueSimulatedPlatform,
  type ReportFault,
  reissueCrl,
  reissueIntermediate,
  reissueVek,
  type SimulatedPlatform,
} from '../../../../../src/sim/index.ts'
import { fromHex } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import { simulatedPlatform } from '../../../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const keys = { root: platform.root.key, intermediate: platform.intermediate.key, vek: platform.vek.key }
const reportData = new Uint8Array(64).fill(7)
const measurement = new Uint8Array(48).fill(9)
const at = new Date('2026-06-01T00:00:00Z')
const window = { notBefore: new Date('2026-01-01T00:00:00Z'), notAfter: new Date('2035-01-01T00:00:00Z') }
const crlWindow = { thisUpdate: window.notBefore, nextUpdate: window.notAfter }
const foreignP384 = new Uint8Array(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'der', type: 'pkcs8' }))
const foreignRsa = new Uint8Array(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'der', type: 'pkcs8' }))
/** SP 800-186, section 3.2.1.4. */
const ORDER_P384 = fromHex('ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973')
const cache = createVerifyCache()

function verify(
  p: SimulatedPlatform,
  request: Partial<AttestRequest> = {},
  options: Partial<VerifyOptions> = {},
  fault?: ReportFault,
): Promise<EvidenceVerdict> {
  const { report, endorsements } = attest(p, { reportData, measurement, ...request }, fault)
  return verifyEvidence(report, {
    format: 'sev-snp',
    collateral: endorsements,
    trustAnchors: [p.root.certificate],
    at,
    allowUnknown: [],
    cache,
    ...options,
  })
}

/** Exit code and rules that are not passed. */
function refusal(verdict: EvidenceVerdict): { exit: number; rules: readonly string[] } {
  return { exit: exitCodeOf(verdict.checks), rules: verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule) }
}

async function issue(product: SimulatedPlatform['product'], signingKey: SimulatedPlatform['signingKey']): Promise<SimulatedPlatform> {
  return issueSimulatedPlatform(keys, { at: window.notBefore, product, signingKey })
}

describe('simulated SEV-SNP evidence', () => {
  it.each([
    ['Milan', 'VCEK', 2],
    ['Milan', 'VLEK', 3],
    ['Genoa', 'VCEK', 3],
    ['Genoa', 'VLEK', 4],
    ['Turin', 'VCEK', 5],
    ['Turin', 'VLEK', 5],
  ] as const)(
    'of %s signed by its %s, version %i, is accepted by the strict default and says that it is simulated',
    async (product, signingKey, version) => {
      const verdict = await verify(await issue(product, signingKey), { version }, { nonce: reportData, measurement })
      expect(refusal(verdict).rules).toEqual([])
      if (verdict.decision !== 'accept') throw new Error('not accepted')
      expect(verdict.claims).toMatchObject({ tee: 'sev-snp', simulated: true, debug: false, product, signingKey, version })
      expect(verdict.notChecked).toEqual([])
    },
  )

  it('is never accepted without its root, and never under another', async () => {
    const other = await issueSimulatedPlatform({ ...keys, root: keys.intermediate, intermediate: keys.root }, { at: window.notBefore })
    for (const trustAnchors of [[], [other.root.certificate]]) {
      expect(refusal(await verify(platform, {}, { trustAnchors }))).toEqual({ exit: 4, rules: ['chain.issuer'] })
    }
  })

  it('is not accepted when its root comes with the evidence', async () => {
    const collateral = [platform.vek.certificate, platform.intermediate.certificate, platform.root.certificate, platform.crl]
    expect(refusal(await verify(platform, {}, { trustAnchors: [], collateral })).rules).toEqual(['chain.issuer'])
  })

  it('that hides its chip is for its reader to accept: the certificate alone names it then', async () => {
    const masked = { chipId: new Uint8Array(64) }
    const verdict = await verify(platform, masked)
    expect(refusal(verdict)).toEqual({ exit: 5, rules: ['policy.masked-chip-id'] })
    expect(verdict.authentic).toBe(true)
    expect(refusal(await verify(platform, masked, { sevSnp: { acceptMaskedChipId: true } })).rules).toEqual([])
    expect((await verify(platform, masked, { allowUnknown: ['policy'] })).decision).toBe('accept')
  })
})

describe('a report', () => {
  it.each([
    ['signature', 4, ['signature.report']],
    ['signature-padding', 3, ['format.well-formed']],
    ['reserved', 3, ['format.well-formed']],
    ['unsigned-tail', 3, ['format.well-formed']],
    ['truncated', 3, ['format.well-formed']],
    ['trailing', 3, ['format.well-formed']],
  ] as const)('with the fault %s is rejected', async (fault, exit, rules) => {
    expect(refusal(await verify(platform, {}, {}, fault))).toEqual({ exit, rules })
  })

  const tcb = platform.tcb
  const higher = tcb.map((level, i) => (i === 6 ? level + 1 : level))
  it.each([
    ['version 1', { version: 1 }, 3, ['format.well-formed']],
    ['version 6', { version: 6 }, 3, ['format.well-formed']],
    ['another signature algorithm', { signatureAlgo: 0 }, 3, ['format.well-formed']],
    ['policy bit 17 clear', { policy: 0x10000n }, 3, ['format.well-formed']],
    ['a reserved policy bit', { policy: 0x30000n | (1n << 26n) }, 3, ['format.well-formed']],
    ['a reserved SIGNING_KEY', { keyInfo: 2 << 2 }, 3, ['format.well-formed']],
    ['reserved key info bits', { keyInfo: 1 << 5 }, 3, ['format.well-formed']],
    ['CPUID of another product', { cpuid: { family: 0x19, model: 1, stepping: 1 } }, 4, ['chain.product']],
    ['CPUID of an unknown product', { cpuid: { family: 0x1a, model: 0x50, stepping: 0 } }, 4, ['chain.product']],
    ['a TCB level that the certificate is not for', { reportedTcb: new Uint8Array(8) }, 4, ['chain.reported-tcb']],
    ['the id of another chip', { chipId: new Uint8Array(64).fill(1) }, 4, ['chain.chip-id']],
    ['SIGNING_KEY none', { keyInfo: 7 << 2 }, 4, ['chain.signing-key', 'signature.report']],
    ['SIGNING_KEY VLEK under a VCEK', { keyInfo: 1 << 2 }, 6, ['chain.vek', 'signature.report']],
    ['a TCB above the committed one', { committedTcb: new Uint8Array(8) }, 5, ['tcb.order']],
    ['a committed TCB above the current one', { committedTcb: higher }, 5, ['tcb.order']],
    ['debugging on', { policy: 0x30000n | (1n << 19n) }, 5, ['debug.guest-policy']],
    ['leave for a migration agent', { policy: 0x30000n | (1n << 18n) }, 5, ['policy.migrate-ma']],
    ['the mark of a host that asked for it', { vmpl: 0xffffffff }, 5, ['policy.vmpl']],
  ] as const)('with %s is rejected', async (_, request, exit, rules) => {
    expect(refusal(await verify(platform, request))).toEqual({ exit, rules })
  })

  it('signed by a key other than that of the certificate is rejected', async () => {
    const stolen = { ...platform, vek: { ...platform.vek, key: foreignP384 } }
    expect(refusal(await verify(stolen))).toEqual({ exit: 4, rules: ['signature.report'] })
  })

  it.each([
    ['R zero', 0x2a0, new Uint8Array(48)],
    ['S zero', 0x2e8, new Uint8Array(48)],
    ['R the order of the curve', 0x2a0, ORDER_P384],
    ['S the order of the curve', 0x2e8, ORDER_P384],
    ['S beyond it', 0x2e8, new Uint8Array(48).fill(255)],
  ])('with %s is rejected', async (_, offset, scalar) => {
    const { report, endorsements } = attest(platform, { reportData, measurement })
    report.set(scalar.toReversed(), offset)
    const options = {
      format: 'sev-snp',
      collateral: endorsements,
      trustAnchors: [platform.root.certificate],
      at,
      allowUnknown: [],
      cache,
    } as const
    expect(refusal(await verifyEvidence(report, options))).toEqual({ exit: 4, rules: ['signature.report'] })
  })

  it('of another time is rejected where a nonce is asked for; a shorter nonce is padded on the right', async () => {
    const padded = new Uint8Array(64)
    padded.set(fromHex('0102'))
    expect(refusal(await verify(platform, { reportData: padded }, { nonce: fromHex('0102') })).rules).toEqual([])
    expect(refusal(await verify(platform, {}, { nonce: fromHex('0102') }))).toEqual({ exit: 5, rules: ['freshness.nonce'] })
    expect(refusal(await verify(platform, {}, { nonce: new Uint8Array(65).fill(7) })).rules).toEqual(['freshness.nonce'])
    expect(refusal(await verify(platform, {}, { nonce: reportData.subarray(1) })).rules).toEqual(['freshness.nonce'])
  })

  it('of other software is rejected where a measurement is asked for', async () => {
    for (const wrong of [new Uint8Array(48).fill(8), measurement.subarray(1), new Uint8Array(64).fill(9)]) {
      expect(refusal(await verify(platform, {}, { measurement: wrong }))).toEqual({ exit: 5, rules: ['reference-values.measurement'] })
    }
  })

  it('below a floor is rejected, and so is a product without one', async () => {
    const minimumTcb = { Genoa: { snp: 25, microcode: 84 } }
    expect(refusal(await verify(platform, {}, { sevSnp: { minimumTcb } })).rules).toEqual([])
    for (const floor of [{ Genoa: { snp: 26 } }, { Genoa: { fmc: 1 } }, { Turin: { snp: 1 } }, {}]) {
      expect(refusal(await verify(platform, {}, { sevSnp: { minimumTcb: floor } }))).toEqual({ exit: 5, rules: ['tcb.minimum'] })
    }
  })

  it('of another VMPL is rejected where one is asked for', async () => {
    expect(refusal(await verify(platform, { vmpl: 2 }, { sevSnp: { vmpl: 2 } })).rules).toEqual([])
    expect(refusal(await verify(platform, { vmpl: 2 }, { sevSnp: { vmpl: 0 } }))).toEqual({ exit: 5, rules: ['policy.vmpl'] })
  })
})

describe('a VEK certificate', () => {
  const byIntermediate = { key: keys.intermediate, commonName: 'SIMULATED SEV-Genoa' }
  const spl = { blSPL: 10, teeSPL: 0, spl4: 0, spl5: 0, spl6: 0, spl7: 0, snpSPL: 25, ucodeSPL: 84 }
  const { ucodeSPL: _, ...withoutMicrocode } = spl

  it.each([
    ['that expired', { notAfter: new Date('2026-05-01T00:00:00Z') }, ['validity.vek']],
    ['of the future', { notBefore: new Date('2026-07-01T00:00:00Z') }, ['validity.vek']],
    ['for another TCB level', { spl: { ...spl, snpSPL: 24 } }, ['chain.reported-tcb']],
    ['for another chip', { hwId: new Uint8Array(64).fill(3) }, ['chain.chip-id']],
    ['without a level', { spl: withoutMicrocode }, ['chain.profile', 'signature.report']],
    ['with a level of Turin', { spl: { ...spl, fmcSPL: 1 } }, ['chain.profile', 'signature.report']],
    ['without hwID', { hwId: null }, ['chain.profile', 'signature.report']],
    ['with a hwID of another size', { hwId: new Uint8Array(8) }, ['chain.profile', 'signature.report']],
    ['of another structVersion', { structVersion: 1 }, ['chain.profile', 'signature.report']],
    ['of another product', { productName: 'Milan' }, ['chain.profile', 'signature.report']],
    ['whose product only begins alike', { productName: 'Genoa2' }, ['chain.profile', 'signature.report']],
    [
      'with a critical extension',
      { extra: [{ oid: '1.2.3.4', critical: true, value: fromHex('0500') }] },
      ['chain.profile', 'signature.report'],
    ],
    [
      'that is a certificate authority',
      { extra: [{ oid: '2.5.29.19', critical: false, value: fromHex('30030101ff') }] },
      ['chain.profile', 'signature.report'],
    ],
  ])('%s is rejected', async (_, change, rules) => {
    const broken = await reissueVek(platform, { ...window, ...change }, byIntermediate)
    expect(refusal(await verify(broken)).rules).toEqual(rules)
  })

  it('may wrap its hwID once more, and belong to a stepping', async () => {
    const wrapped = new Uint8Array([4, 64, ...platform.chipId])
    expect(
      refusal(await verify(await reissueVek(platform, { ...window, hwId: wrapped, productName: 'Genoa-B1' }, byIntermediate))).rules,
    ).toEqual([])
  })

  it('with an unknown name is not taken for one', async () => {
    for (const commonName of ['SEV-VCEK2', 'ARK-Genoa', 'sev-vcek', 'SIMULATED']) {
      const broken = await reissueVek(platform, { ...window, commonName }, byIntermediate)
      expect(refusal(await verify(broken))).toEqual({ exit: 6, rules: ['chain.vek', 'signature.report'] })
    }
  })

  it('in the place of the other kind is rejected', async () => {
    const vlek = await issue('Genoa', 'VLEK')
    const swapped = { ...vlek, vek: platform.vek }
    expect(refusal(await verify(swapped)).rules).toEqual(['chain.vek', 'signature.report'])
    const renamed = await reissueVek(platform, { ...window, commonName: 'SIMULATED SEV-VLEK' }, byIntermediate)
    expect(refusal(await verify(renamed, { keyInfo: 1 << 2 })).rules).toEqual(['chain.profile', 'signature.report'])
  })

  it('signed by a stranger of the same name leads to no root', async () => {
    const forged = await reissueVek(platform, window, { key: foreignRsa, commonName: 'SIMULATED SEV-Genoa' })
    expect(refusal(await verify(forged))).toEqual({ exit: 4, rules: ['chain.issuer'] })
  })

  it('signed by the root in place of an intermediate leads to no root', async () => {
    const direct = await reissueVek(platform, window, { key: keys.root, commonName: 'SIMULATED SEV-Genoa' })
    expect(refusal(await verify(direct)).rules).toEqual(['chain.issuer'])
  })

  it('of another chip beside the right one does no harm, whichever comes first', async () => {
    const neighbour = await reissueVek(platform, { ...window, hwId: new Uint8Array(64).fill(3) }, byIntermediate)
    const older = await reissueVek(platform, { ...window, spl: { ...spl, snpSPL: 20 } }, byIntermediate)
    const forged = await reissueVek(platform, window, { key: foreignRsa, commonName: 'SIMULATED SEV-Genoa' })
    const all = [forged, neighbour, older, platform].map((p) => p.vek.certificate)
    const rest = [platform.intermediate.certificate, platform.crl]
    for (const collateral of [
      [...all, ...rest],
      [...rest, ...all.reverse()],
    ]) {
      expect(refusal(await verify(platform, {}, { collateral })).rules).toEqual([])
    }
  })
})

describe('an intermediate', () => {
  it.each([
    ['that expired', { notAfter: new Date('2026-05-01T00:00:00Z') }, ['validity.issuer']],
    ['of the future', { notBefore: new Date('2026-07-01T00:00:00Z') }, ['validity.issuer']],
    ['of another name', { commonName: 'SIMULATED SEV-Milan' }, ['chain.issuer']],
  ])('%s is rejected', async (_, change, rules) => {
    expect(refusal(await verify(await reissueIntermediate(platform, { ...window, ...change }))).rules).toEqual(rules)
  })

  it('that a stranger signed leads to no root', async () => {
    const forged = await reissueIntermediate(platform, window, { key: foreignRsa, commonName: 'SIMULATED ARK-Genoa' })
    expect(refusal(await verify(forged)).rules).toEqual(['chain.issuer'])
  })

  it('that is missing leads to no root', async () => {
    const collateral = [platform.vek.certificate, platform.crl]
    expect(refusal(await verify(platform, {}, { collateral }))).toEqual({ exit: 4, rules: ['chain.issuer'] })
  })

  it('that the CRL lists is revoked, whatever is allowed', async () => {
    const revoked = await reissueCrl(platform, {
      ...crlWindow,
      revoked: [{ serial: INTERMEDIATE_SERIAL, at: new Date('2026-02-01T00:00:00Z') }],
    })
    const verdict = await verify(revoked, {}, { allowUnknown: ['revocation'] })
    expect(refusal(verdict)).toEqual({ exit: 4, rules: ['revocation.issuer'] })
    expect(verdict.authentic).toBe(false)
    expect(verdict.decision === 'reject' && verdict.error?.code).toBe('COLLATERAL_REVOKED')
  })
})

describe('a CRL', () => {
  const revokedAt = new Date('2026-02-01T00:00:00Z')
  const listed = [{ serial: INTERMEDIATE_SERIAL, at: revokedAt }]

  it('that is missing leaves revocation unknown, which rejects unless it is allowed', async () => {
    const collateral = [platform.vek.certificate, platform.intermediate.certificate]
    expect(refusal(await verify(platform, {}, { collateral }))).toEqual({ exit: 6, rules: ['revocation.issuer'] })
    expect((await verify(platform, {}, { collateral, allowUnknown: ['revocation'] })).decision).toBe('accept')
  })

  it.each([
    ['that is stale', { thisUpdate: window.notBefore, nextUpdate: new Date('2026-05-01T00:00:00Z') }],
    ['of the future', { thisUpdate: new Date('2026-07-01T00:00:00Z'), nextUpdate: window.notAfter }],
  ])('%s leaves revocation unknown', async (_, change) => {
    expect(refusal(await verify(await reissueCrl(platform, change)))).toEqual({ exit: 6, rules: ['revocation.issuer'] })
  })

  it('that is stale still shows what had been revoked by then', async () => {
    const stale = await reissueCrl(platform, {
      thisUpdate: window.notBefore,
      nextUpdate: new Date('2026-05-01T00:00:00Z'),
      revoked: listed,
    })
    expect(refusal(await verify(stale, {}, { allowUnknown: ['revocation'] }))).toEqual({ exit: 4, rules: ['revocation.issuer'] })
    const before = await verify(stale, {}, { at: new Date('2026-01-15T00:00:00Z'), allowUnknown: ['revocation'] })
    expect(refusal(before)).toEqual({ exit: 4, rules: ['revocation.issuer'] })
  })

  it('of the future counts from the time of the revocation on', async () => {
    const future = await reissueCrl(platform, {
      thisUpdate: new Date('2026-07-01T00:00:00Z'),
      nextUpdate: window.notAfter,
      revoked: listed,
    })
    const allow = { allowUnknown: ['revocation'] as const }
    expect((await verify(future, {}, { at: new Date('2026-01-15T00:00:00Z'), ...allow })).decision).toBe('accept')
    expect((await verify(future, {}, { at: revokedAt, ...allow })).decision).toBe('reject')
  })

  it('that a stranger signed is a forgery, whatever is allowed; beside a genuine one it is nothing', async () => {
    const forged = await reissueCrl(platform, crlWindow, { key: foreignRsa, commonName: 'SIMULATED ARK-Genoa' })
    const verdict = await verify(forged, {}, { allowUnknown: ['revocation'] })
    expect(refusal(verdict)).toEqual({ exit: 4, rules: ['signature.crl', 'revocation.issuer'] })
    const both = [platform.vek.certificate, platform.intermediate.certificate, forged.crl, platform.crl]
    expect(refusal(await verify(platform, {}, { collateral: both })).rules).toEqual([])
  })

  it('of another root says nothing about this one', async () => {
    const other = await reissueCrl(platform, { ...crlWindow, revoked: listed }, { key: foreignRsa, commonName: 'SIMULATED ARK-Milan' })
    expect(refusal(await verify(other))).toEqual({ exit: 6, rules: ['revocation.issuer'] })
  })

  it('that is damaged is malformed, not missing', async () => {
    const damaged = platform.crl.map((b, i) => (i === 5 ? 0xff : b))
    const verdict = await verify({ ...platform, crl: damaged }, {}, { allowUnknown: ['revocation'] })
    expect(refusal(verdict)).toEqual({ exit: 3, rules: ['format.well-formed'] })
  })
})
