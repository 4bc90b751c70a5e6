import { describe, expect, it } from 'vitest'
import type { HttpPost, PostAnswer } from '../../../../src/gateway/witnessing/http.ts'
import { type Outcome, WitnessClient } from '../../../../src/gateway/witnessing/witness-client.ts'
import { cosign, signCheckpoint } from '../../../../src/seal/note.ts'
import { utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { consistencyProof, leafHash, type ParsedAddCheckpoint, parseAddCheckpoint, rootAt } from '../../../../src/verify/tlog/index.ts'
import { cosignerKeyOf, noteSigner } from '../../../support/keys.ts'
import { storeTree } from '../../../support/log.ts'
import { TestClock } from '../../../support/test-clock.ts'

const T0 = 1_780_000_000
const log = noteSigner('log.example')
const own = noteSigner('w1.example')
const key = await cosignerKeyOf(own)
const tree = await storeTree(await Promise.all([0, 1, 2, 3, 4, 5, 6].map((i) => leafHash(utf8(`${i}`)))))
const noteOf = async (size: number): Promise<string> =>
  signCheckpoint({ origin: 'log.example', size, root: await rootAt(size, tree.read) }, log)
const proofs = (from: number, to: number): Promise<readonly Uint8Array[]> => consistencyProof(from, to, tree.read)

const sizeAnswer = (size: number | string): PostAnswer => ({ status: 409, type: 'text/x.tlog.size', body: utf8(`${size}\n`) })
const textAnswer = (status: number, text = ''): PostAnswer => ({ status, type: 'text/plain', body: utf8(text) })
const signed = async ({ note }: ParsedAddCheckpoint, by = own, time = T0): Promise<PostAnswer> =>
  textAnswer(200, (await cosign(note, by, time)).slice(note.length))

type Script = (request: ParsedAddCheckpoint, turn: number) => PostAnswer | { failure: string } | Promise<PostAnswer>

/** A client, and what it asked. */
function clientOf(script: Script): { readonly client: WitnessClient; readonly asked: number[] } {
  const asked: number[] = []
  const post: HttpPost = async (body) => {
    const request = parseAddCheckpoint(body)
    asked.push(request.oldSize)
    return script(request, asked.length - 1)
  }
  return { client: new WitnessClient(key, post, new TestClock(T0)), asked }
}

async function outcomeOf(script: Script, size = 7): Promise<{ readonly outcome: Outcome; readonly asked: readonly number[] }> {
  const { client, asked } = clientOf(script)
  return { outcome: await client.cosign(await noteOf(size), proofs, new AbortController().signal), asked }
}

describe('the client of a witness', () => {
  it('takes a cosignature at once from one that knows the tree', async () => {
    const { outcome, asked } = await outcomeOf((request) => signed(request))
    expect(outcome).toMatchObject({ kind: 'cosigned', cosignature: { time: T0, line: { name: 'w1.example' } } })
    expect(asked).toEqual([7])
  })

  it('asks again with the size that a 409 names, and remembers what was cosigned', async () => {
    const { client, asked } = clientOf((request, turn) => (turn === 0 ? sizeAnswer(3) : signed(request)))
    const signal = new AbortController().signal
    expect(await client.cosign(await noteOf(5), proofs, signal)).toMatchObject({ kind: 'cosigned' })
    expect(await client.cosign(await noteOf(7), proofs, signal)).toMatchObject({ kind: 'cosigned' })
    expect(asked).toEqual([5, 3, 5])
  })

  it('sends a proof that verifies between both sizes', async () => {
    const seen: number[] = []
    await outcomeOf((request, turn) => {
      seen.push(request.proof.length)
      return turn === 0 ? sizeAnswer(3) : signed(request)
    })
    expect(seen).toEqual([0, (await proofs(3, 7)).length])
  })

  it.each<[string, Script, string]>([
    ['has seen a larger tree', () => sizeAnswer(8), 'has cosigned 8 entries of this log, which holds 7'],
    ['has seen another tree of that size', () => sizeAnswer(7), 'has cosigned another tree of 7 entries'],
    ['finds no consistency', (_, turn) => (turn === 0 ? sizeAnswer(3) : textAnswer(422)), 'extends the 3 entries'],
  ])('tells of a fork when the witness %s', async (_what, script, why) => {
    const { outcome } = await outcomeOf(script)
    expect(outcome).toMatchObject({ kind: 'fork', why: expect.stringContaining(why) })
  })

  it.each<[string, Script, string]>([
    ['does not answer', () => ({ failure: 'does not answer (ECONNREFUSED)' }), 'ECONNREFUSED'],
    ['does not know the log', () => textAnswer(404), 'status 404'],
    ['does not believe the log', () => textAnswer(403), 'status 403'],
    ['fails', () => textAnswer(500), 'status 500'],
    ['sends elsewhere', () => textAnswer(307), 'status 307'],
    ['says 200 and nothing', () => textAnswer(200), 'no cosignature'],
    ['says 200 and noise', () => ({ status: 200, type: '', body: Uint8Array.of(0xff) }), 'no cosignature'],
    ['signs under another key', (r) => signed(r, noteSigner('w1.example', 'other')), 'no cosignature'],
    ['signs under another name', (r) => signed(r, noteSigner('w2.example', 'w1.example')), 'no cosignature'],
    ['is an hour late', (r) => signed(r, own, T0 - 3600), '-3600 s from now'],
    ['is an hour early', (r) => signed(r, own, T0 + 3600), '3600 s from now'],
    ['names no size', () => sizeAnswer(''), 'without a size'],
    ['names a size beyond 2^53', () => sizeAnswer('9007199254740993'), 'without a size'],
    ['names a size with a leading zero', () => sizeAnswer('03'), 'without a size'],
    ['names a size under another type', () => textAnswer(409, '3\n'), 'without a size'],
    ['names the size that it was asked with', (_, turn) => sizeAnswer(turn === 0 ? 3 : 3), 'the size that it was asked with'],
    ['names another size each time', (_, turn) => sizeAnswer(turn + 1), 'another size each time'],
  ])('gives up, for now, on a witness that %s', async (_what, script, why) => {
    const { outcome, asked } = await outcomeOf(script)
    expect(outcome).toMatchObject({ kind: 'failed', why: expect.stringContaining(why) })
    expect(asked.length).toBeLessThanOrEqual(3)
  })

  it('does not take a signature over another tree', async () => {
    const other = await noteOf(6)
    const lines = (await cosign(other, own, T0)).slice(other.length)
    expect((await outcomeOf(() => textAnswer(200, lines))).outcome).toMatchObject({ kind: 'failed' })
  })

  it('takes its line from among others', async () => {
    const { outcome } = await outcomeOf(async ({ note }) => {
      const both = await cosign(await cosign(note, noteSigner('w9.example'), T0 - 5), own, T0)
      return textAnswer(200, both.slice(note.length))
    })
    expect(outcome).toMatchObject({ kind: 'cosigned', cosignature: { time: T0 } })
  })
})
