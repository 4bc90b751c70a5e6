import { describe, expect, it } from 'vitest'
import { type AttestRequest, attest, issueSimulatedPlatform, reissueVek, type SimulatedPlatform } from '../../../../../src/sim/index.ts'
import { toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import { SNP_FLOORS } from '../../../../../src/verify/evidence/sev-snp/floors.ts'
import type { SnpRequirements } from '../../../../../src/verify/evidence/sev-snp/requirements.ts'
import { exitCodeOf } from '../../../../../src/verify/verdict.ts'
import { verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { simulatedPlatform } from '../../../../support/simulated-platform.ts'

const platform = simulatedPlatform()
const keys = { root: platform.root.key, intermediate: platform.intermediate.key, vek: platform.vek.key }
const notBefore = new Date('2026-01-01T00:00:00Z')
const [milan, turin, vlek] = await Promise.all([
  issueSimulatedPlatform(keys, { at: notBefore, product: 'Milan' }),
  issueSimulatedPlatform(keys, { at: notBefore, product: 'Turin' }),
  issueSimulatedPlatform(keys, { at: notBefore, product: 'Genoa', signingKey: 'VLEK' }),
])
const cache = createVerifyCache()

const hex = (fill: number, size: number): string => toHex(bytes(fill, size))
const bytes = (fill: number, size: number): Uint8Array => new Uint8Array(size).fill(fill)

/** Rules that are not passed, by a genuine report of that platform. */
async function refused(p: SimulatedPlatform, request: Partial<AttestRequest>, sevSnp: SnpRequirements): Promise<readonly string[]> {
  const { report, endorsements } = attest(p, { reportData: bytes(7, 64), measurement: bytes(9, 48), ...request })
  const verdict = await verifyEvidence(report, {
    collateral: endorsements,
    trustAnchors: [p.root.certificate],
    at: new Date('2026-06-01T00:00:00Z'),
    allowUnknown: [],
    sevSnp,
    cache,
  })
  const rules = verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => c.rule)
  if (rules.length > 0) {
    expect(verdict.authentic).toBe(true)
    expect(exitCodeOf(verdict.checks)).toBe(5)
  }
  return rules
}

const policy = (...bits: number[]): bigint => bits.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0x30000n)
const tcb = (p: SimulatedPlatform, index: number, change: number): Uint8Array => p.tcb.map((l, i) => (i === index ? l + change : l))

type Row = readonly [what: string, good: Partial<AttestRequest>, bad: Partial<AttestRequest>, wanted: SnpRequirements, rule: string]
const rows: readonly Row[] = [
  [
    'a launch under lower levels',
    {},
    { launchTcb: tcb(platform, 7, -1) },
    { minimumLaunchTcb: { Genoa: { snp: 25, microcode: 84 } } },
    'tcb.launch-minimum',
  ],
  [
    'older firmware of the same minor version',
    { firmware: Uint8Array.of(40, 55, 1) },
    { firmware: Uint8Array.of(39, 55, 1) },
    { minimumCurrentVersion: { major: 1, minor: 55, build: 40 } },
    'tcb.current-version',
  ],
  [
    'a higher build of a lower minor version',
    { firmware: Uint8Array.of(0, 56, 1) },
    { firmware: Uint8Array.of(255, 54, 1) },
    { minimumCurrentVersion: { major: 1, minor: 55, build: 40 } },
    'tcb.current-version',
  ],
  [
    'a higher minor version of a lower major one',
    { firmware: Uint8Array.of(0, 0, 2) },
    { firmware: Uint8Array.of(255, 255, 0) },
    { minimumCommittedVersion: { major: 1, minor: 55, build: 40 } },
    'tcb.committed-version',
  ],
  ['firmware that is not committed', {}, { currentTcb: tcb(platform, 6, 1) }, { committedFirmware: true }, 'tcb.committed'],
  ['SMT allowed where it is forbidden', { policy: 0x20000n }, {}, { guestPolicy: { forbidden: ['smt'] } }, 'policy.guest-policy-forbidden'],
  [
    'CXL allowed where it is forbidden',
    {},
    { policy: policy(21) },
    { guestPolicy: { forbidden: ['cxlAllow', 'singleSocket'] } },
    'policy.guest-policy-forbidden',
  ],
  [
    'a guest that asks for less than it should of its platform',
    { policy: policy(22, 24) },
    { policy: policy(24) },
    { guestPolicy: { required: ['ciphertextHidingDram', 'memAes256Xts'] } },
    'policy.guest-policy-required',
  ],
  ['a lower ABI', { policy: 0x30037n }, { policy: 0x30036n }, { minimumAbi: { major: 0, minor: 0x37 } }, 'policy.guest-abi'],
  ['a lower major ABI', { policy: 0x30100n }, { policy: 0x300ffn }, { minimumAbi: { major: 1, minor: 0 } }, 'policy.guest-abi'],
  [
    'memory that was not tested for aliases (BadRAM)',
    { platformInfo: 0x65n },
    { platformInfo: 0x45n },
    { platformInfo: { required: ['aliasCheckComplete'] } },
    'policy.platform-info-required',
  ],
  [
    'SMT in use where it is forbidden',
    { platformInfo: 0xe4n },
    { platformInfo: 0xe5n },
    { platformInfo: { forbidden: ['smt', 'tsme'] } },
    'policy.platform-info-forbidden',
  ],
  [
    'one mitigation of several missing at launch',
    { version: 5, mitigationVector: 0x3fn },
    { version: 5, mitigationVector: 0x3en },
    { launchMitigations: '0xb' },
    'tcb.launch-mitigations',
  ],
  ['no mitigation vector at all', { version: 5 }, { version: 4 }, { currentMitigations: '0x0' }, 'tcb.current-mitigations'],
  ['another VMPL', { vmpl: 2 }, { vmpl: 0 }, { vmpl: 2 }, 'policy.vmpl'],
  ['an older guest', { guestSvn: 4 }, { guestSvn: 3 }, { minimumGuestSvn: 4 }, 'policy.guest-svn'],
  ['other software', {}, { measurement: bytes(8, 48) }, { measurements: [hex(1, 48), hex(9, 48)] }, 'reference-values.measurement'],
  ['other host data', { hostData: bytes(2, 32) }, {}, { hostData: [hex(2, 32)] }, 'reference-values.host-data'],
  ['another family', { familyId: bytes(2, 16) }, {}, { familyIds: [hex(2, 16)] }, 'reference-values.family-id'],
  ['another image', { imageId: bytes(2, 16) }, {}, { imageIds: [hex(2, 16)] }, 'reference-values.image-id'],
  [
    "a stranger's ID key",
    { idKeyDigest: bytes(2, 48) },
    { idKeyDigest: bytes(3, 48) },
    { idBlock: { idKeyDigests: [hex(2, 48)], authorKeyDigests: [] } },
    'reference-values.id-block',
  ],
  [
    'a trusted author key that nothing enabled',
    { idKeyDigest: bytes(3, 48), authorKeyDigest: bytes(4, 48), keyInfo: 1 },
    { idKeyDigest: bytes(3, 48), authorKeyDigest: bytes(4, 48) },
    { idBlock: { idKeyDigests: [], authorKeyDigests: [hex(4, 48)] } },
    'reference-values.id-block',
  ],
  [
    'no ID block, whatever the list says',
    { idKeyDigest: bytes(2, 48) },
    {},
    { idBlock: { idKeyDigests: [hex(0, 48), hex(2, 48)], authorKeyDigests: [] } },
    'reference-values.id-block',
  ],
]

describe('a genuine report', () => {
  it.each(rows)('with %s is refused where that is asked for, and only there', async (_, good, bad, wanted, rule) => {
    expect(await refused(platform, good, wanted)).toEqual([])
    expect(await refused(platform, bad, wanted)).toEqual([rule])
    expect(await refused(platform, bad, {})).toEqual([])
  })

  it('of a product that is not listed is refused', async () => {
    const products = ['Genoa', 'Turin'] as const
    expect(await refused(platform, {}, { products })).toEqual([])
    expect(await refused(turin, {}, { products })).toEqual([])
    expect(await refused(milan, {}, { products })).toEqual(['policy.product'])
    expect(await refused(platform, {}, { products: [] })).toEqual(['policy.product'])
  })

  it('of a product whose floor names no level is refused', async () => {
    expect(await refused(platform, {}, { minimumTcb: { Genoa: { snp: 0 } } })).toEqual([])
    expect(await refused(platform, {}, { minimumTcb: { Genoa: {} } })).toEqual(['tcb.minimum'])
    expect(await refused(platform, {}, { minimumTcb: {} })).toEqual(['tcb.minimum'])
  })

  it('signed by the other kind of key is refused', async () => {
    expect(await refused(platform, {}, { signingKeys: ['VCEK'] })).toEqual([])
    expect(await refused(vlek, {}, { signingKeys: ['VCEK'] })).toEqual(['policy.signing-key'])
    expect(await refused(platform, {}, { signingKeys: ['VLEK'] })).toEqual(['policy.signing-key'])
  })

  it('of another provider is refused; a VCEK has none', async () => {
    expect(await refused(vlek, {}, { vlekCspIds: ['CN=simulated.example'] })).toEqual([])
    expect(await refused(vlek, {}, { vlekCspIds: ['nobody'] })).toEqual(['policy.vlek-csp-id'])
    expect(await refused(platform, {}, { vlekCspIds: ['nobody'] })).toEqual([])
  })

  it('below the floor that a bulletin names is refused', async () => {
    const floors = ['AMD-SB-3019'] as const
    expect(SNP_FLOORS['AMD-SB-3019'].minimumTcb).toEqual({ Milan: { snp: 0x18 }, Genoa: { snp: 0x17 } })
    for (const p of [platform, milan, turin]) expect(await refused(p, {}, { floors })).toEqual([])
    for (const [p, enough] of [
      [platform, 0x17],
      [milan, 0x18],
    ] as const) {
      const issuer = { key: keys.intermediate, commonName: `SIMULATED SEV-${p.product}` }
      const at = (level: number): Promise<SimulatedPlatform> =>
        reissueVek(
          { ...p, tcb: p.tcb.map((l, i) => (i === 6 ? level : l)) },
          { notBefore, notAfter: new Date('2035-01-01T00:00:00Z') },
          issuer,
        )
      expect(await refused(await at(enough), {}, { floors })).toEqual([])
      expect(await refused(await at(enough - 1), {}, { floors })).toEqual(['tcb.bulletin'])
    }
  })

  it('is refused for a bulletin that is not known', async () => {
    expect(await refused(platform, {}, { floors: ['AMD-SB-0' as 'AMD-SB-3019'] })).toEqual(['tcb.bulletin'])
  })

  it('of another chip is refused, and so is one that hides its chip', async () => {
    const ours = toHex(platform.chipId)
    expect(await refused(platform, {}, { chipIds: [ours] })).toEqual([])
    expect(await refused(platform, {}, { chipIds: [hex(1, 64)] })).toEqual(['policy.chip-id'])
    const masked = { chipId: bytes(0, 64) }
    const accepted = { acceptMaskedChipId: true } as const
    expect(await refused(platform, masked, { chipIds: [ours, hex(0, 64)], ...accepted })).toEqual(['policy.chip-id'])
    expect(await refused(vlek, {}, { chipIds: [ours, hex(0, 64)] })).toEqual(['policy.chip-id'])
  })

  it('shows the bits of PLATFORM_INFO by name, and those without one', async () => {
    const { report, endorsements } = attest(platform, { reportData: bytes(7, 64), measurement: bytes(9, 48), platformInfo: 0x165n })
    const verdict = await verifyEvidence(report, {
      collateral: endorsements,
      trustAnchors: [platform.root.certificate],
      at: new Date('2026-06-01T00:00:00Z'),
      allowUnknown: [],
    })
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({
      platformInfo: '0x165',
      platformInfoBits: {
        smt: true,
        tsme: false,
        ecc: true,
        raplDis: false,
        ciphertextHidingDram: false,
        aliasCheckComplete: true,
        tio: false,
        unnamed: '0x140',
      },
    })
  })

  it('is held against no mask that is none', async () => {
    expect(await outcomeOf(() => refused(turin, {}, { launchMitigations: 'b' }))).toBe('USAGE')
  })
})
