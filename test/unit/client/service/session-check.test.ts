import { beforeEach, describe, expect, it } from 'vitest'
import { SessionCheck } from '../../../../src/client/service/session-check.ts'
import { SessionLog } from '../../../../src/host/service/sessions.ts'
import { type Exchanged, MessageHash } from '../../../../src/rpc/service/index.ts'
import { issueFlattenedJws } from '../../../../src/seal/jws.ts'
import { toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { verifySessionFile } from '../../../../src/verify/receipt/index.ts'
import { jobKey } from '../../../support/job-documents.ts'
import { testBytes, testKey } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const JOB = toBase64Url(testBytes('job', 32))
const CLIENT = toBase64Url(testBytes('client', 32))
const expected = { job: JOB, client: CLIENT, jobKey: jobKey.jwk.x }
const sign = (payload: Uint8Array, typ: string): Promise<Uint8Array> => issueFlattenedJws(payload, typ, jobKey.jwk)

function exchanged(n: number, body: string): Exchanged {
  const request = MessageHash.ofRequest('POST', '/x', ['Host', 'x'])
  const response = MessageHash.ofResponse(200, [])
  request.update(utf8(body))
  return { request, response, status: 200, complete: true, answered: { 'sealgate-exchange': String(n) } }
}

let log: SessionLog
let lie: (answer: Record<string, unknown>) => unknown
let check: SessionCheck
beforeEach(async () => {
  log = await SessionLog.begin(JOB, CLIENT, sign)
  lie = (answer) => answer
  const ask = async (_method: string, path: string): Promise<unknown> =>
    lie({ ...(await log.answer(Number(/from=(\d+)/.exec(path)?.[1]))) })
  check = new SessionCheck({ ask }, expected)
})

/** Passes an exchange, which the enclave and we may have seen differently. */
function pass(inside: string, here = inside): void {
  const n = log.number()
  log.add(n, exchanged(n, inside))
  check.saw(exchanged(n, here))
}

describe('what the enclave signs of a session', () => {
  it('is compared with what passed here, over many records', async () => {
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 600; i++) pass(`body ${i}`)
      await check.update()
    }
    expect(check.compared).toBe(1800)
    expect(check.file()).not.toBeNull()
  })

  it('may not be about another body than passed here', async () => {
    pass('what the enclave saw', 'what the client sent')
    expect(await outcomeOf(() => check.update())).toBe('RECEIPT_INCONSISTENT')
  })

  it('may not be signed by another key, or be of another job or client', async () => {
    const ask = (): Promise<unknown> => log.answer(0)
    const other = toBase64Url(testBytes('other', 32))
    for (const change of [{ job: other }, { client: other }, { jobKey: testKey('stranger').jwk.x }]) {
      expect(await outcomeOf(() => new SessionCheck({ ask }, { ...expected, ...change }).update())).toBe('RECEIPT_INCONSISTENT')
    }
  })

  it('may not be taken back: an enclave that was started anew, or tells another story', async () => {
    pass('one')
    await check.update()
    const again = await SessionLog.begin(JOB, CLIENT, sign)
    lie = () => again.answer(0)
    expect(await outcomeOf(() => check.update())).toBe('RECEIPT_INCONSISTENT')
  })

  it('may not change what was signed before', async () => {
    pass('one')
    const early = await log.answer(0)
    pass('two')
    await check.update()
    lie = (answer) => ({ ...answer, records: early.records })
    expect(await outcomeOf(() => check.update())).toBe('RECEIPT_INCONSISTENT')
  })

  it.each([
    ['nothing', null],
    ['no records', { session: 'x' }],
    ['a record that is none', { session: toBase64Url(testBytes('s', 16)), secret: toBase64Url(testBytes('t', 32)), records: ['AAAA'] }],
  ])('is refused when it is %s', async (_, answer) => {
    lie = () => answer
    expect(await outcomeOf(() => check.update())).not.toBe('accepted')
  })

  it('is told without the exchanges that were cut off, and keeps their place', async () => {
    pass('one')
    const n = log.number()
    log.add(n, { ...exchanged(n, 'half'), complete: false, response: null, status: null })
    pass('two')
    await check.update()
    expect(check.compared).toBe(2)
    expect((await verifySessionFile(check.file() ?? new Uint8Array(), new Uint8Array(), { trust: null, partial: false })).decision).toBe(
      'reject',
    )
  })

  it('is kept by the enclave for a while only; the chain goes on, and what is kept begins anew', async () => {
    pass('one')
    await check.update()
    for (let i = 0; i < 512 * 19; i++) log.add(log.number(), exchanged(i, 'x'))
    await check.update()
    pass('last')
    await check.update()
    expect(check.compared).toBe(2)
  })
})
