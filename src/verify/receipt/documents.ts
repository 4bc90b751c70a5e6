import { crypto } from '#crypto'
import type { SignedGrant } from '../appraise/grant-rules.ts'
import { fromBase64Url, toBase64Url } from '../bytes/bytes.ts'
import { type Binding, parseBinding } from '../documents/binding.ts'
import { CONTRACT_TYP, type Contract, parseContract } from '../documents/contract.ts'
import { bundleFromJson, type EvidenceBundle, evidenceDigest } from '../documents/evidence-bundle.ts'
import { GRANT_TYP, parseGrant } from '../documents/grant.ts'
import { type DatasetHeader, parseHeader } from '../documents/header.ts'
import { INTENT_TYP, parseIntent, type ReleaseIntent } from '../documents/intent.ts'
import { hpkeKeyDigest } from '../documents/keys.ts'
import { type Policy, parsePolicy } from '../documents/policy.ts'
import type { ReceiptFile } from '../documents/receipt-file.ts'
import { parseStatement, RECEIPT_TYP, type Statement } from '../documents/statement.ts'
import { AttestError } from '../errors.ts'
import { verifyFlattenedJws, verifyGeneralJws } from '../formats/jws.ts'
import { entryFromJson, type LoggedEntry } from '../tlog/entry.ts'
import { type ReceiptSigners, receiptSigners } from './signers.ts'

/** A document and the digest by which others name it. */
export interface Named<T> {
  readonly value: T
  readonly digest: string
}

/** One release of a receipt: what its releaser signed, and where that was logged. */
export interface ReceiptRelease {
  readonly intent: ReleaseIntent
  /** The JWS as logged. */
  readonly bytes: Uint8Array
  /** Thumbprint. */
  readonly signer: string
  readonly entry: LoggedEntry
}

/** The evidence of a receipt, and what its binding says before any of it is verified. */
export interface ReceiptEvidence {
  readonly bundle: EvidenceBundle
  readonly binding: Binding
  readonly bindingDigest: string
  readonly digest: string
  readonly kemDigest: string
}

/**
 * The parts of a receipt file, read. Every JWS in it verified under the key that it names itself; nothing says yet that the
 * parts belong together or that anybody trusts those keys.
 */
export interface ReceiptDocuments {
  /** The General JWS as logged. */
  readonly receipt: Uint8Array
  readonly statement: Statement
  readonly signers: ReceiptSigners
  readonly contract: Named<Contract> & { readonly signer: string }
  readonly grants: readonly SignedGrant[]
  readonly policies: readonly Named<Policy>[]
  readonly headers: readonly Named<DatasetHeader>[]
  readonly evidence: ReceiptEvidence | null
  readonly ownerNonces: readonly Uint8Array[]
  readonly nonceCheckpoint: string | null
  readonly endorsements: readonly Uint8Array[]
  /** In their order in the log. */
  readonly releases: readonly ReceiptRelease[]
  readonly ending: LoggedEntry
}

/**
 * Reads the documents of a receipt file and verifies the signature of every signed one.
 * @throws AttestError the codes of a malformed document, or `SIGNATURE_INVALID`.
 */
export async function readReceiptFile(file: ReceiptFile): Promise<ReceiptDocuments> {
  const receipt = fromBase64Url(file.receipt)
  const jws = await verifyGeneralJws(receipt, RECEIPT_TYP, 'receipt')
  const grants = []
  for (const [i, text] of file.grants.entries()) grants.push(await readGrant(text, `grants[${i}]`))
  return {
    receipt,
    statement: parseStatement(jws.payload),
    signers: receiptSigners(jws),
    contract: await readContract(file.contract),
    grants,
    policies: await Promise.all(file.policies.map((text) => readNamed(text, parsePolicy))),
    headers: await Promise.all(file.headers.map((text) => readNamed(text, parseDatasetHeader))),
    evidence: file.evidence === null ? null : await readEvidence(bundleFromJson(file.evidence)),
    ownerNonces: file.ownerNonces.map(fromBase64Url),
    nonceCheckpoint: file.nonceCheckpoint,
    endorsements: file.endorsements.map(fromBase64Url),
    releases: await readReleases(file),
    ending: entryFromJson(file.log.ending),
  }
}

async function readContract(text: string): Promise<ReceiptDocuments['contract']> {
  const { payload, digest, signer } = await readSigned(text, CONTRACT_TYP, 'contract')
  return { value: parseContract(payload), digest, signer }
}

export async function readGrant(text: string, at: string): Promise<SignedGrant> {
  const { payload, digest, signer } = await readSigned(text, GRANT_TYP, at)
  return { grant: parseGrant(payload), digest, signer }
}

/** @throws AttestError `DOCUMENT_INVALID` for intents without entries, or entries without intents. */
async function readReleases({ intents, log }: ReceiptFile): Promise<readonly ReceiptRelease[]> {
  if (intents.length !== log.releases.length) {
    throw new AttestError('DOCUMENT_INVALID', `${intents.length} intents and ${log.releases.length} entries of them`, {
      at: 'receipt-file.log.releases',
    })
  }
  const releases: ReceiptRelease[] = []
  for (const [i, entry] of log.releases.entries()) {
    const { payload, bytes, signer } = await readSigned(intents[i] ?? '', INTENT_TYP, `intents[${i}]`)
    releases.push({ intent: parseIntent(payload), bytes, signer, entry: entryFromJson(entry) })
  }
  return releases
}

interface SignedDocument {
  readonly payload: Uint8Array
  readonly bytes: Uint8Array
  readonly digest: string
  /** Thumbprint. */
  readonly signer: string
}

export async function readSigned(text: string, typ: string, at: string): Promise<SignedDocument> {
  const bytes = fromBase64Url(text)
  const { payload, digest, signers } = await verifyFlattenedJws(bytes, typ, at)
  const [signer] = signers
  if (signer === undefined) throw new AttestError('JWS_MALFORMED', 'no signature', { at })
  return { payload, bytes, digest, signer: signer.thumbprint }
}

export async function readNamed<T>(text: string, parse: (bytes: Uint8Array) => T): Promise<Named<T>> {
  const bytes = fromBase64Url(text)
  return { value: parse(bytes), digest: await sha256(bytes) }
}

export function parseDatasetHeader(bytes: Uint8Array): DatasetHeader {
  const header = parseHeader(bytes)
  if (header.kind !== 'dataset') throw new AttestError('DOCUMENT_INVALID', `kind is ${header.kind}, want dataset`, { at: 'header.kind' })
  return header
}

export async function readEvidence(bundle: EvidenceBundle): Promise<ReceiptEvidence> {
  const binding = parseBinding(bundle.binding)
  return {
    bundle,
    binding,
    bindingDigest: await sha256(bundle.binding),
    digest: await evidenceDigest(bundle),
    kemDigest: await hpkeKeyDigest(binding.kem),
  }
}

async function sha256(bytes: Uint8Array): Promise<string> {
  return toBase64Url(await crypto.digest('SHA-256', bytes))
}
