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
export { SegmentOpener } from './random-access.ts'
export { type ReleaseContext, type ReleasedKeys, unwrapRelease, wrapRelease } from './release.ts'
export { RootHasher, rootOf } from './root.ts'
export { type RandomBytes, Secret } from './secret.ts'
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
export { type Chunks, type OpenOptions, openStream, type SealOptions, sealStream } from './stream.ts'
