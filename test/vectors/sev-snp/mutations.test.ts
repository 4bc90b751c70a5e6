import { afterAll, describe, expect, it } from 'vitest'
import { AttestError } from '../../../src/verify/errors.ts'
import { anchorOf, rootAnchor } from '../../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { type KnownCertificate, loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import { findPath, type SnpRoot } from '../../../src/verify/evidence/sev-snp/chain.ts'
import { readTcb, tcbLayout } from '../../../src/verify/evidence/sev-snp/layout.ts'
import { parseReport } from '../../../src/verify/evidence/sev-snp/parse.ts'
import { parseVek } from '../../../src/verify/evidence/sev-snp/vek.ts'
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { readVector, vectorsFolder } from '../../support/vectors.ts'
import { evidenceCases, evidenceOf, isQuestion, loadCases, type Mutation, RULES, type VectorCase } from './cases.ts'

const folder = vectorsFolder('sev-snp')
const cases = folder === null ? [] : loadCases(folder)
const mutations = cases.flatMap((c) => c.cases ?? [])
const cache = createVerifyCache()
const questions = evidenceCases().filter((c) => mutations.some((m) => m.id === c.id))
const counts: Record<string, number> = {}

function baseOf(mutation: Mutation): VectorCase {
  const base = cases.find((c) => c.id === mutation.base)
  if (base === undefined) throw new Error(`no base case ${mutation.base}`)
  return base
}

/** The rule that refuses what is no question to `verifyEvidence`, or null where the recipe is accepted. */
async function refusalOf(mutation: Mutation): Promise<string | null> {
  const base = baseOf(mutation)
  if (mutation.ops.some((o) => o.decode !== undefined)) return (await tcbReadWithWrongLayout(base)) ? null : 'chain.reported-tcb'
  const replaced = new Map(mutation.ops.map((o) => [o.collateral, o.replace_with]))
  return pathRefusal(base, (name) => replaced.get(name) ?? base.collateral_files[name] ?? '')
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
  it.each(questions)('rejects $id', async ({ input, options, check }) => {
    const outcome = check(await verifyEvidence(input, { ...options, cache }))
    counts[outcome] = (counts[outcome] ?? 0) + 1
  })

  it.each(mutations.filter((m) => !isQuestion(m)))('rejects $id: $expected.reason', async (mutation) => {
    const rule = await refusalOf(mutation)
    expect(RULES[mutation.expected.reason]).toContain(rule)
    counts[rule ?? ''] = (counts[rule ?? ''] ?? 0) + 1
  })

  it('covers every recipe', () => expect(mutations.length).toBeGreaterThanOrEqual(20))

  afterAll(() => console.table({ ...counts, 'recipes refused': mutations.length }))
})
