import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { createOwnerKeys, loadOwner, makeFolder, type Owner } from '../../../src/client/index.ts'

/** A folder that is gone after the test file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sealgate-test-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

let owners = 0

/** A fresh owner with keys on disk. */
export async function freshOwner(root: string): Promise<Owner> {
  const folder = join(root, `owner-${++owners}`)
  await makeFolder(folder)
  await createOwnerKeys(folder)
  return loadOwner(folder)
}

export const LEGAL = {
  purposes: ['https://w3id.org/dpv#ScientificResearch'],
  legalBasis: null,
  categories: [],
  jurisdictions: [],
  retention: null,
  agreement: null,
}
