import {
  attestIntel,
  createIntelKeys,
  type IntelDates,
  type IntelEvidence,
  type IntelFields,
  type IntelKeys,
  intelFields,
  qeIdentity,
  signIntelDocument,
  tcbInfo,
} from '../../src/sim/index.ts'
import { concat, utf8 } from '../../src/verify/bytes/bytes.ts'
import { rootAnchor } from '../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import { knownCertificate, loadCollateral } from '../../src/verify/evidence/collateral.ts'
import { encodeIntelDocument } from '../../src/verify/evidence/dcap/collateral-json.ts'
import { type DcapRoot, dcapRoots } from '../../src/verify/evidence/dcap/roots.ts'
import { parseCertificate } from '../../src/verify/formats/x509.ts'

/** The instant at which tests look at simulated things. */
export const AT: Date = new Date('2026-06-15T12:00:00Z')

const DATES: IntelDates = {
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2033-01-01T00:00:00Z'),
  issued: new Date('2026-06-01T00:00:00Z'),
  nextUpdate: new Date('2026-07-01T00:00:00Z'),
}

type Tee = IntelFields['tee']

export const tcbInfoJson = (tee: Tee, changes: object = {}): object => tcbInfo(tee, DATES, changes)
export const qeIdentityJson = (tee: Tee, changes: object = {}): object => qeIdentity(tee, DATES, changes)
export const defaultWorld = (tee: Tee): IntelFields => intelFields(tee, DATES)

/** Evidence with the instant to look at it and the root to trust. */
export interface SimulatedCase extends IntelEvidence {
  readonly roots: readonly DcapRoot[]
  readonly at: Date
}

/** A SIMULATED Intel whose keys live for one test run. */
export class SimulatedIntel {
  readonly #keys: IntelKeys = createIntelKeys()

  /** @param change - What is different from {@link defaultWorld}. */
  async make(tee: Tee, change: Partial<IntelFields> = {}): Promise<SimulatedCase> {
    const evidence = await attestIntel(this.#keys, { ...defaultWorld(tee), ...change }, DATES)
    return { ...evidence, roots: dcapRoots([rootAnchor(await knownCertificate(parseCertificate(evidence.root)))]), at: AT }
  }

  /** Signs a JSON document as the TCB signer does. */
  signDocument(text: string): string {
    return signIntelDocument(this.#keys, text)
  }
}

/** The collateral of a case as one file. */
export function collateralOf({ json }: Pick<SimulatedCase, 'json'>): readonly Uint8Array[] {
  return [utf8(JSON.stringify(json))]
}

/** The same, each piece on its own in the form of endorsements. */
export async function endorsementsOf(made: Pick<SimulatedCase, 'json'>): Promise<readonly Uint8Array[]> {
  const items = collateralOf(made).map((bytes) => ({ name: 'collateral', bytes }))
  const { certificates, crls, documents } = await loadCollateral(items, createVerifyCache())
  return [...[...certificates, ...crls].map((c) => c.raw), ...documents.map(encodeIntelDocument)]
}

/** A copy with the bytes after the end that platforms leave there. */
export function padded(quote: Uint8Array, padding: Uint8Array = new Uint8Array(70)): Uint8Array {
  return concat(quote, padding)
}

/** A key that nothing vouches for. */
export const STRANGER: Uint8Array = createIntelKeys().root
