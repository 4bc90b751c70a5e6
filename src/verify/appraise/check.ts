import { equal } from '../bytes/bytes.ts'
import { check } from '../evidence/check.ts'
import { encodeCanonical, type Json } from '../formats/canonical-json.ts'
import type { Check } from '../verdict.ts'

/** A rule that two values must be the same; both are shown. */
export function same(rule: Check['rule'], want: Json, got: Json): Check {
  return check(rule, sameJson(want, got), show(want), show(got))
}

export function sameJson(a: Json, b: Json): boolean {
  return equal(encodeCanonical(a), encodeCanonical(b))
}

function show(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** Text for a list that was found. */
export function listed(list: readonly string[]): string {
  return list.length === 0 ? 'none' : list.join(', ')
}

/** A rule that a grade must reach another one of a list that begins with the weakest. */
export function atLeast<G extends string>(rule: Check['rule'], order: readonly G[], want: G, got: G): Check {
  return check(rule, order.includes(got) && order.indexOf(got) >= order.indexOf(want), `at least ${want}`, got)
}
