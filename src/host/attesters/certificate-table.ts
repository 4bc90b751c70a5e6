import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { parseCertificateTable } from '../../verify/evidence/sev-snp/certificate-table.ts'
import { parsePem } from '../../verify/formats/pem.ts'

/** First byte of a DER certificate: SEQUENCE. */
const DER_SEQUENCE = 0x30

/**
 * The certificates of a SEV-SNP certificate table, DER. The hypervisor writes the table, so it is a hint: one that does
 * not parse is as good as none, since the gateway can bring the same certificates.
 */
export function certificatesOf(table: Uint8Array): Uint8Array[] {
  try {
    return parseCertificateTable(table).flatMap(derOf)
  } catch (error) {
    if (error instanceof AttestError) return []
    throw error
  }
}

/** Hosts put DER or PEM into the table. */
function derOf(content: Uint8Array): Uint8Array[] {
  return content[0] === DER_SEQUENCE ? [content] : parsePem(fromUtf8(content), 'certificate-table').map((block) => block.der)
}
