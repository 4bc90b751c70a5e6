import { AttestError } from '../../errors.ts'
import type { Collateral } from '../collateral.ts'
import type { CompanionKind } from '../companions.ts'
import { looksLikeAttest } from '../tpm/attest.ts'
import { companionsOf } from '../tpm/companions.ts'
import type { Format } from '../types.ts'

/** The two files that evidence of an Azure confidential VM is made of. */
export interface AzureParts {
  /** What NV index 0x01400001 of the virtual TPM holds. */
  readonly hclReport: Uint8Array
  /** TPMS_ATTEST; null where none was given. */
  readonly vtpmQuote: Uint8Array | null
}

/**
 * Either of the two may be the evidence, the other lies beside it. A TPM quote without an HCL report is a TPM quote: null.
 * @throws AttestError `DOCUMENT_INVALID` for two of a kind: they could be about two times.
 */
export function azureParts(format: Format, evidence: Uint8Array, collateral: Collateral): AzureParts | null {
  if (format !== 'azure-cvm' && format !== 'tpm') return null
  if (!looksLikeAttest(evidence)) return format === 'tpm' ? null : { hclReport: evidence, vtpmQuote: onlyOne(collateral, 'tpm-quote') }
  const hclReport = onlyOne(collateral, 'hcl-report')
  if (hclReport === null) return format === 'tpm' ? null : { hclReport: evidence, vtpmQuote: null }
  return { hclReport, vtpmQuote: evidence }
}

function onlyOne(collateral: Collateral, kind: CompanionKind): Uint8Array | null {
  const found = companionsOf(collateral, kind)
  if (found.length > 1)
    throw new AttestError('DOCUMENT_INVALID', `${found.length} pieces of the kind ${kind}, want one`, { at: 'collateral' })
  return found[0]?.bytes ?? null
}
