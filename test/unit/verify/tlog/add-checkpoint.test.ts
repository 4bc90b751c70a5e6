import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cosign, signCheckpoint } from '../../../../src/seal/note.ts'
import { concat, fromUtf8, toBase64, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import {
  encodeAddCheckpoint,
  MAX_ADD_CHECKPOINT_SIZE,
  parseAddCheckpoint,
  verifyCosignature,
  verifyLogCheckpoint,
} from '../../../../src/verify/tlog/index.ts'
import { cosignerKeyOf, logKeyOf, noteSigner, testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const ORIGIN = 'log.example/test'
const log = noteSigner(ORIGIN)
const witness = noteSigner('w1.example')
const note = await signCheckpoint({ origin: ORIGIN, size: 7, root: testBytes('root', 32) }, log)
const hash = testBytes('hash', 32)
const refusal = (text: string): Promise<string> => outcomeOf(() => parseAddCheckpoint(utf8(text)))

describe('the body of add-checkpoint', () => {
  it('is what C2SP tlog-witness says: old size, hashes, an empty line, the checkpoint', () => {
    const body = encodeAddCheckpoint({ oldSize: 3, proof: [hash, hash], note })
    expect(fromUtf8(body)).toBe(`old 3\n${toBase64(hash)}\n${toBase64(hash)}\n\n${note}`)
    expect(parseAddCheckpoint(body)).toMatchObject({ oldSize: 3, proof: [hash, hash], note, checkpoint: { origin: ORIGIN, size: 7 } })
  })

  it('may have no proof lines', () => {
    expect(parseAddCheckpoint(utf8(`old 0\n\n${note}`))).toMatchObject({ oldSize: 0, proof: [] })
  })

  it.each([
    ['a leading zero', `old 03\n\n${note}`],
    ['a sign', `old -3\n\n${note}`],
    ['no size', `old \n\n${note}`],
    ['no "old"', `3\n\n${note}`],
    ['two spaces', `old  3\n\n${note}`],
    ['a size of 2^53', `old 9007199254740992\n\n${note}`],
    ['a carriage return', `old 3\r\n\r\n${note}`],
    ['a short hash', `old 3\n${toBase64(hash.subarray(1))}\n\n${note}`],
    ['a hash without padding', `old 3\n${toBase64(hash).replace('=', '')}\n\n${note}`],
    ['64 proof lines', `old 3\n${`${toBase64(hash)}\n`.repeat(64)}\n${note}`],
    ['no empty line', `old 3\n${note}`],
    ['no checkpoint', 'old 3\n\n'],
    ['an extension line in the checkpoint', `old 3\n\n${note.replace('\n\n', '\nmore\n\n')}`],
    ['bytes after the checkpoint', `old 3\n\n${note}x`],
    ['nothing', ''],
  ])('is refused with %s', async (_what, text) => {
    expect(await refusal(text)).toBe('NOTE_MALFORMED')
  })

  it('is refused when it is not UTF-8', async () => {
    expect(await outcomeOf(() => parseAddCheckpoint(concat(utf8(`old 3\n\n${note}`), Uint8Array.of(0xff))))).toBe('ENCODING_INVALID')
  })

  it('is refused before it is read when it is too long', async () => {
    expect(await outcomeOf(() => parseAddCheckpoint(new Uint8Array(MAX_ADD_CHECKPOINT_SIZE + 1)))).toBe('LIMIT_EXCEEDED')
  })

  it('has one spelling, whatever the bytes', async () => {
    const body = encodeAddCheckpoint({ oldSize: 3, proof: [hash], note })
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length - 1), fc.nat(255), async (at, value) => {
        const twisted = Uint8Array.from(body)
        twisted[at] = value
        const outcome = await outcomeOf(() => parseAddCheckpoint(twisted))
        if (outcome === 'accepted') expect(encodeAddCheckpoint(parseAddCheckpoint(twisted))).toEqual(twisted)
        else expect(['NOTE_MALFORMED', 'ENCODING_INVALID']).toContain(outcome)
      }),
      { numRuns: 300 },
    )
  })

  it('comes back from what was encoded', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31 - 1), fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 63 }), (oldSize, proof) => {
        expect(parseAddCheckpoint(encodeAddCheckpoint({ oldSize, proof, note }))).toMatchObject({ oldSize, proof, note })
      }),
      { numRuns: 50 },
    )
  })
})

describe('a checkpoint that asks for cosignatures', () => {
  it('needs the signature of its log, and no time', async () => {
    const trust = { origin: ORIGIN, key: await logKeyOf(log) }
    expect(await verifyLogCheckpoint(note, trust)).toMatchObject({ origin: ORIGIN, size: 7 })
    const forged = await signCheckpoint({ origin: ORIGIN, size: 7, root: hash }, noteSigner(ORIGIN, 'another key'))
    expect(await outcomeOf(() => verifyLogCheckpoint(forged, trust))).toBe('LOG_CHECKPOINT_INVALID')
    expect(await outcomeOf(() => verifyLogCheckpoint(note, { ...trust, origin: 'other' }))).toBe('LOG_CHECKPOINT_INVALID')
  })
})

describe('a cosignature', () => {
  it('is read with its time under the key of its witness', async () => {
    expect(await verifyCosignature(await cosign(note, witness, 1_780_000_000), await cosignerKeyOf(witness))).toMatchObject({
      time: 1_780_000_000,
      line: { name: 'w1.example' },
    })
  })

  it('of nobody, of another key under the name, or over another tree is none', async () => {
    const key = await cosignerKeyOf(witness)
    expect(await outcomeOf(() => verifyCosignature(note, key))).toBe('LOG_CHECKPOINT_INVALID')
    const posing = await cosign(note, noteSigner('w1.example', 'posing'), 1_780_000_000)
    expect(await outcomeOf(() => verifyCosignature(posing, key))).toBe('LOG_CHECKPOINT_INVALID')
    const other = await signCheckpoint({ origin: ORIGIN, size: 8, root: hash }, log)
    const moved = `${other}${(await cosign(note, witness, 1_780_000_000)).slice(note.length)}`
    expect(await outcomeOf(() => verifyCosignature(moved, key))).toBe('LOG_CHECKPOINT_INVALID')
  })
})
