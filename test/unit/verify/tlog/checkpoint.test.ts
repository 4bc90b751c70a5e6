import { describe, expect, it } from 'vitest'
import { cosign, signCheckpoint } from '../../../../src/seal/note.ts'
import type { Policy } from '../../../../src/verify/documents/policy.ts'
import {
  COSIGNATURE_ED25519,
  emptyRoot,
  encodeCheckpoint,
  encodeNote,
  encodeVerifierKey,
  type LogTrust,
  NOTE_ED25519,
  noteKeyId,
  parseCheckpoint,
  parseNote,
  verifyCheckpoint,
} from '../../../../src/verify/tlog/index.ts'
import { defined } from '../../../support/defined.ts'
import { noteSigner, testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const ORIGIN = 'log.example/test'
const T = 1_780_000_000
const log = noteSigner(ORIGIN)
const checkpoint = { origin: ORIGIN, size: 7, root: testBytes('root', 32) }
const logKey = await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: log.publicKey })
const alone: LogTrust = { origin: ORIGIN, key: logKey, witnessing: { mode: 'none' } }

const witnesses = ['w1.example', 'w2.example', 'w3.example'].map((name) => noteSigner(name))
const witnessKeys = await Promise.all(
  witnesses.map((w) => encodeVerifierKey({ name: w.name, type: COSIGNATURE_ED25519, publicKey: w.publicKey })),
)
const quorum = (k: number, keys: readonly string[] = witnessKeys): LogTrust => ({
  ...alone,
  witnessing: { mode: 'quorum', k, keys } satisfies Policy['witnessing'],
})

const signed = await signCheckpoint(checkpoint, log)
const own = await cosign(signed, log, T)

async function cosignedAt(...times: readonly number[]): Promise<string> {
  let note = signed
  for (const [i, time] of times.entries()) note = await cosign(note, defined(witnesses[i]), time)
  return note
}

describe('checkpoint without witnesses', () => {
  it('is verified under the key of its log, at the time of its own cosignature', async () => {
    expect(await verifyCheckpoint(own, alone)).toEqual({ ...checkpoint, provenBy: null, time: T })
  })

  it('has the text that C2SP defines', () => {
    expect(parseNote(own).text).toBe(encodeCheckpoint(checkpoint))
    expect(encodeCheckpoint(checkpoint)).toMatch(/^log\.example\/test\n7\n[A-Za-z0-9+/]{43}=\n$/)
  })

  it('rejects a checkpoint that has no time', async () => {
    expect(await outcomeOf(() => verifyCheckpoint(signed, alone))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a cosignature without the signature of the log', async () => {
    const note = parseNote(own)
    const unsigned = encodeNote({ ...note, signatures: note.signatures.slice(1) })
    expect(await outcomeOf(() => verifyCheckpoint(unsigned, alone))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects another log, and another origin under the same key', async () => {
    const other = noteSigner(ORIGIN, 'other log')
    const otherKey = await encodeVerifierKey({ name: ORIGIN, type: NOTE_ED25519, publicKey: other.publicKey })
    expect(await outcomeOf(() => verifyCheckpoint(own, { ...alone, key: otherKey }))).toBe('LOG_CHECKPOINT_INVALID')
    expect(await outcomeOf(() => verifyCheckpoint(own, { ...alone, origin: 'log.example/two' }))).toBe('LOG_CHECKPOINT_INVALID')
    const renamed = await encodeVerifierKey({ name: 'log.example/two', type: NOTE_ED25519, publicKey: log.publicKey })
    expect(await outcomeOf(() => verifyCheckpoint(own, { ...alone, key: renamed }))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a cosignature whose time was set forward', async () => {
    const note = parseNote(own)
    const [first, second] = note.signatures.map(defined)
    const later = defined(second).signature.map((byte, i) => (i === 7 ? byte + 1 : byte))
    const moved = encodeNote({ ...note, signatures: [defined(first), { ...defined(second), signature: later }] })
    expect(await outcomeOf(() => verifyCheckpoint(moved, alone))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a time that no calendar has', async () => {
    for (const time of [253_402_300_800, Number.MAX_SAFE_INTEGER]) {
      expect(await outcomeOf(async () => verifyCheckpoint(await cosign(signed, log, time), alone))).toBe('LOG_CHECKPOINT_INVALID')
    }
  })

  it('rejects a note signature used as a cosignature', async () => {
    const note = parseNote(signed)
    const line = defined(note.signatures[0])
    const keyId = await noteKeyId({ name: ORIGIN, type: COSIGNATURE_ED25519, publicKey: log.publicKey })
    for (const signature of [line.signature, Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1, ...line.signature)]) {
      const forged = encodeNote({ ...note, signatures: [...note.signatures, { name: ORIGIN, keyId, signature }] })
      expect(await outcomeOf(() => verifyCheckpoint(forged, alone))).toBe('LOG_CHECKPOINT_INVALID')
    }
  })

  it('rejects every single changed character', async () => {
    for (let i = 0; i < own.length; i++) {
      for (const char of [own[i] === 'A' ? 'B' : 'A', '\n']) {
        if (char === own[i]) continue
        const changed = `${own.slice(0, i)}${char}${own.slice(i + 1)}`
        expect(await outcomeOf(() => verifyCheckpoint(changed, alone)), `character ${i}`).toMatch(
          /^(NOTE_MALFORMED|LOG_CHECKPOINT_INVALID)$/,
        )
      }
    }
  })

  it('ignores signatures of keys that it does not know', async () => {
    const note = await cosign(own, noteSigner('stranger.example'), T + 99)
    expect((await verifyCheckpoint(note, alone)).time).toBe(T)
  })

  it('accepts an empty tree with the root of nothing only', async () => {
    const empty = { origin: ORIGIN, size: 0, root: await emptyRoot() }
    expect((await verifyCheckpoint(await cosign(await signCheckpoint(empty, log), log, T), alone)).size).toBe(0)
    const wrong = await cosign(await signCheckpoint({ ...checkpoint, size: 0 }, log), log, T)
    expect(await outcomeOf(() => verifyCheckpoint(wrong, alone))).toBe('LOG_CHECKPOINT_INVALID')
  })
})

describe('quorum of witnesses', () => {
  it('takes the latest time that k witnesses reach', async () => {
    const note = await cosignedAt(T, T + 20, T + 10)
    expect((await verifyCheckpoint(note, quorum(3))).time).toBe(T)
    expect((await verifyCheckpoint(note, quorum(2))).time).toBe(T + 10)
    expect((await verifyCheckpoint(note, quorum(1))).time).toBe(T + 20)
  })

  it('proves existence at the k-th earliest cosignature, which fewer liars than k cannot move back', async () => {
    const note = await cosignedAt(T, T + 20, T + 10)
    expect((await verifyCheckpoint(note, quorum(3))).provenBy).toBe(T + 20)
    expect((await verifyCheckpoint(note, quorum(2))).provenBy).toBe(T + 10)
    expect((await verifyCheckpoint(note, quorum(1))).provenBy).toBe(T)
  })

  it('rejects fewer than k', async () => {
    expect(await outcomeOf(async () => verifyCheckpoint(await cosignedAt(T), quorum(2)))).toBe('LOG_CHECKPOINT_INVALID')
    expect(await outcomeOf(() => verifyCheckpoint(own, quorum(1)))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects one witness that signs under two names', async () => {
    const twin = { ...defined(witnesses[0]), name: 'twin.example' }
    const twinKey = await encodeVerifierKey({ name: twin.name, type: COSIGNATURE_ED25519, publicKey: twin.publicKey })
    const note = await cosign(await cosignedAt(T), twin, T + 5)
    expect(await outcomeOf(() => verifyCheckpoint(note, quorum(2, [defined(witnessKeys[0]), twinKey])))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a log that witnesses itself', async () => {
    const self = await encodeVerifierKey({ name: ORIGIN, type: COSIGNATURE_ED25519, publicKey: log.publicKey })
    expect(await outcomeOf(() => verifyCheckpoint(own, quorum(1, [self])))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects cosignatures without the signature of the log', async () => {
    const note = parseNote(await cosignedAt(T, T, T))
    const unsigned = encodeNote({ ...note, signatures: note.signatures.slice(1) })
    expect(await outcomeOf(() => verifyCheckpoint(unsigned, quorum(2)))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a known witness whose cosignature is of another checkpoint', async () => {
    const elsewhere = parseNote(await cosign(await signCheckpoint({ ...checkpoint, size: 8 }, log), defined(witnesses[0]), T))
    const note = parseNote(await cosignedAt())
    const spliced = encodeNote({ ...note, signatures: [...note.signatures, ...elsewhere.signatures.slice(1)] })
    expect(await outcomeOf(() => verifyCheckpoint(spliced, quorum(1)))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects a quorum of none', async () => {
    expect(await outcomeOf(async () => verifyCheckpoint(await cosignedAt(T), quorum(0)))).toBe('LOG_CHECKPOINT_INVALID')
  })

  it('rejects keys of another signature type in the list of witnesses', async () => {
    expect(await outcomeOf(async () => verifyCheckpoint(await cosignedAt(T), quorum(1, [logKey])))).toBe('NOTE_MALFORMED')
  })
})

describe('a signer', () => {
  it('of a log signs under its own origin alone', async () => {
    await expect(signCheckpoint({ ...checkpoint, origin: 'log.example/two' }, log)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('cosigns nothing without a time, and nothing twice', async () => {
    for (const time of [0, -1, 1.5, Number.NaN]) await expect(cosign(signed, log, time)).rejects.toMatchObject({ code: 'INTERNAL' })
    expect(await outcomeOf(() => cosign(own, log, T + 1))).toBe('NOTE_MALFORMED')
    expect(await outcomeOf(() => cosign('no checkpoint', log, T))).toBe('NOTE_MALFORMED')
  })
})

describe('checkpoint text', () => {
  const root = 'A'.repeat(43)
  const line = '— a AAAAAAE=\n'
  it.each([
    ['a size with a leading zero', `o\n07\n${root}=\n\n${line}`],
    ['a negative size', `o\n-7\n${root}=\n\n${line}`],
    ['a size with a sign', `o\n+7\n${root}=\n\n${line}`],
    ['a size that is no number', `o\n7e1\n${root}=\n\n${line}`],
    ['no size', `o\n\n${root}=\n\n${line}`],
    ['a size of 2^53', `o\n9007199254740992\n${root}=\n\n${line}`],
    ['no origin', `\n7\n${root}=\n\n${line}`],
    ['a root without padding', `o\n7\n${root}\n\n${line}`],
    ['a short root', `o\n7\nAAAA\n\n${line}`],
    ['an extension line', `o\n7\n${root}=\nmore\n\n${line}`],
    ['an empty line in the text', `o\n7\n\n${root}=\n\n${line}`],
    ['no root', `o\n7\n\n${line}`],
  ])('refuses %s', async (_, note) => {
    expect(await outcomeOf(() => parseCheckpoint(note))).toBe('NOTE_MALFORMED')
  })

  it('is never written for a tree that could not be read back', async () => {
    for (const bad of [
      { ...checkpoint, size: -1 },
      { ...checkpoint, size: 1.5 },
      { ...checkpoint, size: 2 ** 53 },
      { ...checkpoint, root: new Uint8Array(31) },
      { ...checkpoint, origin: '' },
      { ...checkpoint, origin: 'a\nb' },
    ]) {
      expect(await outcomeOf(() => encodeCheckpoint(bad))).toBe('NOTE_MALFORMED')
    }
  })
})
