import type { Leaf } from '../verify/documents/leaf.ts'
import { useSlotTag } from '../verify/documents/use-slot.ts'
import type { Owner } from './owner.ts'

/** A use slot of one of the owner's grants. */
export interface OwnSlot {
  readonly grant: string
  readonly k: number
}

/** How a release in the log stands to one owner: not of a grant of theirs, made by their client, or made by somebody else. */
export type Ownership = 'foreign' | 'own' | { readonly unexpected: OwnSlot }

/**
 * Tells an owner's releases in a log from those that somebody else made with the owner's use keys, by computing every
 * tag that a grant allows and asking the record of what this client had logged. Says nothing of entries under tags that
 * no use key makes: no honest enclave opens data for those.
 */
export class OwnReleases {
  readonly #owner: Owner
  /** Of grants whose tags are known: they never change. */
  readonly #grants = new Set<string>()
  readonly #tags = new Map<string, OwnSlot>()
  #made: ReadonlySet<string> = new Set()

  constructor(owner: Owner) {
    this.#owner = owner
  }

  get grants(): number {
    return this.#grants.size
  }

  /**
   * Takes up grants and releases of now. To be called after the checkpoint has come whose entries are looked at: whatever
   * made those is then in keyring and record.
   */
  async refresh(): Promise<void> {
    const { keyring, releases } = this.#owner
    for (const grant of await keyring.grants()) {
      if (this.#grants.has(grant)) continue
      const { useKey, uses } = await keyring.grant(grant)
      for (let k = 0; k < uses; k++) this.#tags.set(await useSlotTag(useKey.expose(), k), { grant, k })
      useKey.wipe()
      this.#grants.add(grant)
    }
    this.#made = await releases.commitments()
  }

  of(leaf: Leaf): Ownership {
    for (const tag of leaf.tags) {
      const slot = this.#tags.get(tag)
      if (slot !== undefined) return this.#made.has(leaf.commitment) ? 'own' : { unexpected: slot }
    }
    return 'foreign'
  }
}
