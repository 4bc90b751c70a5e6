import { cosign, type NoteSigner, signCheckpoint } from '../../src/seal/note.ts'
import { commitmentOf, encodeLeaf, type Leaf } from '../../src/verify/documents/leaf.ts'
import {
  inclusionProof,
  type LoggedEntry,
  leafHash,
  MerkleFrontier,
  type NodeReader,
  parseCheckpoint,
  rootAt,
} from '../../src/verify/tlog/index.ts'
import { defined } from './defined.ts'

/** Tree nodes as a frontier completes them, kept in memory. */
export interface StoredTree {
  readonly read: NodeReader
  readonly frontier: MerkleFrontier
  readonly reads: { count: number; questions: number }
}

export async function storeTree(leafHashes: readonly Uint8Array[]): Promise<StoredTree> {
  const store = new Map<string, Uint8Array>()
  const reads = { count: 0, questions: 0 }
  let frontier = MerkleFrontier.empty
  for (const hash of leafHashes) {
    const appended = await frontier.append(hash)
    for (const node of appended.nodes) store.set(`${node.level}/${node.index}`, node.hash)
    frontier = appended.frontier
  }
  const read: NodeReader = (nodes) => {
    reads.count += nodes.length
    reads.questions += 1
    return nodes.map((n) => store.get(`${n.level}/${n.index}`) ?? new Uint8Array(0))
  }
  return { read, frontier, reads }
}

/** A log in memory that signs its own checkpoints and cosigns them with a time. */
export class TestLog {
  readonly #signer: NoteSigner
  readonly #leaves: Uint8Array[] = []

  constructor(signer: NoteSigner) {
    this.#signer = signer
  }

  get size(): number {
    return this.#leaves.length
  }

  async append(leaf: Omit<Leaf, 'v' | 'commitment'>, salt: Uint8Array, opening: Uint8Array): Promise<number> {
    this.#leaves.push(encodeLeaf({ v: 1, commitment: await commitmentOf(salt, opening), ...leaf }))
    return this.#leaves.length - 1
  }

  /** A leaf about nothing in particular. */
  async fill(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const filler = new TextEncoder().encode(`filler ${this.size}`)
      await this.append({ type: 'onboard', tags: [], ends: [], deadline: null }, filler, filler)
    }
  }

  /** Canonical bytes. */
  get leaves(): readonly Uint8Array[] {
    return this.#leaves
  }

  async checkpoint(time: number, cosigners: readonly NoteSigner[] = [this.#signer]): Promise<string> {
    const { read } = await this.#tree()
    const checkpoint = { origin: this.#signer.name, size: this.size, root: await rootAt(this.size, read) }
    let note = await signCheckpoint(checkpoint, this.#signer)
    for (const cosigner of cosigners) note = await cosign(note, cosigner, time)
    return note
  }

  async prove(index: number, salt: Uint8Array, checkpoint: string): Promise<LoggedEntry> {
    const { read } = await this.#tree()
    const { size } = parseCheckpoint(checkpoint)
    return { leaf: defined(this.#leaves[index]), salt, index, proof: await inclusionProof(index, size, read), checkpoint }
  }

  async #tree(): Promise<StoredTree> {
    return storeTree(await Promise.all(this.#leaves.map(leafHash)))
  }
}
