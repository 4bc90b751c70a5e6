import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './paths.mjs'

/** Real evidence, which is not part of this repository: `SEALGATE_VECTORS`, else ../shared/vectors beside it. */
const vectors = process.env.SEALGATE_VECTORS ?? join(root, '../shared/vectors')

const read = (...path) => new Uint8Array(readFileSync(join(...path)))
const readText = (...path) => readFileSync(join(...path), 'utf8')

/** Committed seeds with throwaway keys. */
export function made(name) {
  return read(root, 'test/fuzz/seeds', name)
}

/** A golden file of one document vector, such as `010-contract`, `payload.golden.json`. */
export function golden(folder, name) {
  return read(root, 'test/vectors/documents', folder, name)
}

/** Golden files of this name in any document vector. */
export function goldens(name) {
  const folder = join(root, 'test/vectors/documents')
  const holders = readdirSync(folder).filter((vector) => existsSync(join(folder, vector, name)))
  return holders.sort().map((vector) => golden(vector, name))
}

export function expectOf(folder) {
  return JSON.parse(readText(root, 'test/vectors/documents', folder, 'case.json')).expect
}

/** Sealed files of the dataset vectors that are small enough to be written out. */
export function datasets() {
  const { datasets: all } = JSON.parse(readText(root, 'test/vectors/dataset/golden.json'))
  return all.filter((d) => d.file !== undefined).map((d) => ({ ...d, file: Buffer.from(d.file, 'hex'), dek: Buffer.from(d.dek, 'hex') }))
}

/** The archive of the documentation, in clear. */
export function archived() {
  return Buffer.from(JSON.parse(readText(root, 'test/vectors/dataset/golden.json')).archive.archive, 'hex')
}

/** DER of the SIMULATED machine that tests use. */
export function simulatedPlatform() {
  const json = JSON.parse(readText(root, 'test/vectors/sev-snp/simulated-platform.golden.json'))
  const der = (text) => new Uint8Array(Buffer.from(text, 'base64url'))
  return {
    root: der(json.root.certificate),
    certificates: [json.root, json.intermediate, json.vek].map((key) => der(key.certificate)),
    crl: der(json.crl),
  }
}

/** Real files under a folder of the vectors whose names match; the smallest of them. Empty where there are no vectors. */
export function real(folder, pattern, atMost = 40) {
  const path = join(vectors, folder)
  if (!existsSync(path)) return []
  const found = readdirSync(path).filter((name) => pattern.test(name))
  return found
    .sort()
    .map((name) => read(path, name))
    .sort((a, b) => a.length - b.length)
    .slice(0, atMost)
}
