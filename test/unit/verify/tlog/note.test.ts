import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { crypto } from '../../../../src/verify/crypto/node.ts'
import { encodeNote, encodeVerifierKey, NOTE_ED25519, noteKeyId, parseNote, parseVerifierKey } from '../../../../src/verify/tlog/index.ts'
import { importEd25519 } from '../../../../src/verify/tlog/vkey.ts'
import { defined } from '../../../support/defined.ts'
import { testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'

/** From the documentation of Go's golang.org/x/mod/sumdb/note. */
const GO_KEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'
const GO_NOTE = [
  'If you think cryptography is the answer to your problem,',
  "then you don't know what your problem is.",
  '',
  '— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=',
  '',
].join('\n')

/** From C2SP signed-note: the text holds an empty line. */
const C2SP_NOTE = [
  'Ognuno sta solo sul cuor della terra',
  'trafitto da un raggio di sole:',
  '',
  'ed è subito sera.',
  '',
  '— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=',
  '',
].join('\n')

const A = 'AAAAAAE='
const B = 'AAAAAQE='

describe('signed note', () => {
  it("reads and verifies the note of Go's documentation", async () => {
    const key = await parseVerifierKey(GO_KEY, NOTE_ED25519)
    const { text, signatures } = parseNote(GO_NOTE)
    expect(signatures[0]?.name).toBe('PeterNeumann')
    expect(signatures[0]?.keyId).toEqual(await noteKeyId(key))
    const imported = await importEd25519(key.publicKey)
    expect(await crypto.verify(imported, defined(signatures[0]).signature, utf8(text))).toBe(true)
    expect(await crypto.verify(imported, defined(signatures[0]).signature, utf8(`${text} `))).toBe(false)
  })

  it('takes the last empty line as the border, as the example of C2SP needs', () => {
    const note = parseNote(C2SP_NOTE)
    expect(note.text.endsWith('ed è subito sera.\n')).toBe(true)
    expect(note.signatures.map((s) => s.signature.length)).toEqual([64])
    expect(encodeNote(note)).toBe(C2SP_NOTE)
  })

  it.each([
    ['no signature', 'text\n'],
    ['no signature after the border', 'text\n\n'],
    ['no text', `\n— a ${A}\n`],
    ['only the border before the signature', `\n\n— a ${A}\n`],
    ['no last newline', `text\n\n— a ${A}`],
    ['a hyphen for the em dash', `text\n\n- a ${A}\n`],
    ['no space after the em dash', `text\n\n—a ${A}\n`],
    ['two spaces', `text\n\n—  a ${A}\n`],
    ['a space at the end', `text\n\n— a ${A} \n`],
    ['no name', `text\n\n—  ${A}\n`],
    ['a plus in the name', `text\n\n— a+b ${A}\n`],
    ['a letter beyond ASCII in the name', `text\n\n— é ${A}\n`],
    ['base64 without padding', 'text\n\n— a AAAAAAE\n'],
    ['base64 with unused bits set', 'text\n\n— a AAAAAAF=\n'],
    ['base64url', 'text\n\n— a AAAA-_E=\n'],
    ['a key id without signature', 'text\n\n— a AAAAAA==\n'],
    ['carriage returns', `text\r\n\r\n— a ${A}\r\n`],
    ['a tab in the text', `te\txt\n\n— a ${A}\n`],
    ['a lone surrogate', `\ud800\n\n— a ${A}\n`],
    ['one key twice', `text\n\n— a ${A}\n— a AAAAAAI=\n`],
    ['more than 100 signatures', `text\n\n${Array.from({ length: 101 }, (_, i) => `— a${i} ${A}\n`).join('')}`],
    ['more than 16 KiB', `${'x'.repeat(16 * 1024)}\n\n— a ${A}\n`],
  ])('refuses a note with %s', async (_, note) => {
    expect(await outcomeOf(() => parseNote(note))).toBe('NOTE_MALFORMED')
  })

  it('keeps lines of one name under two keys apart', () => {
    expect(parseNote(`text\n\n— a ${A}\n— a ${B}\n`).signatures).toHaveLength(2)
  })

  it('fails only with NOTE_MALFORMED, and reads nothing that it would not write back', () => {
    const line = fc.constantFrom('text', '', '— a AAAAAAE=', '— b AAAAAAE=', '— ', '-- a AAAAAAE=', '—', '0')
    const note = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(line).map((lines) => lines.join('\n')),
      fc.array(line).map((lines) => `${lines.join('\n')}\n`),
    )
    fc.assert(
      fc.property(note, (text) => {
        try {
          expect(encodeNote(parseNote(text))).toBe(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'NOTE_MALFORMED' })
        }
      }),
      { numRuns: 2000, seed: 3 },
    )
  })

  it('writes what it reads, for any text and signatures', () => {
    const text = fc
      .array(
        fc.string({ unit: 'grapheme' }).filter((s) => !hasControl(s)),
        { minLength: 1, maxLength: 5 },
      )
      .map((lines) => `${lines.join('\n')}\n`)
      .filter((t) => t !== '\n')
    const signature = fc.record({
      name: fc.stringMatching(/^[a-z./]{1,20}$/),
      keyId: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
    })
    const signatures = fc.uniqueArray(signature, { minLength: 1, maxLength: 4, selector: (s) => s.name })
    fc.assert(
      fc.property(text, signatures, (body, lines) => {
        expect(parseNote(encodeNote({ text: body, signatures: lines }))).toEqual({ text: body, signatures: lines })
      }),
      { numRuns: 300, seed: 4 },
    )
  })
})

describe('verifier key', () => {
  it.each([GO_KEY, 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8'])('reads and writes %s', async (text) => {
    expect(await encodeVerifierKey(await parseVerifierKey(text, NOTE_ED25519))).toBe(text)
  })

  it.each([
    ['no key', 'PeterNeumann+c74f20a3'],
    ['another key id', GO_KEY.replace('c74f20a3', 'c74f20a4')],
    ['an upper-case key id', GO_KEY.replace('c74f20a3', 'C74F20A3')],
    ['another name', GO_KEY.replace('Peter', 'Pater')],
    ['an empty name', GO_KEY.replace('PeterNeumann', '')],
    ['a key of another type', GO_KEY.replace('+AR', '+BB')],
    ['a key that is cut', GO_KEY.slice(0, -4)],
    ['a second spelling of its base64', `${GO_KEY.slice(0, -1)}X`],
  ])('refuses %s', async (_, text) => {
    expect(await outcomeOf(() => parseVerifierKey(text, NOTE_ED25519))).toBe('NOTE_MALFORMED')
  })

  it('writes no key with a name that could not be read', async () => {
    const publicKey = testBytes('key', 32)
    for (const name of ['', 'a b', 'a+b', 'a\nb', 'x'.repeat(256)]) {
      expect(await outcomeOf(() => encodeVerifierKey({ name, type: NOTE_ED25519, publicKey }))).toBe('NOTE_MALFORMED')
    }
    expect(await outcomeOf(() => encodeVerifierKey({ name: 'a', type: NOTE_ED25519, publicKey: publicKey.slice(1) }))).toBe(
      'NOTE_MALFORMED',
    )
  })
})

function hasControl(text: string): boolean {
  return Array.from(text).some((c) => c < ' ')
}
