import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { collectTerms, parseTerm } from '../../../src/cli/legal-terms.ts'
import { iriField } from '../../../src/verify/documents/fields.ts'

describe('terms of the legal context', () => {
  it.each([
    ['dpv:AcademicResearch', 'https://w3id.org/dpv#AcademicResearch'],
    ['dpv-pd:HealthRecord', 'https://w3id.org/dpv/pd#HealthRecord'],
    ['eu-gdpr:A9-2-j', 'https://w3id.org/dpv/legal/eu/gdpr#A9-2-j'],
    ['hipaa:limited-data-set', 'urn:sealgate:hipaa:limited-data-set'],
    ['https://w3id.org/dpv#AcademicResearch', 'https://w3id.org/dpv#AcademicResearch'],
    ['urn:example:purpose', 'urn:example:purpose'],
  ])('reads %s', (text, iri) => {
    expect(parseTerm(text)).toBe(iri)
    expect(iriField.parse(iri)).toBe(iri)
  })

  it.each(['hipaa:treatmnt', 'hipaa:', 'AcademicResearch', '', 'dpv:', 'dpv:Academic Research', 'urn:a b'])('refuses %s', (text) => {
    expect(() => parseTerm(text)).toThrow(/^(Want an IRI|Of HIPAA there are)/)
  })

  it('yields an IRI that documents take, or refuses', () => {
    const part = fc.string({ unit: fc.constantFrom('h', 'i', 'p', 'a', 'd', 'v', '-', ':', '#', '/', '.', ' ', '\u00e9') })
    fc.assert(
      fc.property(part, (text) => {
        try {
          expect(iriField.safeParse(parseTerm(text)).success).toBe(true)
        } catch (error) {
          expect(String(error)).toMatch(/Want an IRI|Of HIPAA/)
        }
      }),
    )
  })

  it('collects what is repeated', () => {
    expect(collectTerms('hipaa:research', ['urn:a'])).toEqual(['urn:a', 'urn:sealgate:hipaa:research'])
  })
})
