import { fromBase64Url, toBase64Url } from '../bytes/bytes.ts'
import { type Leaf, opensLeaf, parseLeaf } from '../documents/leaf.ts'
import type { Policy } from '../documents/policy.ts'
import type { ProvenEntry } from '../documents/receipt-file.ts'
import { AttestError } from '../errors.ts'
import type { Verified } from '../verdict.ts'
import { verifyCheckpoint, type WitnessedCheckpoint } from './checkpoint.ts'
import { leafHash } from './hash.ts'
import { verifyInclusion } from './verify-proofs.ts'

/** A log entry with everything needed to check it. */
export interface LoggedEntry {
  /** Canonical JSON, see documents/leaf.ts. */
  readonly leaf: Uint8Array
  /** 32 bytes. */
  readonly salt: Uint8Array
  readonly index: number
  /** Sibling hashes, leaf to root. */
  readonly proof: readonly Uint8Array[]
  /** C2SP signed note. */
  readonly checkpoint: string
}

/** An entry that the log holds, and what it says. */
export interface VerifiedEntry {
  readonly leaf: Leaf
  /** base64url. */
  readonly leafHash: string
  readonly index: number
  readonly checkpoint: Verified<WitnessedCheckpoint>
}

/**
 * Proves that the log of a policy holds this entry, that its checkpoint is witnessed as the policy demands, and that its
 * leaf commits to exactly the bytes of `opening`.
 * @param entry - The entry; `opening` are the bytes of the signed document that was logged.
 * @throws AttestError `NOTE_MALFORMED`, `LOG_CHECKPOINT_INVALID`, `LOG_PROOF_INVALID`, or those of a malformed leaf.
 */
export async function verifyEntry(
  entry: LoggedEntry & { readonly opening: Uint8Array },
  policy: Pick<Policy, 'log' | 'witnessing'>,
): Promise<Verified<VerifiedEntry>> {
  const leaf = parseLeaf(entry.leaf)
  if (!(await opensLeaf(leaf, entry.salt, entry.opening))) {
    throw new AttestError('LOG_PROOF_INVALID', 'the leaf commits to another document', { at: 'log.leaf' })
  }
  const checkpoint = await verifyCheckpoint(entry.checkpoint, { ...policy.log, witnessing: policy.witnessing })
  const hash = await leafHash(entry.leaf)
  await verifyInclusion({ leafHash: hash, index: entry.index, size: checkpoint.size, root: checkpoint.root, proof: entry.proof })
  return { leaf, leafHash: toBase64Url(hash), index: entry.index, checkpoint } as Verified<VerifiedEntry>
}

export function entryFromJson(json: ProvenEntry): LoggedEntry {
  return {
    leaf: fromBase64Url(json.leaf),
    salt: fromBase64Url(json.salt),
    index: json.index,
    proof: json.proof.map(fromBase64Url),
    checkpoint: json.checkpoint,
  }
}

export function entryToJson(entry: LoggedEntry): ProvenEntry {
  return {
    leaf: toBase64Url(entry.leaf),
    salt: toBase64Url(entry.salt),
    index: entry.index,
    proof: entry.proof.map(toBase64Url),
    checkpoint: entry.checkpoint,
  }
}
