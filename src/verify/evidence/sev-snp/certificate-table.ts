import { isZero, toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'

const ENTRY_SIZE = 24
const MAX_ENTRIES = 32
const MAX_CERTIFICATE_SIZE = 64 * 1024

/** GUIDs of the certificates (AMD 56421 table 5). Tables hold them in RFC 4122 byte order or in Microsoft's: both are seen. */
const GUIDS: ReadonlySet<string> = new Set(
  [
    '63da758de6644564adc5f4b93be8accd', // VCEK
    'a8074bc2a25a483eaae639c045a0b8a1', // VLEK
    '4ab7b379bbac4fe4a02f05aef327c782', // ASK
    'c0b406a4a803495297433fb6014cd0ae', // ARK
  ].flatMap((guid) => [guid, microsoftOrder(guid)]),
)

function microsoftOrder(guid: string): string {
  const swap = (text: string): string => (text.match(/../g) ?? []).reverse().join('')
  return swap(guid.slice(0, 8)) + swap(guid.slice(8, 12)) + swap(guid.slice(12, 16)) + guid.slice(16)
}

export function looksLikeCertificateTable(bytes: Uint8Array): boolean {
  return bytes.length >= ENTRY_SIZE && GUIDS.has(toHex(bytes.subarray(0, 16)))
}

/**
 * The certificates of an extended report's table: entries of GUID, offset (u32le) and length (u32le), ended by a zero entry.
 * The host writes the table, so what it holds are hints. Entries of other kinds are skipped.
 * @returns Contents as they stand: DER, or PEM.
 * @throws AttestError `EVIDENCE_TRUNCATED` for an entry that points outside, or a table without end.
 * @see AMD 56421 (GHCB) section 4.1.8.1.
 */
export function parseCertificateTable(table: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  const certificates: Uint8Array[] = []
  for (let i = 0; i <= MAX_ENTRIES; i++) {
    const at = `snp.certificates[${i}]`
    const from = i * ENTRY_SIZE
    if (from + ENTRY_SIZE > table.length || i === MAX_ENTRIES) throw new AttestError('EVIDENCE_TRUNCATED', 'table has no end', { at })
    const entry = table.subarray(from, from + ENTRY_SIZE)
    if (isZero(entry)) break
    const offset = view.getUint32(from + 16, true)
    const length = view.getUint32(from + 20, true)
    if (offset + length > table.length) throw new AttestError('EVIDENCE_TRUNCATED', 'entry points outside of the table', { at })
    if (!GUIDS.has(toHex(entry.subarray(0, 16))) || length === 0) continue
    if (length > MAX_CERTIFICATE_SIZE) throw new AttestError('CERTIFICATE_MALFORMED', `larger than ${MAX_CERTIFICATE_SIZE} bytes`, { at })
    certificates.push(table.slice(offset, offset + length))
  }
  return certificates
}
