import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js'
import { AttestError, ERROR_CODES, type ErrorCode } from '../verify/errors.ts'
import { google } from './gen/messages.js'

/** Domain of `google.rpc.ErrorInfo`. Its reason is one of our error codes. */
export const ERROR_DOMAIN = 'sealgate'
const DETAILS_KEY = 'grpc-status-details-bin'
const ERROR_INFO_TYPE = 'type.googleapis.com/google.rpc.ErrorInfo'

const S = status
/** gRPC status of each code: a code without one does not compile. */
export const STATUS_OF: Record<ErrorCode, status> = {
  EVIDENCE_TRUNCATED: S.INVALID_ARGUMENT,
  EVIDENCE_TRAILING: S.INVALID_ARGUMENT,
  EVIDENCE_RESERVED_NONZERO: S.INVALID_ARGUMENT,
  EVIDENCE_UNSUPPORTED: S.INVALID_ARGUMENT,
  EVIDENCE_UNRECOGNIZED: S.INVALID_ARGUMENT,
  ENCODING_INVALID: S.INVALID_ARGUMENT,
  DER_MALFORMED: S.INVALID_ARGUMENT,
  CBOR_MALFORMED: S.INVALID_ARGUMENT,
  CERTIFICATE_MALFORMED: S.INVALID_ARGUMENT,
  JSON_MALFORMED: S.INVALID_ARGUMENT,
  JSON_NOT_CANONICAL: S.INVALID_ARGUMENT,
  DOCUMENT_INVALID: S.INVALID_ARGUMENT,
  JWS_MALFORMED: S.INVALID_ARGUMENT,
  NOTE_MALFORMED: S.INVALID_ARGUMENT,
  TILE_MALFORMED: S.INVALID_ARGUMENT,
  SIGNATURE_INVALID: S.PERMISSION_DENIED,
  CHAIN_INVALID: S.PERMISSION_DENIED,
  COLLATERAL_EXPIRED: S.PERMISSION_DENIED,
  COLLATERAL_REVOKED: S.PERMISSION_DENIED,
  COLLATERAL_MISSING: S.FAILED_PRECONDITION,
  HEADER_INVALID: S.INVALID_ARGUMENT,
  SUITE_UNSUPPORTED: S.INVALID_ARGUMENT,
  KEY_COMMITMENT_MISMATCH: S.PERMISSION_DENIED,
  SEGMENT_INVALID: S.DATA_LOSS,
  STREAM_TRUNCATED: S.DATA_LOSS,
  ROOT_MISMATCH: S.DATA_LOSS,
  ARCHIVE_INVALID: S.INVALID_ARGUMENT,
  UNWRAP_FAILED: S.PERMISSION_DENIED,
  LOG_CHECKPOINT_INVALID: S.PERMISSION_DENIED,
  LOG_PROOF_INVALID: S.PERMISSION_DENIED,
  LOG_STALE: S.FAILED_PRECONDITION,
  LOG_CORRUPT: S.DATA_LOSS,
  LOG_ROLLED_BACK: S.DATA_LOSS,
  WITNESS_QUORUM: S.UNAVAILABLE,
  EVIDENCE_REJECTED: S.PERMISSION_DENIED,
  POLICY_DENIED: S.PERMISSION_DENIED,
  GRANT_DENIED: S.PERMISSION_DENIED,
  GRANT_EXPIRED: S.PERMISSION_DENIED,
  GRANT_USED: S.PERMISSION_DENIED,
  GRANT_HELD: S.PERMISSION_DENIED,
  HOLD_STALE: S.FAILED_PRECONDITION,
  DATASET_ERASED: S.PERMISSION_DENIED,
  SIGNER_UNKNOWN: S.PERMISSION_DENIED,
  KEY_RETIRED: S.PERMISSION_DENIED,
  KEY_COMPROMISED: S.PERMISSION_DENIED,
  RECEIPT_INCONSISTENT: S.DATA_LOSS,
  JOB_CONFLICT: S.FAILED_PRECONDITION,
  JOB_LOST: S.ABORTED,
  JOB_FAILED: S.ABORTED,
  NO_HOST: S.FAILED_PRECONDITION,
  HOST_BUSY: S.UNAVAILABLE,
  LIMIT_EXCEEDED: S.RESOURCE_EXHAUSTED,
  NOT_FOUND: S.NOT_FOUND,
  ALREADY_EXISTS: S.ALREADY_EXISTS,
  UNAUTHENTICATED: S.UNAUTHENTICATED,
  PERMISSION_DENIED: S.PERMISSION_DENIED,
  GATEWAY_UNREACHABLE: S.UNAVAILABLE,
  TLS_REJECTED: S.UNAVAILABLE,
  PORT_IN_USE: S.INTERNAL,
  MEMORY_EXPOSED: S.FAILED_PRECONDITION,
  ENGINE_UNAVAILABLE: S.FAILED_PRECONDITION,
  ENGINE_PERMISSION: S.FAILED_PRECONDITION,
  ATTESTER_UNAVAILABLE: S.FAILED_PRECONDITION,
  IMAGE_UNAVAILABLE: S.FAILED_PRECONDITION,
  IMAGE_DIGEST_MISMATCH: S.PERMISSION_DENIED,
  KEYSTORE_UNAVAILABLE: S.UNAVAILABLE,
  KEYSTORE_DENIED: S.PERMISSION_DENIED,
  KEYSTORE_CORRUPT: S.DATA_LOSS,
  KEK_DESTROYED: S.FAILED_PRECONDITION,
  STORE_LOCKED: S.FAILED_PRECONDITION,
  DISK_FULL: S.RESOURCE_EXHAUSTED,
  USAGE: S.INVALID_ARGUMENT,
  FILE_UNREADABLE: S.INVALID_ARGUMENT,
  CANCELLED: S.CANCELLED,
  DEADLINE: S.DEADLINE_EXCEEDED,
  INTERNAL: S.INTERNAL,
}

/** What the other side may know of an error: code, message and place. Causes and unknown errors stay here. */
export function publicError(error: unknown): { readonly code: ErrorCode; readonly message: string; readonly at: string | null } {
  if (error instanceof AttestError && error.code !== 'INTERNAL') return { code: error.code, message: error.message, at: error.at ?? null }
  return { code: 'INTERNAL', message: 'internal error', at: null }
}

/** Status for a gRPC answer, with `google.rpc.ErrorInfo` in the details (reason = code, domain = sealgate). */
export function toServiceError(error: unknown): Partial<StatusObject> {
  const { code, message, at } = publicError(error)
  const info = google.rpc.ErrorInfo.encode({ reason: code, domain: ERROR_DOMAIN, metadata: at === null ? {} : { at } }).finish()
  const details = google.rpc.Status.encode({
    code: STATUS_OF[code],
    message,
    details: [{ type_url: ERROR_INFO_TYPE, value: info }],
  }).finish()
  const metadata = new Metadata()
  metadata.set(DETAILS_KEY, Buffer.from(details))
  return { code: STATUS_OF[code], details: message, metadata }
}

/** The error that the gateway named, or what the bare status says when it named none. */
export function fromServiceError(error: ServiceError): AttestError {
  const info = errorInfo(error)
  if (info !== null) {
    const at = info.metadata?.at
    return new AttestError(info.reason, error.details, at === undefined ? { cause: error } : { at, cause: error })
  }
  if (error.code === S.UNAVAILABLE) return new AttestError('GATEWAY_UNREACHABLE', 'the gateway does not answer', { cause: error })
  // A gateway of ours says INTERNAL with details: without them it is our side that could not make sense of what came.
  if (error.code === S.INTERNAL) return new AttestError('GATEWAY_UNREACHABLE', 'what came from the gateway is no answer', { cause: error })
  if (error.code === S.DEADLINE_EXCEEDED) return new AttestError('DEADLINE', 'the gateway did not answer in time', { cause: error })
  if (error.code === S.CANCELLED) return new AttestError('CANCELLED', 'the call was cancelled', { cause: error })
  if (error.code === S.RESOURCE_EXHAUSTED)
    return new AttestError('LIMIT_EXCEEDED', 'the message is larger than the limit', { cause: error })
  return new AttestError('INTERNAL', `the gateway answered with status ${S[error.code]}`, { cause: error })
}

function errorInfo(error: ServiceError): { reason: ErrorCode; metadata?: Record<string, string> | null } | null {
  const raw = error.metadata?.get(DETAILS_KEY)[0]
  if (!(raw instanceof Uint8Array)) return null
  try {
    const any = google.rpc.Status.decode(raw).details?.find((d) => d.type_url === ERROR_INFO_TYPE)
    if (!any?.value) return null
    const { reason, domain, metadata } = google.rpc.ErrorInfo.decode(any.value)
    return domain === ERROR_DOMAIN && reason in ERROR_CODES ? { reason: reason as ErrorCode, metadata } : null
  } catch {
    return null
  }
}
