import { isPointOn } from '../../crypto/ec-spki.ts'
import { type Certificate, OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../../formats/x509.ts'
import type { Anchor } from '../../trust/anchor.ts'
import { AWS_NITRO_ROOT, AWS_NITRO_ROOT_SHA256 } from '../../trust/aws.ts'
import type { Check } from '../../verdict.ts'
import { isAuthority } from '../authority.ts'
import type { VerifyCache } from '../cache.ts'
import { check } from '../check.ts'
import { type KnownCertificate, readCertificate } from '../collateral.ts'
import { isSignedBy } from '../signed-by.ts'
import type { NitroDocument } from './parse.ts'

/** A root under which documents may stand. */
export interface NitroRoot {
  readonly anchor: Anchor
  /** Of the one certificate that is trusted; null where the key is enough. */
  readonly sha256: string | null
  /** Chosen by the caller, not AWS's: whatever verifies under it proves nothing about hardware. */
  readonly simulated: boolean
}

const LINK = 'each certificate issued by the one before it'
const ENCLAVE_ID = /^i-[0-9a-f]{8,17}-enc[0-9a-f]{1,32}$/

const AWS: NitroRoot = { anchor: AWS_NITRO_ROOT, sha256: AWS_NITRO_ROOT_SHA256, simulated: false }

/** AWS's root first; a caller's root that repeats its key adds nothing. */
export function nitroRoots(simulated: readonly Anchor[]): readonly NitroRoot[] {
  const others = simulated.filter((a) => a.spkiSha256 !== AWS.anchor.spkiSha256)
  return [AWS, ...others.map((anchor) => ({ anchor, sha256: null, simulated: true }))]
}

/** The certificates of a document, root first, leaf last. */
export interface NitroChain {
  readonly authorities: readonly KnownCertificate[]
  readonly leaf: KnownCertificate
  /** Null where the first certificate is no trusted root. */
  readonly root: NitroRoot | null
  readonly checks: readonly Check[]
}

/**
 * Reads the chain that a document brings and checks it link by link: `cabundle[0]` is a trusted root, each certificate is issued
 * by the one before it, and the leaf by the last. Their windows are checked elsewhere.
 * @throws AttestError `DER_MALFORMED`, `CERTIFICATE_MALFORMED`, `EVIDENCE_UNSUPPORTED`.
 */
export async function readChain(document: NitroDocument, roots: readonly NitroRoot[], cache: VerifyCache): Promise<NitroChain> {
  const authorities: KnownCertificate[] = []
  for (const [i, der] of document.cabundle.entries()) authorities.push(await readCertificate(der, `nitro.cabundle[${i}]`, cache))
  const leaf = await readCertificate(document.certificate, 'nitro.certificate', cache)
  const root = await findRoot(authorities[0], roots, cache)
  const checks = [
    check('chain.root', root !== null, 'cabundle[0] is the Nitro root G1 or a root that was named', authorities[0]?.subject.text ?? 'none'),
    await linkCheck([...authorities, leaf], cache),
    authorityCheck(authorities),
    check('chain.leaf', isFitLeaf(leaf), 'P-384, digitalSignature, no CA', leaf.subject.text),
    check('chain.module-id', isNamedAfter(document.moduleId, leaf), `certificate of an enclave ${document.moduleId}`, leaf.subject.text),
  ]
  return { authorities, leaf, root, checks }
}

/** Facts of a caller's root are taken from the certificate that came with the document, so it has to be signed with that root's key. */
async function findRoot(first: KnownCertificate | undefined, roots: readonly NitroRoot[], cache: VerifyCache): Promise<NitroRoot | null> {
  if (first === undefined) return null
  const root = roots.find(({ anchor }) => first.spkiSha256 === anchor.spkiSha256 && first.subject.text === anchor.subject)
  if (root === undefined) return null
  const holds = root.sha256 === null ? await isSignedBy(cache, first, root.anchor) : first.sha256 === root.sha256
  return holds ? root : null
}

async function linkCheck(path: readonly KnownCertificate[], cache: VerifyCache): Promise<Check> {
  for (const [i, certificate] of path.entries()) {
    const issuer = path[i - 1]
    if (issuer === undefined) continue
    const holds = certificate.issuer.text === issuer.subject.text && (await isSignedBy(cache, certificate, issuer))
    if (!holds) return check('chain.path', false, LINK, `${certificate.subject.text} is not issued by ${issuer.subject.text}`)
  }
  return check('chain.path', true, LINK, `${path.length} certificates`)
}

/** RFC 5280 section 6.1.4 (k) to (n), and AWS's one curve (attestation_process.md section 3.2.3). */
function authorityCheck(authorities: readonly KnownCertificate[]): Check {
  const unfit = authorities.find((authority, i) => {
    const below = authorities.length - 1 - i
    const pathLength = authority.basicConstraints?.pathLength ?? below
    return !(isAuthority(authority) && usesP384(authority) && below <= pathLength)
  })
  const got = unfit === undefined ? `${authorities.length} authorities` : unfit.subject.text
  return check('chain.authorities', unfit === undefined, 'P-384, CA, keyCertSign, path length not exceeded', got)
}

function isFitLeaf(leaf: Certificate): boolean {
  const known = unknownCritical(leaf.extensions, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE]).length === 0
  return usesP384(leaf) && known && leaf.basicConstraints?.ca !== true && leaf.keyUsage?.digitalSignature === true
}

function usesP384({ signatureScheme, spki }: Certificate): boolean {
  return signatureScheme === 'ecdsa-p384-sha384' && isPointOn('P-384', spki)
}

/** The form tells an enclave from a whole instance, whose documents come from the same root; the leaf's name repeats it. */
function isNamedAfter(moduleId: string, { subject }: Certificate): boolean {
  return ENCLAVE_ID.test(moduleId) && subject.commonName?.startsWith(`${moduleId}.`) === true
}
