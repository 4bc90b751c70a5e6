export {
  type AddCheckpoint,
  encodeAddCheckpoint,
  MAX_ADD_CHECKPOINT_SIZE,
  type ParsedAddCheckpoint,
  parseAddCheckpoint,
} from './add-checkpoint.ts'
export {
  type Checkpoint,
  type Cosignature,
  cosignedMessage,
  encodeCheckpoint,
  type LogTrust,
  parseCheckpoint,
  verifyCheckpoint,
  verifyCosignature,
  verifyLogCheckpoint,
  type WitnessedCheckpoint,
} from './checkpoint.ts'
export { entryFromJson, entryToJson, type LoggedEntry, type VerifiedEntry, verifyEntry } from './entry.ts'
export { type Appended, MerkleFrontier, rootOfLeafHashes } from './frontier.ts'
export { emptyRoot, HASH_SIZE, leafHash, leafHashOfParts } from './hash.ts'
export type { NodeId, NodeReader, TreeNode } from './nodes.ts'
export { encodeNote, type Note, type NoteSignature, parseNote } from './note.ts'
export { consistencyNodes, consistencyProof, inclusionNodes, inclusionProof, rootAt } from './proofs.ts'
export { readEntryBundle, type TileSource, tileNodeReader, tileOfNode, tilesOfNodes } from './tile-reader.ts'
export {
  type EntryTile,
  encodeEntryBundle,
  encodeHashTile,
  encodeTilePath,
  type HashTile,
  parseEntryBundle,
  parseHashTile,
  parseTilePath,
  TILE_WIDTH,
  type Tile,
} from './tiles.ts'
export { type ConsistencyClaim, type InclusionClaim, verifyConsistency, verifyInclusion } from './verify-proofs.ts'
export {
  COSIGNATURE_ED25519,
  encodeVerifierKey,
  NOTE_ED25519,
  type NoteKey,
  noteKeyId,
  parseVerifierKey,
  type SignatureType,
} from './vkey.ts'
