import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { CONTRACT_TYP, type Contract, parseContract, type ServiceTerms } from '../../verify/documents/contract.ts'
import { blobField, bytesField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import { type Policy, parsePolicy } from '../../verify/documents/policy.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import { digestOf } from '../grants.ts'

/**
 * What a client must know of a service to verify it: the contract, the policies, the owners' nonces. Whoever submitted the job has
 * it in the folder and may hand it on. It is a ground for trust, so nobody takes it from a gateway.
 */
export interface ServiceFile {
  readonly v: 1
  readonly type: 'sealgate/service-file/v1'
  /** Flattened JWS, base64url. */
  readonly contract: string
  readonly policies: readonly string[]
  /** In the order of the job's grants. */
  readonly ownerNonces: readonly string[]
}

export interface KnownService {
  readonly contract: Contract
  readonly terms: ServiceTerms
  readonly jobDigest: string
  /** Thumbprint of who submitted it. */
  readonly submitter: string
  readonly policies: readonly Policy[]
  readonly ownerNonces: readonly Uint8Array[]
}

/** Largest service file, in bytes. */
export const MAX_SERVICE_FILE_SIZE: number = 8 * 1024 * 1024

const document = blobField(512 * 1024)
const schema: z.ZodType<ServiceFile> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/service-file/v1'),
  contract: document,
  policies: z.array(document).min(1).max(16),
  ownerNonces: z.array(bytesField(32)).min(1).max(16),
})

export function encodeServiceFile(contract: Uint8Array, policies: readonly Uint8Array[], ownerNonces: readonly Uint8Array[]): Uint8Array {
  return encodeDocument('service-file', schema, {
    v: 1,
    type: 'sealgate/service-file/v1',
    contract: toBase64Url(contract),
    policies: policies.map(toBase64Url),
    ownerNonces: ownerNonces.map(toBase64Url),
  })
}

/**
 * Reads a service file: a signed contract of a service, with exactly the policies that it names.
 * @throws AttestError `DOCUMENT_INVALID`, `JWS_MALFORMED`, `SIGNATURE_INVALID`.
 */
export async function parseServiceFile(bytes: Uint8Array): Promise<KnownService> {
  const file = parseDocument('service-file', schema, bytes, MAX_SERVICE_FILE_SIZE)
  const { payload, digest, signers } = await verifyFlattenedJws(fromBase64Url(file.contract), CONTRACT_TYP, 'contract')
  const contract = parseContract(payload)
  if (contract.service === null) throw new AttestError('DOCUMENT_INVALID', 'the job is no service', { at: 'contract.service' })
  const texts = file.policies.map(fromBase64Url)
  const digests = await Promise.all(texts.map(digestOf))
  if (JSON.stringify([...new Set(digests)].sort()) !== JSON.stringify(contract.policies)) {
    throw new AttestError('DOCUMENT_INVALID', 'the policies are not those that the contract names', { at: 'service-file.policies' })
  }
  return {
    contract,
    terms: contract.service,
    jobDigest: digest,
    submitter: signers[0]?.thumbprint ?? '',
    policies: texts.map(parsePolicy),
    ownerNonces: file.ownerNonces.map(fromBase64Url),
  }
}
