import type { Check } from '../../../verdict.ts'
import { remember, type VerifyCache } from '../../cache.ts'
import { check, type Now, unknown } from '../../check.ts'
import type { KnownRim } from '../../collateral.ts'
import { isSignedBy } from '../../signed-by.ts'
import { checkCertificateWindow, isWithin } from '../../windows.ts'
import { isDeviceCertificate } from '../architecture.ts'
import { establishPath, type PathFacts, roomOf } from '../path.ts'
import { type NvidiaRoot, rootsKey } from '../roots.ts'

/** Which part of a device's firmware a manifest is about. */
export type RimSource = 'driver' | 'vbios' | 'bios'

/** What is true of a manifest for ever. */
export interface RimFacts {
  readonly rim: KnownRim
  readonly path: PathFacts
  /** The signature is that of the signer and over this very document. */
  readonly authentic: boolean
}

/** Manifests of one version that are looked at: each costs signature checks. */
const MAX_CANDIDATES = 8
/** A golden value and the object that holds it, for the cache. */
const VALUE_ROOM = 256

/**
 * The manifest of this version among those given: the one that is for the product and trusted, if any is. Manifests are
 * signed again with the same content when their signers expire, so the one that is valid at `now` goes first.
 */
export async function chooseRim(
  rims: readonly KnownRim[],
  version: string,
  product: string | null,
  roots: readonly NvidiaRoot[],
  now: Now,
  cache: VerifyCache,
): Promise<RimFacts | null> {
  const candidates: RimFacts[] = []
  for (const rim of rims) {
    if (rim.colloquialVersion !== version || candidates.length >= MAX_CANDIDATES) continue
    candidates.push(await establishRim(rim, roots, cache))
  }
  const score = (facts: RimFacts): number =>
    (facts.rim.product === product ? 8 : 0) +
    (facts.authentic ? 4 : 0) +
    (isTrusted(facts) ? 2 : 0) +
    (isWithin(facts.path.window, now.ms) ? 1 : 0)
  return candidates.reduce<RimFacts | null>((best, facts) => (best === null || score(facts) > score(best) ? facts : best), null)
}

/** What is true of a manifest, whenever it is asked; once per cache. */
export function establishRim(rim: KnownRim, roots: readonly NvidiaRoot[], cache: VerifyCache): RimFacts | Promise<RimFacts> {
  const key = `rim:${rim.sha256}:${rootsKey(roots)}`
  const values = rim.measurements.reduce((room, { alternatives }) => room + alternatives.length * VALUE_ROOM, rim.tbs.length)
  return remember(cache, key, values + roomOf(rim.chain), async () => {
    const [signer] = rim.chain
    const signed = signer !== undefined && (await isSignedBy(cache, rim, signer))
    return { rim, path: await establishPath(rim.chain, roots, cache), authentic: signed && rim.digestMatches }
  })
}

/** A caller's root may stand over devices as well as over manifests: no device then speaks for its own firmware. */
export function isTrusted({ rim, path }: RimFacts): boolean {
  return path.broken === null && path.root !== null && !rim.chain.some(isDeviceCertificate)
}

/** The rules about one manifest. Leaving it out makes its rule `unknown`. */
export function checkRim(facts: RimFacts | null, source: RimSource, version: string, product: string | null, now: Now): readonly Check[] {
  const want = `manifest of ${product ?? 'the device'} ${version}`
  if (facts === null) return [unknown(`reference-values.${source}-rim`, want, 'none given')]
  const { rim, path, authentic } = facts
  const names = rim.chain.map((c) => c.subject.commonName ?? c.subject.text).join(' < ')
  const got = path.broken ?? (isTrusted(facts) ? names : `${names}: not trusted`)
  return [
    check(`signature.${source}-rim`, authentic, 'ECDSA P-384 with SHA-384 over the whole document', signatureText(facts)),
    check(`chain.${source}-rim`, isTrusted(facts), 'signer under a trusted root', got),
    checkCertificateWindow(`validity.${source}-rim`, path.window, now),
    check(`reference-values.${source}-rim`, rim.product === product, want, `${rim.product} ${rim.colloquialVersion}`),
  ]
}

function signatureText({ rim, authentic }: RimFacts): string {
  if (authentic) return 'verifies under its signer'
  return rim.digestMatches ? 'does not verify under its signer' : 'the document was changed'
}

/** Whether its values may be compared with: signed, under a trusted root, for this product. */
export function isUsable(facts: RimFacts, product: string | null): boolean {
  return facts.authentic && isTrusted(facts) && facts.rim.product === product
}
