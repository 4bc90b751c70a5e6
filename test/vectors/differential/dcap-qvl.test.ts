import { createRequire } from 'node:module'
import { afterAll, describe, expect, it } from 'vitest'
import { isInputError } from '../../../src/verify/evidence/conclude.ts'
import { decide, verifySgx, verifyTd } from '../../support/dcap.ts'
import { tally } from '../../support/dcap-vector-checks.ts'
import { mutatedVectors, type QuoteVector, quoteVectors, sgxFolder, tdxFolder } from '../../support/dcap-vectors.ts'
import { DIFFERENCES } from './dcap-qvl-differences.ts'

/** The part of @phala/dcap-qvl that is called here. It throws for everything that it refuses. */
interface Peer {
  readonly QuoteVerifier: new () => { verify(quote: Uint8Array, collateral: unknown, nowSeconds: number): PeerReport }
}

interface PeerReport {
  readonly status: string
  readonly advisory_ids: readonly string[]
}

type Tee = 'tdx' | 'sgx'
type Case = Omit<QuoteVector, 'expected'>

function loadPeer(): Peer | null {
  try {
    return createRequire(import.meta.url)('@phala/dcap-qvl') as Peer
  } catch {
    console.warn('SKIPPED: @phala/dcap-qvl is not installed, so nothing is compared with it')
    return null
  }
}

function wordsOf(status: string, advisoryIds: readonly string[]): string {
  return [status, ...[...advisoryIds].sort()].join(' ')
}

/** Status and advisories; `refused` for what no policy may accept: not authentic, under debug, no level or a revoked one. */
async function ours(tee: Tee, one: Case): Promise<string> {
  try {
    const verdict = tee === 'tdx' ? decide(await verifyTd(one)) : decide(await verifySgx(one))
    const tcb = verdict.parsed?.tcb ?? null
    const underDebug = verdict.checks.some((c) => c.rule.startsWith('debug.') && c.outcome !== 'pass')
    if (tcb === null || !verdict.authentic || underDebug) return 'refused'
    return ['Revoked', 'NotSupported', 'Unrecognized'].includes(tcb.status) ? 'refused' : wordsOf(tcb.status, tcb.advisoryIds)
  } catch (error) {
    if (isInputError(error)) return 'refused'
    throw error
  }
}

function theirs(peer: Peer, { quote, collateral, at }: Case): string {
  const [json] = collateral
  const parsed: unknown = json === undefined ? {} : JSON.parse(new TextDecoder().decode(json))
  try {
    const report = new peer.QuoteVerifier().verify(Buffer.from(quote), parsed, Math.floor(at.getTime() / 1000))
    return wordsOf(report.status, report.advisory_ids)
  } catch {
    return 'refused'
  }
}

const firstWord = (words: string): string => words.split(' ')[0] ?? ''

const tees = (['tdx', 'sgx'] as const).filter((tee) => (tee === 'tdx' ? tdxFolder : sgxFolder) !== null)
const cases = tees.flatMap((tee) => quoteVectors(tee).map((one) => ({ tee, one, id: one.id })))
const recipes = tees.flatMap((tee) => mutatedVectors(tee).map((one) => ({ tee, one, id: one.id })))
const installed = loadPeer()

describe.skipIf(installed === null || cases.length === 0)('against @phala/dcap-qvl', () => {
  const peer = installed as Peer
  const counts = tally('dcap-qvl')
  afterAll(() => counts.print())

  it.each(cases)('$id: the same, or different for a known reason', async ({ tee, one, id }) => {
    const answers = [await ours(tee, one), theirs(peer, one)] as const
    const difference = DIFFERENCES[id]
    if (difference === undefined) {
      expect(answers[0]).toBe(answers[1])
      counts.count(answers[0] === 'refused' ? 'refused by both' : 'same status and advisories')
      return
    }
    expect(answers[0]).not.toBe(answers[1])
    expect(answers.map(firstWord)).toEqual([difference.ours, difference.peer])
    console.info(`dcap-qvl: ${id}: ours ${difference.ours}, peer ${difference.peer}. ${difference.reason}`)
    counts.count('different for a listed reason')
  })

  it.each(recipes)('both refuse $id', async ({ tee, one }) => {
    expect([await ours(tee, one), theirs(peer, one)]).toEqual(['refused', 'refused'])
    counts.count('recipe refused by both')
  })
})
