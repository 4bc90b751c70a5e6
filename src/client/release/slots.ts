import { AttestError } from '../../verify/errors.ts'
import type { ReleaserKeys } from '../releaser-keys.ts'

/**
 * Hands out use slots to the jobs of one process, so that two at once never try the same one. What was used is durable with the
 * keys; what another process uses meanwhile, the log refuses, and the next slot is taken.
 */
export class Slots {
  readonly #keys: Pick<ReleaserKeys, 'useKey'>
  /** By grant: the lowest slot that nobody here has taken. */
  readonly #next = new Map<string, number>()

  constructor(keys: Pick<ReleaserKeys, 'useKey'>) {
    this.#keys = keys
  }

  /** @throws AttestError `NOT_FOUND` without the use key, `GRANT_USED` when every slot is spent or taken. */
  async take(grantId: string, uses: number): Promise<number> {
    const held = await this.#keys.useKey(grantId)
    if (held === null) throw new AttestError('NOT_FOUND', `the use key of grant ${grantId} is not here`, { at: 'grants' })
    held.useKey.wipe()
    const k = Math.max(held.nextSlot, this.#next.get(grantId) ?? 0)
    if (k >= uses) throw new AttestError('GRANT_USED', `all ${uses} uses of grant ${grantId} are spent`, { at: 'grant.uses' })
    this.#next.set(grantId, k + 1)
    return k
  }

  /** For a slot that surely was not used. */
  giveBack(grantId: string, k: number): void {
    if (this.#next.get(grantId) === k + 1) this.#next.set(grantId, k)
  }
}
