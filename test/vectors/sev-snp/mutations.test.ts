import { afterAll, describe, expect, it } from 'vitest'
import { AttestError } from '../../../src/verify/errors.ts'
import { anchorOf, rootAnchor } from '../../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { type KnownCertificate, loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import { findPath, type SnpRoot } from '../../../src/verify/evidence/sev-snp/chain.ts'
import { readTcb, tcbLayout } from '../../../src/verify/evidence/sev-snp/layout.ts'
import { parseReport } from '../../../src/verify/evidence/sev-snp/parse.ts'
import type { SnpRequirements } from '../../../src/verify/evidence/sev-snp/requirements.ts'
import { parseVek } from '../../../src/verify/evidence/sev-snp/vek.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { readVector, vectorsFolder } from '../../support/vectors.ts'
import { evidenceOf, loadCases, type Mutation, mutate, type VectorCase } from './cases.ts'

const folder = vectorsFolder('sev-snp')
const cases = folder === null ? [] : loadCases(folder)
const mutations = cases.flatMap((c) => c.cases ?? [])
const cache = createVerifyCache()
const counts: Record<string, number> = {}

/** Rules that may refuse a recipe, by the manifest's reason. Reserved bytes are tested before the signature over them. */
const RULES: Readonly<Record<string, readonly string[]>> = {
  'report-signature-invalid': ['signature.report', 'format.well-formed'],
  'format-invalid': ['format.well-formed'],
  'signature-algorithm-unsupported': ['format.well-formed'],
  'chain-invalid': ['chain.issuer'],
  'chain-untrusted-root': ['chain.trust-anchor'],
  'cert-expired': ['validity.vek'],
  'cert-not-yet-valid': ['validity.vek'],
  'tcb-below-minimum': ['tcb.minimum'],
  'vmpl-mismatch': ['policy.vmpl'],
  'tcb-mismatch': ['chain.reported-tcb'],
}

function baseOf(mutation: Mutation): VectorCase {
  const base = cases.find((c) => c.id === mutation.base)
  if (base === undefined) throw new Error(`no base case ${mutation.base}`)
  return base
}

/** The rule that refuses, or null where the recipe is accepted. */
async function refusalOf(mutation: Mutation): Promise<string | null> {
  const base = baseOf(mutation)
  if (mutation.ops.some((o) => o.decode !== undefined)) return (await tcbReadWithWrongLayout(base)) ? null : 'chain.reported-tcb'
  const replaced = new Map(mutation.ops.map((o) => [o.collateral, o.replace_with]))
  const file = (name: string): string => replaced.get(name) ?? base.collateral_files[name] ?? ''
  if (['ask', 'asvk', 'ark'].some((name) => replaced.has(name))) return pathRefusal(base, file)
  const input = mutation.ops.filter((o) => o.collateral === undefined).reduce(mutate, evidenceOf(folder ?? '', base))
  const at = mutation.ops.find((o) => o.verify_at !== undefined)?.verify_at ?? base.verify_at
  const collateral = Object.keys(base.collateral_files).map((name) => readVector(folder ?? '', file(name)))
  const options = { collateral, trustAnchors: [], at: new Date(at), allowUnknown: ['revocation'] as const, cache }
  const verdict = await verifyEvidence(input, { ...options, sevSnp: requirementsOf(mutation, base) })
  return verdict.checks.find((c) => c.outcome === 'fail')?.rule ?? null
}

function requirementsOf(mutation: Mutation, base: VectorCase): SnpRequirements {
  const policy = mutation.ops.find((o) => o.policy !== undefined)?.policy
  const microcode = parseReport(evidenceOf(folder ?? '', base)).reportedTcb[7] ?? 0
  return {
    ...(policy?.vmpl === undefined ? {} : { vmpl: policy.vmpl }),
    ...(policy?.min_reported_tcb === undefined ? {} : { minimumTcb: { Turin: { microcode: microcode + 1 } } }),
  }
}

/** With roots built in, a wrong issuer that is given beside the evidence changes nothing; here it is the only root there is. */
async function pathRefusal(base: VectorCase, file: (name: string) => string): Promise<string | null> {
  const [leaf, issuer, root] = await Promise.all([
    certificateAt(file('vcek') || file('vlek')),
    certificateAt(file('ask') || file('asvk')),
    certificateAt(file('ark')),
  ])
  let ark: SnpRoot['ark']
  try {
    ark = rootAnchor(root)
  } catch (error) {
    if (error instanceof AttestError && error.code === 'CHAIN_INVALID') return 'chain.trust-anchor'
    throw error
  }
  const only: SnpRoot = { ark, intermediates: [anchorOf(issuer)], simulated: false }
  expect(base.expected.verdict).toBe('pass')
  return (await findPath(leaf, [issuer], [only], cache)) === null ? 'chain.issuer' : null
}

async function certificateAt(path: string): Promise<KnownCertificate> {
  const { certificates } = await loadCollateral([{ name: path, bytes: readVector(folder ?? '', path) }], cache)
  const [certificate] = certificates
  if (certificate === undefined) throw new Error(`no certificate at ${path}`)
  return certificate
}

async function tcbReadWithWrongLayout(base: VectorCase): Promise<boolean> {
  const vek = parseVek(await certificateAt(base.collateral_files.vcek ?? ''))
  const { reportedTcb } = parseReport(evidenceOf(folder ?? '', base))
  expect(readTcb(reportedTcb, tcbLayout('Turin'))).toEqual(readTcb(vek.tcb, tcbLayout('Turin')))
  const { blSPL, teeSPL, snpSPL, ucodeSPL } = vek.spl
  const wrong = readTcb(reportedTcb, tcbLayout('Milan'))
  return wrong.bootloader === blSPL && wrong.tee === teeSPL && wrong.snp === snpSPL && wrong.microcode === ucodeSPL
}

describe.skipIf(folder === null)('recipes that break real SEV-SNP evidence', () => {
  it.each(mutations)('rejects $id: $expected.reason', async (mutation) => {
    const rule = await refusalOf(mutation)
    expect(RULES[mutation.expected.reason]).toContain(rule)
    counts[rule ?? ''] = (counts[rule ?? ''] ?? 0) + 1
  })

  it('covers every recipe', () => expect(mutations.length).toBeGreaterThanOrEqual(20))

  afterAll(() => console.table({ ...counts, 'recipes refused': mutations.length }))
})
