import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toBase64, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { AttestError } from '../../../../src/verify/errors.ts'
import { parsePem } from '../../../../src/verify/formats/pem.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const block = (label: string, body: string, end = label): string => `-----BEGIN ${label}-----\n${body}\n-----END ${end}-----\n`

describe('PEM', () => {
  it('gives back what was encoded, in order, with explanations between', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom('\n', '\r\n'),
        (list, eol) => {
          const text = list
            .map(
              (b) =>
                `# a note\n${block(
                  'CERTIFICATE',
                  toBase64(b)
                    .replace(/.{1,64}/g, '$&\n')
                    .trimEnd(),
                )}`,
            )
            .join('')
          expect(parsePem(text.replaceAll('\n', eol), 'x').map((b) => toHex(b.der))).toEqual(list.map(toHex))
        },
      ),
    )
  })

  it.each([
    ['that has no end', '-----BEGIN CERTIFICATE-----\nAAAA\n'],
    ['that ends as something else', block('CERTIFICATE', 'AAAA', 'X509 CRL')],
    ['with a stray character', block('CERTIFICATE', 'AA*A')],
    ['with spaces in it', block('CERTIFICATE', 'AA AA')],
    ['with headers', block('CERTIFICATE', 'Proc-Type: 4,ENCRYPTED\n\nAAAA')],
    ['with base64 that is cut off', block('CERTIFICATE', 'AAA')],
    ['whose second block is damaged', `${block('CERTIFICATE', 'AAAA')}-----BEGIN CERTIFICATE-----\nAA!\n-----END CERTIFICATE-----\n`],
    ['65 times over', block('CERTIFICATE', 'AAAA').repeat(65)],
  ])('rejects a block %s', async (_, text) => {
    expect(await outcomeOf(() => parsePem(text, 'x'))).toBe('ENCODING_INVALID')
  })

  it('fails only with an AttestError, in linear time', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 100, unit: fc.constantFrom('-----BEGIN A-----\n', '-----END A-----', 'AAAA', '\n', '-', '=') }),
        (text) => {
          try {
            parsePem(text, 'x')
          } catch (error) {
            expect(error).toBeInstanceOf(AttestError)
          }
        },
      ),
    )
    expect(() => parsePem('-----BEGIN A-----\n'.repeat(50_000), 'x')).toThrow(AttestError)
  })
})
