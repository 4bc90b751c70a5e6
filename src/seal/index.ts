export {
  type ArchiveItem,
  type ArchiveSource,
  type CreateHash,
  type OpenedArchive,
  openArchive,
  packArchive,
  type RunningHash,
  readContents,
} from './archive.ts'
export {
  ARCHIVE_HEAD_SIZE,
  type ArchiveEntry,
  type ArchiveFile,
  type ArchiveFolder,
  archiveSize,
  encodeManifest,
  MAX_ARCHIVE_ENTRIES,
  MAX_MANIFEST_SIZE,
  parseManifestEntries,
  parseManifestHead,
} from './archive-manifest.ts'
export { compareNames, pathProblem } from './archive-path.ts'
export { type EntrustContext, unwrapEntrusted, wrapEntrusted } from './entrustment.ts'
export { encodeFileHead, readSealedFile, type SealedFile, sealedFileSize } from './file.ts'
export {
  createDatasetHeader,
  createResultHeader,
  headerDigest,
  type KeyedHeader,
  type NewDataset,
  type NewResult,
  openResultKey,
} from './header.ts'
export { generateKemKey, type KemKey, unwrap, type Wrapped, wrap } from './hpke.ts'
export * from './jws.ts'
export { encodeKemKey, parseKemKey } from './kem-key-file.ts'
export { checkKeyCommitment } from './key-commitment.ts'
export { unwrapFromKeyring, wrapForKeyring } from './keyring.ts'
export { type MlDsaPrivateKey, type MlDsaSigner, mlDsaKeyFromSeed, mlDsaPrivateKeySchema, mlDsaPublicOf, mlDsaSigner } from './ml-dsa.ts'
export { cosign, type NoteSigner, signCheckpoint } from './note.ts'
export { SegmentOpener, SegmentSealer } from './random-access.ts'
export { type ReleaseContext, type ReleasedKeys, unwrapRelease, wrapRelease } from './release.ts'
export { RootHasher, rootOf, rootOfLeaves, segmentLeaf } from './root.ts'
export { type RandomBytes, Secret } from './secret.ts'
export { createStreamHeader } from './segments.ts'
export {
  ciphertextSize,
  plaintextSize,
  SEGMENT_SIZE,
  type SegmentSpan,
  STREAM_HEADER_SIZE,
  segmentCount,
  segmentOf,
  segmentSpan,
  TAG_SIZE,
} from './sizes.ts'
export { type Chunks, type OpenOptions, openStream, openStreamFrom, type ResumePoint, type SealOptions, sealStream } from './stream.ts'
export { chunksOf, openTransform, sealTransform, transformOf } from './web-streams.ts'
