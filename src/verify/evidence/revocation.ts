import type { Anchor } from '../trust/anchor.ts'
import type { Check } from '../verdict.ts'
import { scopeOf } from './authority.ts'
import { remember, type VerifyCache } from './cache.ts'
import { check, instant, type Now, unknown } from './check.ts'
import type { Collateral, KnownCrl } from './collateral.ts'
import { isSignedBy } from './signed-by.ts'

/** What CRLs say of an intermediate. `current` is the CRL that decided, null where none could. */
export interface Revocation {
  readonly checks: readonly Check[]
  readonly current: KnownCrl | null
}

/**
 * Whether `issuer` is on a CRL of `root`. Only CRLs that `root` signed count. The newest that is current at `now` decides; an
 * older or newer one can still show a revocation that had happened by then. With none the answer is `unknown`.
 */
export async function checkRevocation(
  issuer: Anchor,
  root: Anchor,
  collateral: Collateral,
  now: Now,
  cache: VerifyCache,
): Promise<Revocation> {
  const key = `crls:${root.spkiSha256}:${root.subject}:${scopeOf(collateral, [root])}`
  const { signed, isForged } = await remember(cache, key, 64 * collateral.crls.length, () => findCrls(root, collateral.crls, cache))
  const current = newest(signed.filter((c) => c.thisUpdate <= now.ms && now.ms <= c.nextUpdate))
  const checks = isForged ? [check('signature.crl', false, `CRL signed by ${shortName(root)}`, 'signature does not verify')] : []
  return { checks: [...checks, answerOf(issuer, root, signed, current, now)], current }
}

/** Its window is put into words once, with the facts it belongs to. */
interface SignedCrl extends KnownCrl {
  readonly until: string
}

interface SignedCrls {
  readonly signed: readonly SignedCrl[]
  /** There are only others in its name. */
  readonly isForged: boolean
}

async function findCrls(root: Anchor, crls: readonly KnownCrl[], cache: VerifyCache): Promise<SignedCrls> {
  const named = crls.filter((c) => c.issuer.text === root.subject)
  const signed: SignedCrl[] = []
  for (const crl of named) if (await isSignedBy(cache, crl, root)) signed.push({ ...crl, until: instant(crl.nextUpdate) })
  return { signed, isForged: named.length > 0 && signed.length === 0 }
}

function newest(crls: readonly SignedCrl[]): SignedCrl | null {
  return crls.reduce<SignedCrl | null>((best, crl) => (best === null || crl.thisUpdate > best.thisUpdate ? crl : best), null)
}

function answerOf(issuer: Anchor, root: Anchor, crls: readonly SignedCrl[], current: SignedCrl | null, now: Now): Check {
  const rule = 'revocation.issuer'
  const want = `serial ${issuer.serial} not on a CRL of ${shortName(root)} that is current at ${now.text}`
  for (const crl of crls) {
    const revokedAt = crl.revoked.get(issuer.serial)
    if (revokedAt !== undefined && (crl === current || revokedAt <= now.ms))
      return check(rule, false, want, `revoked at ${instant(revokedAt)}`)
  }
  if (current !== null) return check(rule, true, want, `not listed in the CRL that is current until ${current.until}`)
  return unknown(rule, want, crls.length === 0 ? 'no CRL given' : `CRL is not current: ${crls.map(windowText).join(', ')}`)
}

function shortName({ subject }: Anchor): string {
  return subject.slice(subject.lastIndexOf('CN=') + 3)
}

function windowText(crl: KnownCrl): string {
  return `${instant(crl.thisUpdate)} to ${instant(crl.nextUpdate)}`
}
