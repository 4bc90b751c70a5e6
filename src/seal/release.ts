import * as z from 'zod'
import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../verify/bytes/bytes.ts'
import { bytesField, encodeDocument, parseDocument, sha256Field } from '../verify/documents/fields.ts'
import type { ReleaseIntent } from '../verify/documents/intent.ts'
import { type HpkePublicKey, hpkeKeyDigest } from '../verify/documents/keys.ts'
import { AttestError } from '../verify/errors.ts'
import { encodeCanonical } from '../verify/formats/canonical-json.ts'
import { type KemKey, unwrap, type Wrapped, wrap } from './hpke.ts'
import { Secret } from './secret.ts'

const INFO = 'sealgate/release/v1'

/** One release of one dataset's key: everything that the sealed key is bound to. */
export interface ReleaseContext {
  /** As logged. */
  readonly intent: ReleaseIntent
  /** base64url leaf hash of the intent's entry in the log. */
  readonly leafHash: string
  /** Digest of the dataset's header, one of the intent's. */
  readonly dataset: string
}

/** What travels to the enclave. */
export interface ReleasedKeys {
  readonly dek: Secret
  /** Secret use key of each grant whose slot is used, by grant digest. */
  readonly useKeys: ReadonlyMap<string, Secret>
}

interface Payload {
  readonly dek: string
  readonly useKeys: { readonly [grant: string]: string }
}

const payloadSchema: z.ZodType<Payload> = z.strictObject({
  dek: bytesField(32),
  useKeys: z.record(sha256Field, bytesField(32)),
})

/**
 * Seals a dataset's key to the enclave's job key, for this release alone. The caller has verified evidence and log entry.
 * @throws AttestError `DOCUMENT_INVALID` for a recipient or dataset that the intent does not name.
 */
export async function wrapRelease(recipient: HpkePublicKey, context: ReleaseContext, keys: ReleasedKeys): Promise<Wrapped> {
  if ((await hpkeKeyDigest(recipient)) !== context.intent.kem) {
    throw new AttestError('DOCUMENT_INVALID', 'the intent names another recipient', { at: 'intent.kem' })
  }
  const payload = encodePayload(keys)
  const wrapped = await wrap(recipient, INFO, await releaseAad(context), payload)
  payload.fill(0)
  return wrapped
}

/**
 * Opens a sealed key inside the enclave. The caller has verified contract, intent, grants, policies and log entry: only
 * the very context that the releaser had opens it.
 * @throws AttestError `UNWRAP_FAILED`; `DOCUMENT_INVALID` for a payload of another form.
 */
export async function unwrapRelease(key: KemKey, context: ReleaseContext, wrapped: Wrapped): Promise<ReleasedKeys> {
  const payload = await unwrap(key, INFO, await releaseAad(context), wrapped)
  try {
    return decodePayload(payload)
  } finally {
    payload.fill(0)
  }
}

/** SHA-256 of canonical `{"binding","dataset","grants","job","leafHash","mode","policies","slots"}`. */
async function releaseAad({ intent, leafHash, dataset }: ReleaseContext): Promise<Uint8Array> {
  if (!intent.datasets.includes(dataset)) {
    throw new AttestError('DOCUMENT_INVALID', 'the intent does not name this dataset', { at: 'intent.datasets' })
  }
  const { binding, grants, job, mode, policies } = intent
  const slots = intent.slots.map(({ grant, k, tag }) => ({ grant, k, tag }))
  return crypto.digest('SHA-256', encodeCanonical({ binding, dataset, grants, job, leafHash, mode, policies, slots }))
}

function encodePayload(keys: ReleasedKeys): Uint8Array {
  const useKeys = Object.fromEntries([...keys.useKeys].map(([grant, key]) => [grant, toBase64Url(key.expose())]))
  return encodeDocument('release', payloadSchema, { dek: toBase64Url(keys.dek.expose()), useKeys })
}

function decodePayload(bytes: Uint8Array): ReleasedKeys {
  const { dek, useKeys } = parseDocument('release', payloadSchema, bytes, 16 * 1024)
  const secrets = Object.entries(useKeys).map(([grant, key]) => [grant, new Secret(fromBase64Url(key))] as const)
  return { dek: new Secret(fromBase64Url(dek)), useKeys: new Map(secrets) }
}
