import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import { AttestError } from '../../verify/errors.ts'
import { createVerifyCache } from '../../verify/evidence/cache.ts'
import { loadCollateral as recognize } from '../../verify/evidence/collateral.ts'
import { looksLikePem, parsePem } from '../../verify/formats/pem.ts'

/** A receipt file holds the collateral as used, at most 64 objects, and hosts bring some of their own. */
const MAX_OBJECTS = 48
const MAX_FILE_SIZE = 1024 * 1024

/**
 * Certificates and CRLs of a folder, DER. Recognised by content; a folder that does not exist is empty.
 * @throws AttestError `FILE_UNREADABLE`, `LIMIT_EXCEEDED`, `CERTIFICATE_MALFORMED` or another parser's, naming the file.
 */
export async function loadCollateral(folder: string): Promise<readonly Uint8Array[]> {
  const items = fileNames(folder).flatMap((name) => objectsOf(join(folder, name)))
  if (items.length > MAX_OBJECTS) throw new AttestError('LIMIT_EXCEEDED', `${folder} holds more than ${MAX_OBJECTS} certificates and CRLs`)
  const [stranger] = (await recognize(items, createVerifyCache())).unrecognized
  if (stranger !== undefined)
    throw new AttestError('CERTIFICATE_MALFORMED', `${stranger} is neither a certificate nor a CRL`, { at: stranger })
  return items.map((item) => item.bytes)
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

function objectsOf(path: string): { readonly name: string; readonly bytes: Uint8Array }[] {
  const bytes = new Uint8Array(readFileSync(path))
  if (bytes.length > MAX_FILE_SIZE) throw new AttestError('LIMIT_EXCEEDED', `${path} is larger than ${MAX_FILE_SIZE} bytes`)
  const text = bytes[0] === 0x30 ? '' : fromUtf8(bytes)
  return looksLikePem(text) ? parsePem(text, path).map((block) => ({ name: path, bytes: block.der })) : [{ name: path, bytes }]
}
