import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { cosign, signCheckpoint } from '../../../src/seal/note.ts'
import { utf8 } from '../../../src/verify/bytes/bytes.ts'
import {
  consistencyProof,
  encodeAddCheckpoint,
  leafHash,
  MAX_ADD_CHECKPOINT_SIZE,
  rootAt,
  verifyCosignature,
} from '../../../src/verify/tlog/index.ts'
import { startWitness, WITNESS_FILES } from '../../../src/witness/index.ts'
import { logKeyOf, noteSigner, testBytes } from '../../support/keys.ts'
import { type StoredTree, storeTree } from '../../support/log.ts'
import { post, TestWitness, type WitnessAnswer } from '../../support/witness.ts'

const ORIGIN = 'log.example/sealgate'
const T0 = 1_780_000_000
const signer = noteSigner(ORIGIN)
const known = { origin: ORIGIN, key: await logKeyOf(signer) }

/** Two histories that part after three leaves. */
const leaves = (label: string): Promise<readonly Uint8Array[]> =>
  Promise.all(Array.from({ length: 16 }, (_, i) => leafHash(utf8(`leaf ${i < 3 ? '' : label} ${i}`))))
const honest = await storeTree(await leaves('honest'))
const forked = await storeTree(await leaves('forked'))

async function noteAt(size: number, tree: StoredTree = honest, by = signer): Promise<string> {
  return signCheckpoint({ origin: by.name, size, root: await rootAt(size, tree.read) }, by)
}

async function bodyFor(oldSize: number, size: number, tree: StoredTree = honest): Promise<Uint8Array> {
  const proof = oldSize > size ? [] : await consistencyProof(oldSize, size, tree.read)
  return encodeAddCheckpoint({ oldSize, proof, note: await noteAt(size, tree) })
}

let witness: TestWitness
let now = T0 * 1000
beforeEach(async () => {
  now = T0 * 1000
  witness = await TestWitness.start('w1.example', [known], () => now)
})
afterEach(() => witness.end())

async function ask(oldSize: number, size: number, tree: StoredTree = honest): Promise<WitnessAnswer> {
  return witness.add(await bodyFor(oldSize, size, tree))
}

async function timeOf(answer: WitnessAnswer, size: number, tree: StoredTree = honest): Promise<number> {
  expect(answer).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8' })
  return (await verifyCosignature(`${await noteAt(size, tree)}${answer.text}`, witness.key)).time
}

describe('a witness', () => {
  it('cosigns the first checkpoint that it sees, and each that extends it, with its own time', async () => {
    expect(await timeOf(await ask(0, 3), 3)).toBe(T0)
    now += 60_000
    expect(await timeOf(await ask(3, 7), 7)).toBe(T0 + 60)
    expect(await timeOf(await ask(7, 16), 16)).toBe(T0 + 60)
  })

  it('cosigns the same tree again, later', async () => {
    await ask(0, 3)
    now += 60_000
    expect(await timeOf(await ask(3, 3), 3)).toBe(T0 + 60)
  })

  it('cosigns an empty log', async () => {
    expect(await timeOf(await ask(0, 0), 0)).toBe(T0)
    expect(await timeOf(await ask(0, 3), 3)).toBe(T0)
  })

  it('tells what it cosigned last to a log that does not know (409, text/x.tlog.size)', async () => {
    await ask(0, 7)
    for (const [from, to] of [
      [0, 16],
      [3, 16],
      [8, 16],
    ] as const) {
      expect(await ask(from, to)).toEqual({ status: 409, type: 'text/x.tlog.size', text: '7\n' })
    }
  })

  it('never cosigns a smaller tree after a larger one', async () => {
    await ask(0, 7)
    expect(await ask(3, 3)).toMatchObject({ status: 409, text: '7\n' })
    expect(await ask(0, 3)).toMatchObject({ status: 409, text: '7\n' })
    expect(await ask(7, 3)).toMatchObject({ status: 400 })
  })

  it('never cosigns a second history: one that does not extend the first, nor another tree of the same size', async () => {
    await ask(0, 7)
    expect(await ask(7, 16, forked)).toMatchObject({ status: 422 })
    expect(await ask(7, 7, forked)).toMatchObject({ status: 409, text: '7\n' })
    expect(await ask(0, 16, forked)).toMatchObject({ status: 409, text: '7\n' })
    expect(await timeOf(await ask(7, 16), 16)).toBe(T0)
  })

  it('refuses a proof for other sizes, and one with a hash too many', async () => {
    await ask(0, 3)
    const note = await noteAt(7)
    for (const proof of [
      [],
      await consistencyProof(4, 7, honest.read),
      [...(await consistencyProof(3, 7, honest.read)), testBytes('x', 32)],
    ]) {
      expect(await witness.add(encodeAddCheckpoint({ oldSize: 3, proof, note }))).toMatchObject({ status: 422 })
    }
  })

  it('refuses a proof where there is nothing to prove', async () => {
    const proof = [testBytes('x', 32)]
    expect(await witness.add(encodeAddCheckpoint({ oldSize: 0, proof, note: await noteAt(7) }))).toMatchObject({ status: 422 })
  })

  it('does not know other logs, also when its own log signed for them', async () => {
    const other = noteSigner('other.example', ORIGIN)
    const note = await noteAt(3, honest, other)
    expect(await witness.add(encodeAddCheckpoint({ oldSize: 0, proof: [], note }))).toMatchObject({ status: 404 })
  })

  it('believes nobody but the log: no signature, a stranger under its name, a signature over another tree', async () => {
    const stranger = await noteAt(3, honest, noteSigner(ORIGIN, 'stranger'))
    const [, line] = (await noteAt(4)).split('\n\n')
    const swapped = `${(await noteAt(3)).split('\n\n')[0]}\n\n${line}`
    const cosigned = await cosign(await noteAt(3), noteSigner('w9.example'), T0)
    const unsigned = cosigned.replace(/— log\.example.*\n/, '')
    for (const note of [stranger, swapped, unsigned]) {
      expect(await witness.add(encodeAddCheckpoint({ oldSize: 0, proof: [], note }))).toMatchObject({ status: 403 })
    }
    expect(await ask(0, 3)).toMatchObject({ status: 200 })
  })

  it('ignores the lines of others in a checkpoint, its own old ones too', async () => {
    const note = await cosign(await cosign(await noteAt(3), noteSigner('w9.example'), T0), noteSigner('w1.example'), T0 - 100)
    const answer = await witness.add(encodeAddCheckpoint({ oldSize: 0, proof: [], note }))
    expect(await timeOf(answer, 3)).toBe(T0)
  })

  it.each([
    ['nothing', ''],
    ['no checkpoint', 'old 0\n\n'],
    ['noise', 'x'.repeat(1000)],
    ['bytes that are no UTF-8', Uint8Array.of(0xff, 0xfe)],
  ])('refuses %s (400)', async (_what, body) => {
    expect(await witness.add(body)).toMatchObject({ status: 400 })
  })

  it('answers whatever comes with a status of the specification, and never cosigns what the log did not sign', async () => {
    const body = await bodyFor(0, 7)
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const twisted = Uint8Array.from(body)
        twisted[at] = (twisted[at] ?? 0) ^ change
        expect([400, 403, 404, 409, 422]).toContain((await witness.add(twisted)).status)
      }),
      { numRuns: 100 },
    )
  })
})

describe('its clock', () => {
  it('may be put back a little, but never dates a cosignature before another', async () => {
    await ask(0, 3)
    now -= 5000
    expect(await timeOf(await ask(3, 7), 7)).toBe(T0)
  })

  it('that went back far keeps it silent (503), also across a restart', async () => {
    await ask(0, 3)
    now -= 3_600_000
    expect(await ask(3, 7)).toMatchObject({ status: 503 })
    await witness.restart()
    expect(await ask(3, 7)).toMatchObject({ status: 503 })
    now = T0 * 1000
    expect(await timeOf(await ask(3, 7), 7)).toBe(T0)
  })
})

describe('its memory', () => {
  it('outlives it', async () => {
    await ask(0, 7)
    await witness.restart()
    expect(await ask(0, 16, forked)).toMatchObject({ status: 409, text: '7\n' })
    expect(await timeOf(await ask(7, 16), 16)).toBe(T0)
  })

  it('of a log that is no longer configured is kept for when it is again', async () => {
    await ask(0, 7)
    witness.configure({ logs: [] })
    await witness.restart()
    expect(await ask(7, 16)).toMatchObject({ status: 404 })
    witness.configure({ logs: [known] })
    await witness.restart()
    expect(await ask(0, 16, forked)).toMatchObject({ status: 409, text: '7\n' })
  })

  it('holds for a log that got another key', async () => {
    await ask(0, 7)
    const next = noteSigner(ORIGIN, 'next key')
    witness.configure({ logs: [{ origin: ORIGIN, key: await logKeyOf(next) }] })
    await witness.restart()
    const fork = encodeAddCheckpoint({
      oldSize: 7,
      proof: await consistencyProof(7, 16, forked.read),
      note: await noteAt(16, forked, next),
    })
    expect(await witness.add(fork)).toMatchObject({ status: 422 })
    const good = encodeAddCheckpoint({
      oldSize: 7,
      proof: await consistencyProof(7, 16, honest.read),
      note: await noteAt(16, honest, next),
    })
    expect(await witness.add(good)).toMatchObject({ status: 200 })
    await witness.restart()
  })

  it('that is gone is never begun anew: it does not start, and one that runs falls silent', async () => {
    await ask(0, 7)
    rmSync(witness.path(WITNESS_FILES.state))
    expect(await ask(0, 16, forked)).toMatchObject({ status: 500, text: 'internal error\n' })
    await expect(witness.restart()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
  })

  it('that is damaged in any byte keeps it from starting', async () => {
    await ask(0, 7)
    await witness.stop()
    const bytes = readFileSync(witness.path(WITNESS_FILES.state))
    for (let at = 0; at < bytes.length; at += 2) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] ?? 0) ^ 1
      writeFileSync(witness.path(WITNESS_FILES.state), damaged)
      await expect(witness.restart(), `byte ${at}`).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    }
    writeFileSync(witness.path(WITNESS_FILES.state), bytes.subarray(0, bytes.length - 1))
    await expect(witness.restart()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    writeFileSync(witness.path(WITNESS_FILES.state), '')
    await expect(witness.restart()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    writeFileSync(witness.path(WITNESS_FILES.state), bytes)
    await witness.restart()
  })

  it('of another witness is none of its own', async () => {
    const other = await TestWitness.make('w2.example', [known], () => now)
    writeFileSync(witness.path(WITNESS_FILES.state), readFileSync(other.path(WITNESS_FILES.state)))
    await expect(witness.restart()).rejects.toMatchObject({ code: 'LOG_CORRUPT' })
    await other.end()
  })
})

describe('two at once', () => {
  it('requests with two histories: one of them is cosigned, never both', async () => {
    await ask(0, 3)
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => witness.add(await bodyFor(3, 8, i % 2 === 0 ? honest : forked))),
    )
    const cosigned = new Set<string>()
    for (const [i, answer] of answers.entries()) if (answer.status === 200) cosigned.add(i % 2 === 0 ? 'honest' : 'forked')
    expect(cosigned.size).toBe(1)
    expect(answers.filter((a) => a.status !== 200).every((a) => a.status === 409)).toBe(true)
  })

  it('requests of two sizes: the smaller never follows the larger', async () => {
    await ask(0, 3)
    await Promise.all([ask(3, 16), ask(3, 7), ask(3, 12)])
    const { text } = await ask(0, 16)
    const size = Number(text)
    expect([7, 12, 16]).toContain(size)
    await witness.restart()
    expect(await ask(0, 16)).toMatchObject({ status: 409, text: `${size}\n` })
  })

  it('processes on one folder: the second does not start', async () => {
    await expect(startWitness({ folder: witness.folder })).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await witness.stop()
    await witness.restart()
  })
})

describe('its listener', () => {
  it('serves one path and one method', async () => {
    expect(await post(witness.address, '', '/')).toMatchObject({ status: 404 })
    expect(await post(witness.address, '', '/add-checkpoint?x')).toMatchObject({ status: 404 })
    expect(await post(witness.address, '', '/add-checkpoint', 'GET')).toMatchObject({ status: 405 })
  })

  it('reads no more than a request can need', async () => {
    expect(await witness.add(new Uint8Array(MAX_ADD_CHECKPOINT_SIZE + 1))).toMatchObject({ status: 413 })
  })

  it('reads no more of a body that does not say how long it is', async () => {
    const { port } = new URL(witness.url)
    const answer = await new Promise<string>((resolve) => {
      let text = ''
      const socket = connect(Number(port), '127.0.0.1', () => {
        socket.write('POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ntransfer-encoding: chunked\r\n\r\n')
        socket.write(`${(MAX_ADD_CHECKPOINT_SIZE + 1).toString(16)}\r\n${'x'.repeat(MAX_ADD_CHECKPOINT_SIZE + 1)}\r\n`)
      })
      socket.on('data', (chunk) => (text += chunk.toString()))
      socket.on('close', () => resolve(text))
      socket.on('error', () => resolve(text))
    })
    expect(answer).toMatch(/^(HTTP\/1\.1 413|$)/)
  })

  it('says nothing of itself in a failure, and keeps no secret in its log', async () => {
    rmSync(witness.path(WITNESS_FILES.state))
    expect((await ask(0, 3)).text).toBe('internal error\n')
    const { d } = JSON.parse(readFileSync(witness.path(WITNESS_FILES.key), 'utf8')) as { d: string }
    expect(witness.logged.join('')).not.toContain(d)
  })
})

describe('a folder that does not fit', () => {
  it.each([
    ['a log under another name than its key', { logs: [{ origin: 'other.example', key: known.key }] }, 'DOCUMENT_INVALID'],
    ['one log twice', { logs: [known, known] }, 'DOCUMENT_INVALID'],
    ['a key that is none', { logs: [{ origin: ORIGIN, key: 'x' }] }, 'NOTE_MALFORMED'],
    ['an unknown member', { trustEverybody: true }, 'DOCUMENT_INVALID'],
    ['an address that is none', { listen: 'nowhere' }, 'USAGE'],
  ])('is refused: %s', async (_what, changes, code) => {
    witness.configure(changes)
    await witness.stop()
    await expect(startWitness({ folder: witness.folder })).rejects.toMatchObject({ code })
    witness.configure({ logs: [known] })
    await witness.restart()
  })

  it('is refused when its key is that of the log: it would be nobody more', async () => {
    const own = noteSigner(ORIGIN, 'w1.example')
    witness.configure({ logs: [{ origin: ORIGIN, key: await logKeyOf(own) }] })
    await expect(witness.restart()).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
  })
})
