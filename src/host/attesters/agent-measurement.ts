import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeCanonical } from '../../verify/formats/canonical-json.ts'

/** The rooms that run in the enclave. */
const ROOMS = ['host', 'rpc', 'seal', 'sim', 'verify'] as const
/** Not program: declarations and text. */
const LEFT_OUT = /\.d\.ts$|\.md$|(^|\/)tsconfig\.json$/

/**
 * What a simulated TEE says it has measured: SHA-384 over the canonical list of `{path, sha256}` of the agent's own
 * program files, sorted by path. A changed agent has another measurement, as on real hardware; but here it is the
 * agent itself that counts, so it proves nothing.
 * @param root - Folder of the rooms; default: where this program lies.
 */
export async function simulatedMeasurement(root: string = fileURLToPath(new URL('../../', import.meta.url))): Promise<Uint8Array> {
  const paths: string[] = []
  for (const room of ROOMS) paths.push(...(await filesBelow(root, room)))
  const list = []
  for (const path of paths.filter((p) => !LEFT_OUT.test(p)).sort()) {
    const sha256 = createHash('sha256')
      .update(await readFile(join(root, path)))
      .digest('base64url')
    list.push({ path, sha256 })
  }
  return new Uint8Array(createHash('sha384').update(encodeCanonical(list)).digest())
}

async function filesBelow(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true })
  return entries.filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name).slice(join(root, sep).length).split(sep).join('/'))
}
