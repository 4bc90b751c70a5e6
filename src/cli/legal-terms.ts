import { InvalidArgumentError } from 'commander'

/**
 * Prefixes for terms of the legal context. Documents hold the whole IRI.
 * W3C Data Privacy Vocabulary 2: namespaces of the core, of personal data and of the GDPR extension.
 */
const PREFIXES: Readonly<Record<string, string>> = {
  dpv: 'https://w3id.org/dpv#',
  'dpv-pd': 'https://w3id.org/dpv/pd#',
  'eu-gdpr': 'https://w3id.org/dpv/legal/eu/gdpr#',
}

const HIPAA = 'urn:sealgate:hipaa:'

/** Words of 45 CFR Part 164, for which no published vocabulary has IRIs. Each with its section: docs/formats/legal.md. */
const HIPAA_TERMS: ReadonlySet<string> = new Set([
  // Categories of data.
  'protected-health-information',
  'limited-data-set',
  'de-identified',
  'psychotherapy-notes',
  // Purposes.
  'treatment',
  'payment',
  'health-care-operations',
  'research',
  'public-health',
  // Legal basis.
  'authorization',
])

/**
 * The IRI of a term as people write it: `dpv:AcademicResearch`, `dpv-pd:HealthRecord`, `eu-gdpr:A9-2-j`, `hipaa:treatment`, or an
 * IRI as it is. A word of HIPAA that is not in the list is a mistake: a grant under a misspelt one would allow nothing.
 */
export function parseTerm(text: string): string {
  const [, prefix = '', name = ''] = /^([a-z][a-z0-9-]*):([A-Za-z0-9][A-Za-z0-9._-]*)$/.exec(text) ?? []
  const base = PREFIXES[prefix]
  if (base !== undefined) return base + name
  if (prefix === 'hipaa') {
    if (HIPAA_TERMS.has(name)) return HIPAA + name
    throw new InvalidArgumentError(`Of HIPAA there are ${[...HIPAA_TERMS].join(', ')}.`)
  }
  if (/^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i.test(text)) return text
  throw new InvalidArgumentError('Want an IRI, or a term such as dpv:AcademicResearch or hipaa:treatment.')
}

/** For options that may be repeated. */
export function collectTerms(text: string, list: readonly string[]): readonly string[] {
  return [...list, parseTerm(text)]
}
