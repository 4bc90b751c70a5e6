export { backUp, MAX_BACKUP_SIZE, restoreBackup } from './backup.ts'
export {
  Client,
  type RemoteBlob,
  type RemoteEvidence,
  type RemoteGrant,
  type RemoteHost,
  type SealedKeyMessage,
} from './client.ts'
export { type OpenedDataset, type OpenRequest, openDataset } from './dataset/open-dataset.ts'
export { pushDataset } from './dataset/push-dataset.ts'
export { inspectSealed, type SealedDataset, type SealedOnDisk, type SealRequest, sealDataset } from './dataset/seal-dataset.ts'
export {
  exists,
  fileError,
  makeFolder,
  PRIVATE,
  PUBLIC,
  readBytes,
  readBytesIfThere,
  refuseExisting,
  replaceFile,
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
export { checkOwnGrant, digestOf, type GrantTerms, type IssuedGrant, issueGrant, type OwnGrant, revokeGrant } from './grants.ts'
export { checkEvidence, describeFailures, type EvidenceQuestion, type TrustedEnclave } from './job/check-evidence.ts'
export { DEFAULT_LIMITS } from './job/contract.ts'
export { type CheckedReceipt, checkReceipt, type ReceiptExpectation } from './job/receipt.ts'
export { fetchResults, type OpenedResults } from './job/results.ts'
export { type JobEvent, type JobReport, type JobRequest, runJob } from './job/run-job.ts'
export { isFinal, type JobStateName, type JobView, type TransitionView } from './job-view.ts'
export { type KeptDataset, type KeptGrant, Keyring } from './keyring.ts'
export { describeFinding, LogAudit, type LogFinding } from './log-audit.ts'
export { type ConsistencySource, type KnownLog, LogMemory } from './log-memory.ts'
export { type LogFork, LogMonitor, type MissingView, type MonitorOptions, type MonitorPass, type OtherView } from './log-monitor.ts'
export { gatewayLog, type LogSource, type WebOptions, webLog } from './log-source.ts'
export { OwnReleases } from './own-releases.ts'
export { createOwnerKeys, encodeSigningKey, generateSigningKey, loadOwner, loadSigningKey, type Owner } from './owner.ts'
export { createPolicy, type PolicyChoices, STRICT_REQUIREMENTS } from './policy.ts'
export { type ConnectEnd, type ConnectEvent, type ConnectRequest, connectService } from './service/connect-service.ts'
export { type KnownService, MAX_SERVICE_FILE_SIZE, parseServiceFile } from './service/service-file.ts'
export { type StartedService, startService } from './service/start-service.ts'
