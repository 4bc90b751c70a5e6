import { z } from 'zod'
import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url, utf8 } from '../../verify/bytes/bytes.ts'
import { type Binding, parseBinding } from '../../verify/documents/binding.ts'
import { type EvidenceBundle, evidenceDigest, parseEvidenceBundle } from '../../verify/documents/evidence-bundle.ts'
import { blobField, parseDocument } from '../../verify/documents/fields.ts'
import { hpkeKeyDigest } from '../../verify/documents/keys.ts'
import { MAX_RECEIPT_ENDORSEMENTS } from '../../verify/documents/receipt-file.ts'
import { type Appraisal, parseAppraisal } from '../appraiser.ts'
import type { JobRow } from '../store/tables.ts'

/** The evidence that a job has, with the digests by which other documents name it. */
export interface JobEvidence {
  readonly bundle: EvidenceBundle
  readonly binding: Binding
  readonly bindingDigest: string
  readonly evidenceDigest: string
  readonly kemDigest: string
  readonly appraisal: Appraisal
  /** Certificates and CRLs (DER) that were used beside those in the bundle. */
  readonly endorsements: readonly Uint8Array[]
}

const listSchema = z.array(blobField(1024 * 1024)).max(MAX_RECEIPT_ENDORSEMENTS)

/** Null for a job that has none yet. */
export async function evidenceOf(row: JobRow): Promise<JobEvidence | null> {
  if (row.evidence === null || row.appraisal === null) return null
  const bundle = parseEvidenceBundle(row.evidence)
  const appraisal = parseAppraisal(row.appraisal)
  const binding = parseBinding(bundle.binding)
  return {
    bundle,
    binding,
    bindingDigest: toBase64Url(await crypto.digest('SHA-256', bundle.binding)),
    evidenceDigest: await evidenceDigest(bundle),
    kemDigest: await hpkeKeyDigest(binding.kem),
    appraisal,
    endorsements: parseDocument('endorsements', listSchema, utf8(row.endorsements), 64 * 1024 * 1024).map(fromBase64Url),
  }
}
