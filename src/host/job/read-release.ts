import { crypto } from '#crypto'
import type { Wrapped } from '../../seal/index.ts'
import type { SignedGrant } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import { parseDocument } from '../../verify/documents/fields.ts'
import { GRANT_TYP, parseGrant } from '../../verify/documents/grant.ts'
import { type DatasetHeader, parseHeader } from '../../verify/documents/header.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../../verify/documents/intent.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import { type AttestationResult, attestationResultSchema } from '../../verify/documents/statement.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { LoggedEntry } from '../../verify/tlog/index.ts'

/** A key sealed to the job's KEM key. `header` is the digest of the dataset's header. */
export interface SealedKey extends Wrapped {
  readonly header: string
}

/** What one releaser let go: its intent, where that was logged, and the keys. Nothing in it is verified. */
export interface ReleasePart {
  readonly intent: Uint8Array
  readonly entry: LoggedEntry
  readonly keys: readonly SealedKey[]
}

/** A release as it came from the gateway, with the dataset headers that the contract names. Nothing in it is verified. */
export interface Release {
  readonly grants: readonly Uint8Array[]
  readonly policies: readonly Uint8Array[]
  /** One of each releaser. */
  readonly parts: readonly ReleasePart[]
  /** The gateway's attestation result: a claim that the receipt repeats, nothing that the agent relies on. May be empty. */
  readonly ear: Uint8Array
  /** In the order of the contract's inputs. */
  readonly headers: readonly Uint8Array[]
}

/** A document with its bytes as received and their digest. */
export interface Named<T> {
  readonly bytes: Uint8Array
  readonly digest: string
  readonly document: T
}

/** A part whose intent is signed and parses. */
export interface ReadPart {
  readonly intentJws: Uint8Array
  readonly intent: Named<ReleaseIntent> & { readonly signer: string }
  readonly entry: LoggedEntry
  readonly keys: readonly SealedKey[]
}

/** A release whose signatures verify and whose documents parse. Whether they fit this job is another question. */
export interface ReadRelease {
  readonly grants: readonly SignedGrant[]
  readonly policies: readonly Named<Policy>[]
  readonly headers: readonly Named<DatasetHeader>[]
  readonly parts: readonly ReadPart[]
  readonly ear: AttestationResult | null
}

/** Most documents of one kind in a release: the limits of the documents that name them. */
const MAX_DOCUMENTS = 16

/** @throws AttestError `LIMIT_EXCEEDED`, `JWS_MALFORMED`, `SIGNATURE_INVALID`, `JSON_*`, `DOCUMENT_INVALID`, `HEADER_INVALID`. */
export async function readRelease(release: Release): Promise<ReadRelease> {
  if (Math.max(release.grants.length, release.policies.length, release.parts.length) > MAX_DOCUMENTS) {
    throw new AttestError('LIMIT_EXCEEDED', `more than ${MAX_DOCUMENTS} grants, policies or parts`, { at: 'release' })
  }
  return {
    grants: await Promise.all(release.grants.map(readGrant)),
    policies: await Promise.all(release.policies.map((text) => named(text, parsePolicy))),
    headers: await Promise.all(release.headers.map((bytes) => named(bytes, parseDatasetHeader))),
    parts: await Promise.all(release.parts.map(readPart)),
    ear: release.ear.length === 0 ? null : parseDocument('ear', attestationResultSchema, release.ear),
  }
}

async function readPart({ intent, entry, keys }: ReleasePart): Promise<ReadPart> {
  return { intentJws: intent, intent: await readSigned(intent, INTENT_TYP, 'intent', parseIntent), entry, keys }
}

async function readGrant(jws: Uint8Array): Promise<SignedGrant> {
  const { document, digest, signer } = await readSigned(jws, GRANT_TYP, 'grant', parseGrant)
  return { grant: document, digest, signer }
}

/** A signed document, and by whom (thumbprint). */
export async function readSigned<T>(
  jws: Uint8Array,
  typ: string,
  at: string,
  parse: (bytes: Uint8Array) => T,
): Promise<Named<T> & { readonly signer: string }> {
  const { payload, digest, signers } = await verifyFlattenedJws(jws, typ, at)
  const signer = signers[0]?.thumbprint
  if (signer === undefined) throw new AttestError('JWS_MALFORMED', 'nobody signed', { at })
  return { bytes: payload, digest, signer, document: parse(payload) }
}

async function named<T>(bytes: Uint8Array, parse: (bytes: Uint8Array) => T): Promise<Named<T>> {
  return { bytes, digest: toBase64Url(await crypto.digest('SHA-256', bytes)), document: parse(bytes) }
}

function parseDatasetHeader(bytes: Uint8Array): DatasetHeader {
  const header = parseHeader(bytes)
  if (header.kind !== 'dataset') throw new AttestError('HEADER_INVALID', 'results are no input', { at: 'header.kind' })
  return header
}
