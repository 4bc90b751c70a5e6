const ENTRY_SIZE = 24
const MAX_CERTIFICATES = 16
const MAX_CERTIFICATE_SIZE = 16 * 1024

/**
 * The certificates of a SEV-SNP certificate table (AMD 56421 section 4.1.8.1, table 5: GUID, offset u32le, length u32le,
 * ended by a zero entry). The hypervisor writes it, so it is a hint: what does not fit is left out, nothing is trusted.
 */
export function certificatesOf(table: Uint8Array): Uint8Array[] {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  const certificates: Uint8Array[] = []
  for (let at = 0; at + ENTRY_SIZE <= table.length && certificates.length < MAX_CERTIFICATES; at += ENTRY_SIZE) {
    const offset = view.getUint32(at + 16, true)
    const length = view.getUint32(at + 20, true)
    if (table.subarray(at, at + ENTRY_SIZE).every((b) => b === 0)) break
    const fits = length > 0 && length <= MAX_CERTIFICATE_SIZE && offset + length <= table.length
    if (fits) certificates.push(table.slice(offset, offset + length))
  }
  return certificates
}
