import { instantOf } from '../appraise/time-rules.ts'
import { fromBase64Url } from '../bytes/bytes.ts'
import type { EventFile } from '../documents/event-file.ts'
import { EVENT_TYP, type EventType } from '../documents/event-statement.ts'
import type { Policy } from '../documents/policy.ts'
import type { TrustFile } from '../documents/trust.ts'
import { check } from '../evidence/check.ts'
import { conclude } from '../evidence/conclude.ts'
import { verifyGeneralJws } from '../formats/jws.ts'
import { entryFromJson, type LoggedEntry, type VerifiedEntry, verifyEntry } from '../tlog/entry.ts'
import type { Check, Verdict } from '../verdict.ts'
import type { Named } from './documents.ts'
import { readErasure } from './erasure.ts'
import type { EventFacts, EventParts } from './event-parts.ts'
import { readHold } from './hold.ts'
import { attempt, type LogView, provenByOf } from './log.ts'
import { readOnboarding } from './onboarding.ts'
import { retirementChecks, withoutRetired } from './retired.ts'
import { readRevocation } from './revocation.ts'
import { type ReceiptSigners, receiptSigners } from './signers.ts'
import { logViews, mlDsaChecks, trustChecks, trustedMlDsa } from './trust.ts'

/** What a receipt of an event says. Digests and thumbprints are base64url. */
export type EventSummary = EventFacts & {
  /** Thumbprint of who signed. */
  readonly gateway: string
  /** The ML-DSA-65 key that signed too; null: none did. Only a `trusted` one is known to be the gateway's. */
  readonly mlDsa: { readonly signer: string; readonly trusted: boolean } | null
  /** By the log, RFC 3339; null without a proven entry. */
  readonly loggedAt: string | null
  readonly log: { readonly origin: string; readonly witnesses: string; readonly index: number } | null
}

function readParts(file: EventFile, payload: Uint8Array): Promise<EventParts> {
  switch (file.type) {
    case 'sealgate/erasure-file/v1':
      return readErasure(file, payload)
    case 'sealgate/hold-file/v1':
      return readHold(file, payload)
    case 'sealgate/onboarding-file/v1':
      return readOnboarding(file, payload)
    case 'sealgate/revocation-file/v1':
      return readRevocation(file, payload)
  }
}

/**
 * Verifies the receipt file of an event: signatures, that its parts belong together, and its place in the log. Needs no
 * network and no clock.
 * @throws AttestError the codes of a malformed document, or `SIGNATURE_INVALID`.
 */
export async function verifyEventFile(file: EventFile, trust: TrustFile | null): Promise<Verdict<EventSummary, EventSummary>> {
  const receipt = fromBase64Url(file.receipt)
  const jws = await verifyGeneralJws(receipt, EVENT_TYP, 'receipt')
  const signers = receiptSigners(jws)
  const parts = await readParts(file, jws.payload)
  const { policy, owners, type } = parts
  const policies = policy === null ? [] : [policy]
  const entry = entryFromJson(file.entry)
  const { facts: seen, views } = await withoutRetired(
    policies,
    trust,
    (t) => logViews(policies, entry.checkpoint, t),
    (v) => checkEntry(entry, receipt, type, v),
  )
  const provenBy = provenByOf([seen.entry])
  const time = seen.entry?.checkpoint.time ?? null
  const mlDsa = trustedMlDsa({ signers }, trust)
  const checks = [
    check('signature.documents', true, 'every signed document verifies under the key it names', 'all verify'),
    ...(await mlDsaChecks({ signers }, mlDsa)),
    check('format.signatures', signers.agent === null, '1 signature of Ed25519', signers.agent === null ? '1' : '2'),
    ...parts.checks,
    ...seen.checks,
    ...(await parts.checksAt(time, trust)),
    ...trustChecks({ signers, owners, policies }, trust),
    ...retirementChecks({ signers, owners }, { releases: provenBy, ending: provenBy }, views, trust),
    ...(policy === null ? [namedLog(seen)] : []),
  ]
  const summary: EventSummary = {
    ...parts.facts,
    gateway: signers.gateway.thumbprint,
    mlDsa: signers.mlDsa === null ? null : { signer: signers.mlDsa.thumbprint, trusted: signers.mlDsa.key.pub === mlDsa?.pub },
    loggedAt: time === null ? null : instantOf(time),
    log: seen.entry === null ? null : { ...witnessesOf(policy), origin: seen.entry.checkpoint.origin, index: seen.entry.index },
  }
  const notChecked = [...parts.notChecked, ...unknownMlDsa(signers, mlDsa === null)]
  return conclude({ format: 'receipt', parsed: summary, claims: summary, checks, notChecked }, [])
}

interface Seen {
  readonly checks: readonly Check[]
  readonly entry: VerifiedEntry | null
  readonly views: number
}

/** The entry commits to exactly the receipt, is of its type, and says nothing else. */
async function checkEntry(entry: LoggedEntry, opening: Uint8Array, type: EventType, views: readonly LogView[]): Promise<Seen> {
  const [view] = views
  if (view === undefined) return { checks: [], entry: null, views: 0 }
  const found = await attempt('log-entry', `an entry of ${view.log.origin}`, () => verifyEntry({ ...entry, opening }, view))
  const leaf = found.value?.leaf
  const says = leaf === undefined ? null : JSON.stringify([leaf.type, leaf.tags, leaf.ends, leaf.deadline])
  const want = JSON.stringify([type, [], [], null])
  return {
    checks: [found.check, check('signature.log-leaf', says === want, want, says ?? 'none')],
    entry: found.value,
    views: views.length,
  }
}

/** Where no policy names a log, the trust file must. */
function namedLog({ views }: Seen): Check {
  return check('policy.trusted-log', views === 1, 'one log of this origin in the trust file', String(views))
}

function witnessesOf(policy: Named<Policy> | null): { readonly witnesses: string } {
  const witnessing = policy?.value.witnessing ?? { mode: 'none' }
  return { witnesses: witnessing.mode === 'none' ? 'none' : `${witnessing.k} of ${witnessing.keys.length}` }
}

function unknownMlDsa({ mlDsa }: ReceiptSigners, isUnknown: boolean): readonly string[] {
  return mlDsa !== null && isUnknown ? [`signer of the ML-DSA-65 signature (unknown: ${mlDsa.thumbprint})`] : []
}
