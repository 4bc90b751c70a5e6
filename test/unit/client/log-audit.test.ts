import { describe, expect, it } from 'vitest'
import { describeFinding, LogAudit } from '../../../src/client/index.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import type { Leaf } from '../../../src/verify/documents/leaf.ts'
import { T0 } from '../../support/job-documents.ts'
import { testBytes } from '../../support/keys.ts'

const b64 = (label: string): string => toBase64Url(testBytes(label, 32))
const DEADLINE = new Date(T0 * 1000).toISOString().replace('.000Z', 'Z')

const leaf = (changes: Partial<Leaf>): Leaf => ({
  v: 1,
  type: 'onboard',
  commitment: b64('c'),
  tags: [],
  ends: [],
  deadline: null,
  ...changes,
})
const release = (tag: string): Leaf => leaf({ type: 'release', tags: [b64(tag)], deadline: DEADLINE })

function findings(leaves: readonly Leaf[], time: number): readonly string[] {
  const audit = new LogAudit()
  const found = leaves.flatMap((entry, i) => audit.add(i, entry, b64(`hash ${i}`)))
  return [...found, ...audit.overdue(time)].map(describeFinding)
}

describe('audit of a log', () => {
  it('finds nothing where every release has its ending and every slot its one use', () => {
    const entries = [
      leaf({}),
      release('a'),
      leaf({ type: 'execution', ends: [b64('hash 1')] }),
      release('b'),
      leaf({ type: 'refusal', ends: [b64('hash 3')] }),
    ]
    expect(findings(entries, T0 + 1000)).toEqual([])
  })

  it('finds a slot that is used twice', () => {
    expect(findings([release('a'), release('a')], T0 - 1)).toEqual(['entry 1 uses the slot of entry 0 a second time'])
  })

  it('finds a release without an ending, but not before its deadline', () => {
    expect(findings([release('a')], T0)).toEqual([])
    expect(findings([release('a')], T0 + 1)).toEqual([`the release of entry 0 has no ending by ${DEADLINE}`])
  })

  it('finds an ending of nothing, and a second ending', () => {
    const ending = leaf({ type: 'lost', ends: [b64('hash 0')] })
    expect(findings([ending], T0)).toEqual(['entry 0 ends a release that is not open'])
    expect(findings([release('a'), ending, ending], T0)).toEqual(['entry 2 ends a release that is not open'])
  })
})
