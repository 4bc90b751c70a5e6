import { crypto } from '#crypto'
import { concat, toBase64Url, u32be, utf8 } from '../bytes/bytes.ts'

const COMMIT_CONTEXT = utf8('sealgate/use-key/v1')

/** What a grant says of its secret use key: base64url SHA-256("sealgate/use-key/v1" ‖ useKey). */
export async function useKeyCommitment(useKey: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', concat(COMMIT_CONTEXT, useKey)))
}

/** Public tag of slot k: base64url HMAC-SHA256(useKey, u32be(k)). Two equal tags in a log prove double use. */
export async function useSlotTag(useKey: Uint8Array, k: number): Promise<string> {
  return toBase64Url(await crypto.hmacSha256(useKey, u32be(k)))
}
