import * as z from 'zod'
import { crypto } from '#crypto'
import { concat, equal, fromBase64Url, toBase64Url, utf8 } from '../bytes/bytes.ts'
import { encodeDocument, instantField, parseDocument, setField, sha256Field } from './fields.ts'

export type LeafType = 'onboard' | 'release' | 'execution' | 'refusal' | 'lost' | 'revocation' | 'erasure' | 'hold'

/**
 * One entry of the log: a salted commitment and the few public tags that make double use and missing endings visible.
 * It gives nothing else away, and erasing salt and opening erases its meaning.
 */
export interface Leaf {
  readonly v: 1
  readonly type: LeafType
  /** SHA-256("sealgate/leaf/v1" ‖ salt ‖ opening), the opening being the exact bytes of the signed document. */
  readonly commitment: string
  /** Use-slot tags of a release, else empty. */
  readonly tags: readonly string[]
  /** Leaf hashes of the releases that this entry ends: all that its job had; empty for others. */
  readonly ends: readonly string[]
  /** By when a release must have an ending; null for others. */
  readonly deadline: string | null
}

/** A job has at most one release for each of its grants. */
export const MAX_RELEASES = 16

const schema: z.ZodType<Leaf> = z.strictObject({
  v: z.literal(1),
  type: z.enum(['onboard', 'release', 'execution', 'refusal', 'lost', 'revocation', 'erasure', 'hold']),
  commitment: sha256Field,
  tags: setField(sha256Field, 16),
  ends: setField(sha256Field, MAX_RELEASES),
  deadline: instantField.nullable(),
})

export function parseLeaf(bytes: Uint8Array): Leaf {
  return parseDocument('leaf', schema, bytes, 4096)
}

export function encodeLeaf(leaf: Leaf): Uint8Array {
  return encodeDocument('leaf', schema, leaf)
}

const COMMIT_CONTEXT = utf8('sealgate/leaf/v1')

/** @param salt - 32 random bytes. */
export async function commitmentOf(salt: Uint8Array, opening: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', concat(COMMIT_CONTEXT, salt, opening)))
}

/** True when the leaf commits to exactly this opening. */
export async function opensLeaf(leaf: Leaf, salt: Uint8Array, opening: Uint8Array): Promise<boolean> {
  if (salt.length !== 32) return false
  return equal(fromBase64Url(leaf.commitment), fromBase64Url(await commitmentOf(salt, opening)))
}
