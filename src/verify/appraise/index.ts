export { allowsItems, itemListChecks } from './array-rules.ts'
export { constraintChecks, type DemandInput, policiesAllow, provenOf } from './demands.ts'
export { type GrantedJob, grantChecks, jobGrantChecks, type SignedGrant } from './grant-rules.ts'
export { type IntendedJob, intentChecks, releaseLeafChecks } from './intent-rules.ts'
export { type Leniency, leniencyOf } from './leniency.ts'
export { type AppraisedClaims, appraisePolicy } from './policy.ts'
export {
  inputReleaserChecks,
  type Releaser,
  releaserOf,
  releaserText,
  type Share,
  shareOf,
  sharesOf,
  wholeChecks,
} from './releasers.ts'
export { claimOf, type HostRoom, type JobClaim, misfit, roomObstacle } from './room.ts'
export { serviceKeyChecks, sessionListChecks } from './service-rules.ts'
export {
  checkpointAgeChecks,
  contractTimeChecks,
  grantTimeChecks,
  instantOf,
  intentTimeChecks,
  nonceCheckpointChecks,
  unixSeconds,
} from './time-rules.ts'
