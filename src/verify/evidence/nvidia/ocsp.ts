import { equal } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'
import { DerReader, TAG } from '../../formats/der.ts'
import { isAbout, isResponder, REASON_HOLD, type SingleResponse } from '../../formats/ocsp.ts'
import { OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, unknownCritical } from '../../formats/x509.ts'
import type { Check } from '../../verdict.ts'
import { remember, type VerifyCache } from '../cache.ts'
import { check, instant, type Now, unknown } from '../check.ts'
import type { Collateral, KnownCertificate, KnownOcsp } from '../collateral.ts'
import { isSignedBy, type KeyBytes } from '../signed-by.ts'
import { OID_EXTENDED_KEY_USAGE } from './path.ts'

/** How fresh answers must be, and what of them is forgiven. */
export interface OcspPolicy {
  /** Longest time since `thisUpdate`; without it `nextUpdate` alone decides. */
  readonly maxAgeSeconds?: number
  /** Nonce that answers must repeat. */
  readonly nonce?: Uint8Array
}

/** A certificate that answers may be about, with its issuer and the root of its path. */
export interface Questioned {
  readonly certificate: KnownCertificate
  readonly issuer: KnownCertificate
  readonly root: KeyBytes & { readonly subject: string }
  /** Names the three. */
  readonly key: string
  readonly label: string
}

/** An answer about one certificate, signed by somebody who may. */
export interface Answer {
  readonly response: SingleResponse
  readonly nonce: Uint8Array | null
  /** While the responder's certificate is valid; milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  /** From `thisUpdate` to `nextUpdate`, for people. */
  readonly text: string
}

/** OCSP responses among collateral. */
export type GivenOcsp = Pick<Collateral, 'id' | 'ocsp'>

interface Answers {
  /** How many claim to be about the certificate. */
  readonly named: number
  readonly signed: readonly Answer[]
}

const OID_OCSP_SIGNING = '1.3.6.1.5.5.7.3.9'
/** Answers with one serial number: each costs digests and signature checks, and with some left out a revocation could be. */
const MAX_ANSWERS = 16

/**
 * @param rule - Last part of the rule's name. @param allowHold - Whether `certificateHold` may pass.
 * @throws AttestError `LIMIT_EXCEEDED` for more answers than anybody needs.
 */
export async function checkOcsp(
  rule: string,
  questioned: Questioned,
  given: GivenOcsp,
  policy: OcspPolicy,
  allowHold: boolean,
  now: Now,
  cache: VerifyCache,
): Promise<{ readonly checks: readonly Check[]; readonly current: Answer | null }> {
  const answers = await findAnswers(questioned, given, cache)
  const want = `${questioned.label} good at ${now.text}`
  if (answers.named > 0 && answers.signed.length === 0) {
    const forged = check(`signature.ocsp-${rule}`, false, 'OCSP response signed by its responder', 'signature does not verify')
    return { checks: [forged, unknown(`revocation.${rule}`, want, 'no OCSP response that counts')], current: null }
  }
  const { signed } = answers
  const current = newest(signed.filter((answer) => isCurrent(answer, policy, now)))
  return { checks: [answerOf(`revocation.${rule}`, want, signed, current, allowHold, now)], current }
}

/** Only a revocation for good outlives its answer; a hold may be taken back by the next one. */
function answerOf(
  rule: Check['rule'],
  want: string,
  signed: readonly Answer[],
  current: Answer | null,
  allowHold: boolean,
  now: Now,
): Check {
  for (const { response } of signed) {
    const forGood = response.status === 'revoked' && response.reason !== REASON_HOLD
    if (forGood && (response.revokedAt ?? 0) <= now.ms)
      return check(rule, false, want, `revoked at ${instant(response.revokedAt ?? 0)}, reason ${response.reason}`)
  }
  if (current === null)
    return unknown(
      rule,
      want,
      signed.length === 0 ? 'no OCSP response given' : `OCSP response does not count: ${signed.map((answer) => answer.text).join(', ')}`,
    )
  const { status, revokedAt, reason } = current.response
  if (status === 'unknown') return unknown(rule, want, 'the responder does not know it')
  if (status === 'good') return check(rule, true, want, `good: ${current.text}`)
  const onHold = reason === REASON_HOLD
  const got = `${onHold ? 'on hold since' : 'revoked from'} ${instant(revokedAt ?? 0)}${onHold ? '' : ` on, reason ${reason}`}`
  return check(rule, allowHold && onHold, `${want}${allowHold ? ', or on hold' : ''}`, got)
}

function isCurrent({ response, nonce, notBefore, notAfter }: Answer, policy: OcspPolicy, { ms }: Now): boolean {
  const { thisUpdate, nextUpdate } = response
  const inWindow = nextUpdate !== null && thisUpdate <= ms && ms <= nextUpdate && notBefore <= ms && ms <= notAfter
  const young = policy.maxAgeSeconds === undefined || ms - thisUpdate <= 1000 * policy.maxAgeSeconds
  const repeats = policy.nonce === undefined || (nonce !== null && equal(nonce, policy.nonce))
  return inWindow && young && repeats
}

function newest(answers: readonly Answer[]): Answer | null {
  return answers.reduce<Answer | null>(
    (best, answer) => (best === null || answer.response.thisUpdate > best.response.thisUpdate ? answer : best),
    null,
  )
}

function windowText({ thisUpdate, nextUpdate }: SingleResponse, nonce: Uint8Array | null): string {
  return `${instant(thisUpdate)} to ${nextUpdate === null ? 'unset' : instant(nextUpdate)}${nonce === null ? ', no nonce' : ''}`
}

/** What the given responses say of one certificate; `id` names them, so it is worked out once per cache. */
function findAnswers(questioned: Questioned, { id, ocsp }: GivenOcsp, cache: VerifyCache): Answers | Promise<Answers> {
  const { serial } = questioned.certificate
  return remember(cache, `ocsp-answers:${id}:${questioned.key}`, 0, async () => {
    const signed: Answer[] = []
    let named = 0
    const candidates = ocsp.flatMap((given) => given.responses.filter((r) => r.serial === serial).map((r) => [given, r] as const))
    if (candidates.length > MAX_ANSWERS)
      throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_ANSWERS} OCSP answers about serial ${serial}`, { at: 'ocsp' })
    for (const [given, response] of candidates) {
      const found = await readAnswer(given, response, questioned, cache)
      if (found !== 'other') named++
      if (typeof found === 'object') signed.push(found)
    }
    return { named, signed }
  })
}

async function readAnswer(
  ocsp: KnownOcsp,
  response: SingleResponse,
  questioned: Questioned,
  cache: VerifyCache,
): Promise<Answer | 'forged' | 'other'> {
  if (!(await isAbout(response, questioned.certificate, questioned.issuer.spki))) return 'other'
  const signer = await findSigner(ocsp, questioned, cache)
  if (signer === null) return 'forged'
  const { nonce } = ocsp
  return { response, nonce, notBefore: signer.notBefore, notAfter: signer.notAfter, text: windowText(response, nonce) }
}

/** The issuer itself, or a delegate that it or the root of the path named (RFC 6960 section 4.2.2.2). */
async function findSigner(ocsp: KnownOcsp, { issuer, root }: Questioned, cache: VerifyCache): Promise<KnownCertificate | null> {
  for (const candidate of [...ocsp.delegates, issuer]) {
    if (!(await isResponder(ocsp, candidate)) || !(await isSignedBy(cache, ocsp, candidate))) continue
    if (candidate.spkiSha256 === issuer.spkiSha256 && candidate.subject.text === issuer.subject.text) return issuer
    if (isDelegate(candidate) && (await isNamedBy(candidate, [{ ...issuer, subject: issuer.subject.text }, root], cache))) return candidate
  }
  return null
}

async function isNamedBy(delegate: KnownCertificate, authorities: readonly Questioned['root'][], cache: VerifyCache): Promise<boolean> {
  for (const authority of authorities) {
    if (delegate.issuer.text === authority.subject && (await isSignedBy(cache, delegate, authority))) return true
  }
  return false
}

/** Signs OCSP responses and no certificates. */
function isDelegate({ basicConstraints, keyUsage, extensions }: KnownCertificate): boolean {
  const usages = extensions.get(OID_EXTENDED_KEY_USAGE)
  const known = unknownCritical(extensions, [OID_BASIC_CONSTRAINTS, OID_KEY_USAGE, OID_EXTENDED_KEY_USAGE]).length === 0
  const signs = keyUsage?.digitalSignature === true && !keyUsage.certSign && basicConstraints?.ca !== true
  return known && signs && usages !== undefined && listsOcspSigning(usages.value)
}

/** ExtKeyUsageSyntax (RFC 5280 section 4.2.1.12). */
function listsOcspSigning(value: Uint8Array): boolean {
  const list = new DerReader(value, 'extKeyUsage').only((r) => r.open(TAG.sequence))
  const usages: string[] = []
  while (!list.done) usages.push(list.oid())
  return usages.includes(OID_OCSP_SIGNING)
}
