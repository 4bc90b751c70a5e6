import { isZero, toHex } from '../../bytes/bytes.ts'
import { AttestError } from '../../errors.ts'

const ENTRY_SIZE = 24
const MAX_ENTRIES = 32
const MAX_CONTENT_SIZE = 64 * 1024

/** GUIDs of the certificates and of the CRL (AMD 56421 table 5). Tables hold them in RFC 4122 byte order or in Microsoft's: both are seen. */
const GUIDS: ReadonlySet<string> = new Set(
  [
    '63da758de6644564adc5f4b93be8accd', // VCEK
    'a8074bc2a25a483eaae639c045a0b8a1', // VLEK
    '4ab7b379bbac4fe4a02f05aef327c782', // ASK
    'c0b406a4a803495297433fb6014cd0ae', // ARK
    '92f81bc358114d3d97ffd19f88dc67ea', // CRL
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
 * The certificates and CRL of an extended report's table: entries of GUID, offset (u32le) and length (u32le), ended by a zero
 * entry. The host writes the table, so what it holds are hints. Contents of other kinds are skipped.
 * @param place - What to call the table in an error.
 * @returns Contents as they stand: DER, or PEM.
 * @throws AttestError `EVIDENCE_TRUNCATED` for an entry that points outside of the table or into its entries, or a table
 *   without end; `EVIDENCE_TRAILING` for contents that overlap; `CERTIFICATE_MALFORMED` for one that is too large.
 * @see AMD 56421 (GHCB) section 4.1.8.1.
 */
export function parseCertificateTable(table: Uint8Array, place: string = 'snp.certificates'): readonly Uint8Array[] {
  const entries = readEntries(table, place)
  const start = (entries.length + 1) * ENTRY_SIZE
  const ordered = [...entries].sort((a, b) => a.offset - b.offset)
  let end = start
  for (const { at, offset, length } of ordered) {
    if (offset < start) throw new AttestError('EVIDENCE_TRUNCATED', 'entry points into the entries', { at })
    if (offset < end) throw new AttestError('EVIDENCE_TRAILING', 'contents overlap', { at })
    end = offset + length
  }
  return entries.filter((e) => e.isKnown).map(({ offset, length }) => table.slice(offset, offset + length))
}

interface TableEntry {
  readonly at: string
  readonly isKnown: boolean
  readonly offset: number
  readonly length: number
}

/** Entries without contents are left out. */
function readEntries(table: Uint8Array, place: string): readonly TableEntry[] {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength)
  const entries: TableEntry[] = []
  for (let i = 0; i <= MAX_ENTRIES; i++) {
    const at = `${place}[${i}]`
    const from = i * ENTRY_SIZE
    if (from + ENTRY_SIZE > table.length || i === MAX_ENTRIES) throw new AttestError('EVIDENCE_TRUNCATED', 'table has no end', { at })
    const entry = table.subarray(from, from + ENTRY_SIZE)
    if (isZero(entry)) break
    const [offset, length] = [view.getUint32(from + 16, true), view.getUint32(from + 20, true)]
    if (offset + length > table.length) throw new AttestError('EVIDENCE_TRUNCATED', 'entry points outside of the table', { at })
    if (length === 0) continue
    const isKnown = GUIDS.has(toHex(entry.subarray(0, 16)))
    if (isKnown && length > MAX_CONTENT_SIZE)
      throw new AttestError('CERTIFICATE_MALFORMED', `larger than ${MAX_CONTENT_SIZE} bytes`, { at })
    entries.push({ at, isKnown, offset, length })
  }
  return entries
}
