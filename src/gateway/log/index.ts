export type { HeadCalls } from './head-file.ts'
export { type PublicListener, type PublicLog, servePublicLog } from './public-log.ts'
export { type CheckpointSigner, checkpointSigner } from './signer.ts'
export { type EntryPlace, type NewEntry, TransparencyLog } from './transparency-log.ts'
