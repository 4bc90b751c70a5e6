import { isPointOn } from '../../crypto/ec-spki.ts'
import { OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../../formats/x509.ts'
import { isAuthority } from '../authority.ts'
import { remember, type VerifyCache } from '../cache.ts'
import type { KnownCertificate } from '../collateral.ts'
import { isSignedBy } from '../signed-by.ts'
import { type Window, windowOf } from '../windows.ts'
import type { Questioned } from './ocsp.ts'
import { type NvidiaRoot, rootsKey } from './roots.ts'

/** What is true of a row of certificates for ever: leaf first, each issued by the next, the last a root. */
export interface PathFacts {
  /** Why the row is no path; null when it is one. */
  readonly broken: string | null
  /** The trusted root at its end; null when it ends elsewhere. */
  readonly root: NvidiaRoot | null
  /** Every certificate and the root are valid within. */
  readonly window: Window
  /** Every certificate but the root, with its issuer; none where the path leads to no trusted root. */
  readonly questions: readonly Questioned[]
}

const SCHEME = 'ecdsa-p384-sha384'
/** 9999-12-31T23:59:59Z, which RFC 5280 section 4.1.2.5 keeps for certificates that never expire. */
const LAST_INSTANT = 253_402_300_799_000

/**
 * Leads a row of certificates to a trusted root. The row must be the whole path in order, the root included: nothing is
 * looked up, left out or put in its place. Worked out once per cache; windows of time are the caller's to test.
 */
export async function establishPath(
  certificates: readonly KnownCertificate[],
  roots: readonly NvidiaRoot[],
  cache: VerifyCache,
): Promise<PathFacts> {
  return remember(cache, `nvidia-path:${pathKey(certificates, roots)}`, roomOf(certificates), async () => {
    const last = certificates.at(-1)
    const root = roots.find((r) => r.anchor.spkiSha256 === last?.spkiSha256 && r.anchor.subject === last.subject.text) ?? null
    return {
      broken: await findBreak(certificates, cache),
      root,
      window: windowOf(
        Math.max(...certificates.map((c) => c.notBefore), root?.anchor.notBefore ?? 0),
        Math.min(...certificates.map((c) => c.notAfter), root?.anchor.notAfter ?? LAST_INSTANT),
      ),
      questions: root === null ? [] : questionsOf(certificates, root),
    }
  })
}

function questionsOf(certificates: readonly KnownCertificate[], { anchor }: NvidiaRoot): readonly Questioned[] {
  return certificates.slice(0, -1).map((certificate, i) => {
    const issuer = certificates[i + 1] ?? certificate
    const { sha256, serial, subject } = certificate
    const key = `${sha256}:${issuer.spkiSha256}:${anchor.spkiSha256}`
    return { certificate, issuer, root: anchor, key, label: `${subject.commonName ?? subject.text} (serial ${serial})` }
  })
}

/** Room of a certificate and what was read of it, for the cache, beside its bytes. */
const FACTS_SIZE = 4096

/** What a cache entry keeps alive that holds these: their sizes are their maker's choice. */
export function roomOf(certificates: readonly KnownCertificate[]): number {
  return certificates.reduce((room, { raw }) => room + FACTS_SIZE + raw.length, 0)
}

/** Names these certificates in their order, and the roots. */
export function pathKey(certificates: readonly KnownCertificate[], roots: readonly NvidiaRoot[]): string {
  return `${certificates.map((c) => c.sha256).join()}:${rootsKey(roots)}`
}

async function findBreak(certificates: readonly KnownCertificate[], cache: VerifyCache): Promise<string | null> {
  for (const [i, certificate] of certificates.entries()) {
    const issuer = certificates[i + 1] ?? certificate
    const fault = faultOf(certificate, issuer, i)
    if (fault !== null) return `certificate ${i} (${certificate.subject.commonName}) ${fault}`
    if (!(await isSignedBy(cache, certificate, issuer))) return `certificate ${i} is not signed by ${issuer.subject.commonName}`
  }
  return null
}

/** @param below - Number of certificates below this one; the leaf does not count for path lengths (RFC 5280 section 4.2.1.9). */
function faultOf(certificate: KnownCertificate, issuer: KnownCertificate, below: number): string | null {
  if (certificate.issuer.text !== issuer.subject.text) return `is not issued by ${issuer.subject.commonName}`
  if (certificate.signatureScheme !== SCHEME || !isPointOn('P-384', certificate.spki)) return 'is not ECDSA P-384 with SHA-384'
  if (below === 0) return isEndEntity(certificate) ? null : 'is no signer of data'
  if (!isAuthority(certificate)) return 'may not sign certificates'
  const { pathLength } = certificate.basicConstraints ?? { pathLength: null }
  return pathLength !== null && below - 1 > pathLength ? `may not have ${below - 1} authorities below it` : null
}

/** Signs data and nothing else: no authority, no extended usage such as OCSP signing. */
function isEndEntity({ basicConstraints, keyUsage, extensions }: KnownCertificate): boolean {
  const plain = unknownCritical(extensions, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]).length === 0 && !extensions.has(OID_EXTENDED_KEY_USAGE)
  return basicConstraints?.ca !== true && keyUsage?.digitalSignature === true && !keyUsage.certSign && plain
}

export const OID_EXTENDED_KEY_USAGE = '2.5.29.37'
