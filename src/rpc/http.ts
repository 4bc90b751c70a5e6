import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../verify/errors.ts'
import { STATUS_OF } from './errors.ts'

/**
 * The byte path beside gRPC: HTTP/1.1 over the same TLS port and identities.
 * `HEAD /v1/uploads/{id}` → 200, `Upload-Offset`, `Upload-Length`.
 * `PUT  /v1/uploads/{id}` with `Content-Range: bytes a-b/size`, a = the durable offset → 200, `Upload-Offset`.
 * `GET  /v1/blobs/{id}` with optional `Range: bytes=a-` → 200 or 206 with `Content-Range`.
 * Errors: JSON `{"code","message"}` with a matching status.
 */
export const uploadPath = (uploadId: string): string => `/v1/uploads/${encodeURIComponent(uploadId)}`
export const blobPath = (blobId: string): string => `/v1/blobs/${encodeURIComponent(blobId)}`
export const OFFSET_HEADER = 'upload-offset'
export const LENGTH_HEADER = 'upload-length'

const HTTP_OF: Partial<Record<status, number>> = {
  [status.INVALID_ARGUMENT]: 400,
  [status.UNAUTHENTICATED]: 401,
  [status.PERMISSION_DENIED]: 403,
  [status.NOT_FOUND]: 404,
  [status.ALREADY_EXISTS]: 409,
  [status.FAILED_PRECONDITION]: 409,
  [status.ABORTED]: 409,
  [status.DATA_LOSS]: 422,
  [status.RESOURCE_EXHAUSTED]: 413,
  [status.DEADLINE_EXCEEDED]: 504,
  [status.UNAVAILABLE]: 503,
}

export function httpStatusOf(code: ErrorCode): number {
  return code === 'DISK_FULL' ? 507 : (HTTP_OF[STATUS_OF[code]] ?? 500)
}
