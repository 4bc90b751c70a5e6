import { listed } from '../appraise/check.ts'
import { instantOf, unixSeconds } from '../appraise/time-rules.ts'
import type { Policy } from '../documents/policy.ts'
import type { RetiredKey, TrustFile } from '../documents/trust.ts'
import { check } from '../evidence/check.ts'
import type { Check } from '../verdict.ts'
import type { LogView, ProvenBy } from './log.ts'
import type { Vouchers } from './trust.ts'

const KINDS: readonly RetiredKey['kind'][] = ['gateway', 'log', 'owner', 'witness']

/** Rules that ask whether a key still counted. */
export const RETIRED_RULES: ReadonlySet<string> = new Set(KINDS.map((k) => `policy.retired-${k}`))
export const COMPROMISED_RULES: ReadonlySet<string> = new Set(KINDS.map((k) => `policy.compromised-${k}`))

/** What was looked at under one choice of witnesses. */
export interface Counted<T> {
  readonly facts: T
  /** Whose cosignatures counted. */
  readonly views: readonly LogView[]
}

/**
 * Looks at the log without the cosignatures of retired witnesses. Where those that remain are no quorum, with them: then
 * {@link retirementChecks} asks that they cosigned in their time.
 */
export async function withoutRetired<T extends { readonly checks: readonly Check[] }>(
  policies: Vouchers['policies'],
  trust: TrustFile | null,
  viewsOf: (trust: TrustFile | null) => readonly LogView[],
  look: (views: readonly LogView[]) => Promise<T>,
): Promise<Counted<T>> {
  const active = activeTrust(policies, trust)
  if (active !== null) {
    const views = viewsOf(active)
    const facts = await look(views)
    if (facts.checks.every((c) => c.outcome === 'pass')) return { facts, views }
  }
  const views = viewsOf(trust)
  return { facts: await look(views), views }
}

/** Null: none is retired, or a policy has no quorum without them. */
function activeTrust(policies: Vouchers['policies'], trust: TrustFile | null): TrustFile | null {
  const gone = new Set((trust?.retired ?? []).filter((r) => r.kind === 'witness').map((r) => r.key))
  if (trust === null || gone.size === 0) return null
  const witnesses = trust.witnesses.filter((w) => !gone.has(w))
  const enough = ({ witnessing }: Policy): boolean =>
    witnessing.mode === 'none' || witnessing.keys.filter((k) => witnesses.includes(k)).length >= witnessing.k
  return policies.every((p) => enough(p.value)) ? { ...trust, witnesses } : null
}

/**
 * Of every retired key on which the receipt rests: that witnesses prove what it signed to be older than its date. The document's own
 * dates, the log's own word and the absence of witnesses prove nothing, so then the key does not count.
 */
export function retirementChecks(
  { signers, owners }: Pick<Vouchers, 'signers' | 'owners'>,
  { releases, ending }: ProvenBy,
  views: readonly LogView[],
  trust: TrustFile | null,
): readonly Check[] {
  const witnesses = views.flatMap((v) => (v.witnessing.mode === 'none' ? [] : v.witnessing.keys))
  const whole = releases === null || ending === null ? null : Math.max(releases, ending)
  const relied: Readonly<Record<RetiredKey['kind'], { readonly keys: readonly string[]; readonly by: number | null }>> = {
    gateway: { keys: [signers.gateway.key.x], by: ending },
    log: { keys: views.map((v) => v.log.key), by: whole },
    owner: { keys: owners, by: releases },
    witness: { keys: witnesses, by: whole },
  }
  const dated = (trust?.retired ?? []).filter(({ kind, key }) => relied[kind].keys.includes(key))
  return [...dated.map((r) => oldEnough(r, relied[r.kind].by)), ...views.flatMap((view) => honestQuorum(view, trust))]
}

function oldEnough({ kind, key, at, compromised }: RetiredKey, by: number | null): Check {
  const got = by === null ? 'no time that witnesses vouch for (witnessing: none, or no policy)' : `by ${instantOf(by)}`
  const said = compromised ? `compromised since ${at}: somebody else may have signed this` : `retired at ${at}`
  return check(
    `policy.${compromised ? 'compromised' : 'retired'}-${kind}`,
    by !== null && by < unixSeconds(at),
    `proven to exist before ${at}`,
    `${got}; ${kind} key ${key} ${said}`,
  )
}

/** As many compromised witnesses as make a quorum can backdate whatever they like, also to before they were compromised. */
function honestQuorum({ witnessing }: LogView, trust: TrustFile | null): readonly Check[] {
  if (witnessing.mode === 'none') return []
  const compromised = (trust?.retired ?? []).filter((r) => r.kind === 'witness' && r.compromised && witnessing.keys.includes(r.key))
  if (compromised.length < witnessing.k) return []
  return [check('policy.compromised-witness', false, `fewer than ${witnessing.k} compromised`, listed(compromised.map((r) => r.key)))]
}
