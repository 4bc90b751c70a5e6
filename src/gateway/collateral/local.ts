import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AttestError } from '../../verify/errors.ts'
import { createVerifyCache } from '../../verify/evidence/cache.ts'
import { loadCollateral as recognize } from '../../verify/evidence/collateral.ts'
import { encodeIntelDocument } from '../../verify/evidence/dcap/collateral-json.ts'
import { encodeRim } from '../../verify/evidence/nvidia/rim/encode.ts'

/** A receipt file holds the collateral as used, at most 128 objects, and the vendors' services add some. */
const MAX_OBJECTS = 96
const MAX_FILE_SIZE = 1024 * 1024

/**
 * Certificates, CRLs, OCSP responses and documents of Intel and NVIDIA of a folder, each on its own in the form that
 * endorsements have: DER, or the document's one form. Recognised by content; a folder that does not exist is empty.
 * @throws AttestError `FILE_UNREADABLE`, `LIMIT_EXCEEDED`, `CERTIFICATE_MALFORMED` or another parser's, naming the file.
 */
export async function loadCollateral(folder: string): Promise<readonly Uint8Array[]> {
  const found = await recognize(
    fileNames(folder).map((name) => readItem(join(folder, name))),
    createVerifyCache(),
  )
  const { certificates, crls, ocsp, documents, rims, unrecognized } = found
  const [stranger] = unrecognized
  if (stranger !== undefined)
    throw new AttestError(
      'CERTIFICATE_MALFORMED',
      `${stranger} is neither a certificate, a CRL, an OCSP response nor a document of Intel or NVIDIA`,
      { at: stranger },
    )
  const objects = [...[...certificates, ...crls, ...ocsp].map((c) => c.raw), ...documents.map(encodeIntelDocument), ...rims.map(encodeRim)]
  if (objects.length > MAX_OBJECTS) throw new AttestError('LIMIT_EXCEEDED', `${folder} holds more than ${MAX_OBJECTS} pieces of collateral`)
  return objects
}

function fileNames(folder: string): readonly string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name)
      .sort()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new AttestError('FILE_UNREADABLE', `${folder} cannot be read`, { cause })
  }
}

function readItem(path: string): { readonly name: string; readonly bytes: Uint8Array } {
  const bytes = new Uint8Array(readFileSync(path))
  if (bytes.length > MAX_FILE_SIZE) throw new AttestError('LIMIT_EXCEEDED', `${path} is larger than ${MAX_FILE_SIZE} bytes`)
  return { name: path, bytes }
}
