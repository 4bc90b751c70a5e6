import { crypto } from '#crypto'
import { toBase64Url, utf8 } from '../bytes/bytes.ts'
import { encodeCanonical } from '../formats/canonical-json.ts'

/**
 * The nonce of job evidence (design section 3.5): SHA-256 of canonical
 * `{"checkpoint":SHA-256 of the note text,"context":"sealgate/job-nonce/v1","job":job digest,"nonces":[…]}`.
 * @param nonces - 32 bytes each, one per grant, in the order of the job's grants.
 */
export async function jobNonce(job: string, nonces: readonly Uint8Array[], checkpoint: string): Promise<Uint8Array> {
  const hash = toBase64Url(await crypto.digest('SHA-256', utf8(checkpoint)))
  const input = { checkpoint: hash, context: 'sealgate/job-nonce/v1', job, nonces: nonces.map(toBase64Url) }
  return crypto.digest('SHA-256', encodeCanonical(input))
}
