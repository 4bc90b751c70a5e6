import type { Leaf } from '../verify/documents/leaf.ts'

/** Something in a log that should not be. */
export type LogFinding =
  | { readonly kind: 'double-use'; readonly index: number; readonly first: number; readonly tag: string }
  | { readonly kind: 'stray-ending'; readonly index: number }
  | { readonly kind: 'orphan'; readonly index: number; readonly deadline: string }
  | { readonly kind: 'malformed-entry'; readonly index: number; readonly reason: string }
  | { readonly kind: 'unexpected-release'; readonly index: number; readonly grant: string; readonly slot: number }
  | { readonly kind: 'stale-checkpoint'; readonly time: number; readonly ageSeconds: number }

/** For people. */
export function describeFinding(finding: LogFinding): string {
  switch (finding.kind) {
    case 'double-use':
      return `entry ${finding.index} uses the slot of entry ${finding.first} a second time`
    case 'stray-ending':
      return `entry ${finding.index} ends a release that is not open`
    case 'orphan':
      return `the release of entry ${finding.index} has no ending by ${finding.deadline}`
    case 'malformed-entry':
      return `entry ${finding.index} is not one of this kind of log: ${finding.reason}`
    case 'unexpected-release':
      return `entry ${finding.index} releases data under slot ${finding.slot} of your grant ${finding.grant}, and your client did not make it`
    case 'stale-checkpoint':
      return `the newest checkpoint is ${finding.ageSeconds} s old: the log may be hiding what came after`
  }
}

/**
 * What the leaves alone show: use tags that repeat, endings of nothing, and releases without an ending. Entry by entry,
 * so that a monitor goes on where it was.
 */
export class LogAudit {
  readonly #counts = new Map<string, number>()
  readonly #tags = new Map<string, number>()
  /** Releases that wait for their ending, by leaf hash. */
  readonly #open = new Map<string, { readonly index: number; readonly deadline: string }>()

  /** @param hash - Leaf hash, base64url. @returns what is wrong with this entry, in the light of those before. */
  add(index: number, leaf: Leaf, hash: string): readonly LogFinding[] {
    const findings: LogFinding[] = []
    this.#counts.set(leaf.type, (this.#counts.get(leaf.type) ?? 0) + 1)
    for (const tag of leaf.tags) {
      const first = this.#tags.get(tag)
      if (first === undefined) this.#tags.set(tag, index)
      else findings.push({ kind: 'double-use', index, first, tag })
    }
    const strays = leaf.ends.filter((release) => !this.#open.delete(release))
    if (strays.length > 0) findings.push({ kind: 'stray-ending', index })
    if (leaf.type === 'release' && leaf.deadline !== null) this.#open.set(hash, { index, deadline: leaf.deadline })
    return findings
  }

  /** Releases whose deadline passed without an ending. @param time - Of the checkpoint, seconds since the epoch. */
  overdue(time: number): readonly LogFinding[] {
    const late = [...this.#open.values()].filter((release) => Date.parse(release.deadline) / 1000 < time)
    return late.map(({ index, deadline }) => ({ kind: 'orphan', index, deadline }))
  }

  /** Entries of each type. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }
}
