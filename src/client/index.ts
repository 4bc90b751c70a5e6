export { backUp, MAX_BACKUP_SIZE, restoreBackup } from './backup.ts'
export {
  Client,
  type ErasureProgress,
  type RemoteBlob,
  type RemoteErasure,
  type RemoteEvidence,
  type RemoteGrant,
  type RemoteHost,
  type RemoteReceipt,
  type SealedKeyMessage,
} from './client.ts'
export { type ErasedDataset, type EraseOptions, type EraseRequest, eraseAtGateway, eraseHere } from './dataset/erase-dataset.ts'
export { type OpenedDataset, type OpenRequest, openDataset } from './dataset/open-dataset.ts'
export { pushDataset } from './dataset/push-dataset.ts'
export { inspectSealed, type SealedDataset, type SealedOnDisk, type SealRequest, sealDataset } from './dataset/seal-dataset.ts'
export { type BrokerFile, type EntrustableGrant, entrust, parseBrokerFile } from './entrust.ts'
export {
  destroyFile,
  exists,
  fileError,
  makeFolder,
  PRIVATE,
  PUBLIC,
  readBytes,
  readBytesIfThere,
  refuseExisting,
  replaceFile,
  syncFolder,
  writeNew,
} from './files.ts'
export {
  FILES,
  type Identity,
  loadIdentity,
  loadPolicyBytes,
  loadTrustFile,
  MAX_FILE_SIZE,
} from './folder.ts'
export { type CheckedGrant, checkOwnGrant, digestOf, type GrantTerms, type IssuedGrant, issueGrant, revokeGrant } from './grants.ts'
export { type HoldTerms, holdGrant, sendHold } from './holds.ts'
export { DEFAULT_LIMITS } from './job/contract.ts'
export { type CheckedReceipt, checkReceipt, type ReceiptExpectation } from './job/receipt.ts'
export { fetchResults, type OpenedResults } from './job/results.ts'
export { type JobEvent, type JobReport, type JobRequest, runJob } from './job/run-job.ts'
export { isFinal, type JobStateName, type JobView, type TransitionView } from './job-view.ts'
export { type KeptDataset, type KeptErasure, type KeptGrant, Keyring } from './keyring.ts'
export { describeFinding, LogAudit, type LogFinding } from './log-audit.ts'
export { type ConsistencySource, type KnownLog, LogMemory } from './log-memory.ts'
export { type LogFork, LogMonitor, type MissingView, type MonitorOptions, type MonitorPass, type OtherView } from './log-monitor.ts'
export { gatewayLog, type LogSource, type WebOptions, webLog } from './log-source.ts'
export { OwnReleases } from './own-releases.ts'
export { createOwnerKeys, encodeSigningKey, generateSigningKey, loadOwner, loadSigningKey, type Owner } from './owner.ts'
export { createPolicy, type PolicyChoices, STRICT_REQUIREMENTS } from './policy.ts'
export { checkEvidence, describeFailures, type EvidenceQuestion, type TrustedEnclave } from './release/check-evidence.ts'
export type { LoggedIntent } from './release/release.ts'
export { type ReleaseDecision, type ReleaseLoopOptions, watchReleases } from './release/release-loop.ts'
export type { ReleaseEvent, ReleaserMeans } from './release/release-shares.ts'
export { Slots } from './release/slots.ts'
export { ownerKeys, type ReleaserKeys } from './releaser-keys.ts'
export { type ConnectEnd, type ConnectEvent, type ConnectRequest, connectService } from './service/connect-service.ts'
export { type KnownService, MAX_SERVICE_FILE_SIZE, parseServiceFile } from './service/service-file.ts'
export { type StartedService, startService } from './service/start-service.ts'
