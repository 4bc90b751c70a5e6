import 'reflect-metadata'
import { createHash, X509Certificate } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { X509Certificate as PeculiarCertificate, X509Crl } from '@peculiar/x509'
import { afterAll, describe, expect, it } from 'vitest'
import { toHex } from '../../../src/verify/bytes/bytes.ts'
import { anchorOf } from '../../../src/verify/evidence/authority.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { nowAt } from '../../../src/verify/evidence/check.ts'
import { knownCertificate, loadCollateral } from '../../../src/verify/evidence/collateral.ts'
import { checkRevocation } from '../../../src/verify/evidence/revocation.ts'
import { findPath, snpRoots } from '../../../src/verify/evidence/sev-snp/chain.ts'
import { describeVek } from '../../../src/verify/evidence/sev-snp/claims.ts'
import { parseVek } from '../../../src/verify/evidence/sev-snp/vek.ts'
import { isSignedBy } from '../../../src/verify/evidence/signed-by.ts'
import { parseCrl } from '../../../src/verify/formats/crl.ts'
import { parsePem } from '../../../src/verify/formats/pem.ts'
import { parseCertificate } from '../../../src/verify/formats/x509.ts'
import { AMD_HIERARCHIES, AMD_NAME_PREFIX, AMD_ROOTS } from '../../../src/verify/trust/amd.ts'
import { readVector, vectorsFolder } from '../../support/vectors.ts'
import { camelCase, loadCases } from './cases.ts'

const folder = vectorsFolder('sev-snp')
const cases = folder === null ? [] : loadCases(folder)
const cache = createVerifyCache()
const counts = { 'certificates read like node:crypto and @peculiar/x509': 0, 'CRLs read like @peculiar/x509': 0 }

function pemFile(name: string): Uint8Array {
  const [block] = parsePem(new TextDecoder().decode(readVector(folder ?? '', `../roots/${name}`)), name)
  return block?.der ?? new Uint8Array()
}

/** Reads one certificate with three readers. */
function compareReaders(der: Uint8Array): void {
  const [ours, node, peculiar] = [parseCertificate(der), new X509Certificate(der), new PeculiarCertificate(new Uint8Array(der))]
  expect(ours.subject.text).toBe(node.subject.split('\n').join(','))
  expect(ours.issuer.text).toBe(node.issuer.split('\n').join(','))
  expect(BigInt(`0x${ours.serial}`)).toBe(BigInt(`0x${node.serialNumber}`))
  expect([ours.notBefore, ours.notAfter]).toEqual([Date.parse(node.validFrom), Date.parse(node.validTo)])
  expect([ours.notBefore, ours.notAfter]).toEqual([peculiar.notBefore.getTime(), peculiar.notAfter.getTime()])
  expect(toHex(ours.spki)).toBe(node.publicKey.export({ format: 'der', type: 'spki' }).toString('hex'))
  expect(ours.basicConstraints?.ca ?? false).toBe(node.ca)
  expect([...ours.extensions.values()].map((e) => [e.oid, e.critical, toHex(e.value)])).toEqual(
    peculiar.extensions.map((e) => [e.type, e.critical, toHex(new Uint8Array(e.value))]),
  )
  counts['certificates read like node:crypto and @peculiar/x509']++
}

describe.skipIf(folder === null)('real AMD certificates', () => {
  it('are read as other readers read them', () => {
    for (const name of readdirSync(join(folder ?? '', 'certs'))) compareReaders(readVector(folder ?? '', `certs/${name}`))
    for (const { product } of AMD_HIERARCHIES) {
      for (const kind of ['ark', 'ask', 'asvk']) compareReaders(pemFile(`${kind}-${product.toLowerCase()}.pem`))
    }
  })

  it.each(AMD_HIERARCHIES)('are what the anchors of $product say', async ({ product, ark, ask, asvk }) => {
    const root = await knownCertificate(parseCertificate(pemFile(`ark-${product.toLowerCase()}.pem`)))
    for (const [kind, facts] of [
      ['ark', ark],
      ['ask', ask],
      ['asvk', asvk],
    ] as const) {
      const certificate = await knownCertificate(parseCertificate(pemFile(`${kind}-${product.toLowerCase()}.pem`)))
      expect(certificate.sha256).toBe(facts.certificateSha256)
      const pinned = AMD_ROOTS.flatMap((r) => [r.ark, ...r.intermediates]).find((a) => a.spkiSha256 === facts.spkiSha256)
      expect(pinned).toEqual(anchorOf(certificate))
      expect(certificate.subject.text).toBe(AMD_NAME_PREFIX + facts.commonName)
      expect(await isSignedBy(cache, certificate, root)).toBe(true)
    }
  })

  it.each(cases.filter((c) => c.kind === 'vek-certificate'))('$id leads to a root: $expected.verdict', async (vector) => {
    const certificate = await knownCertificate(parseCertificate(readVector(folder ?? '', vector.evidence_files.certificate ?? '')))
    const path = await findPath(certificate, [], snpRoots([]), cache)
    expect(path !== null).toBe(vector.expected.verdict === 'pass')
    expect(describeVek(certificate, parseVek(certificate))).toMatchObject(camelCase(vector.expected.vek ?? {}))
  })

  it.each(cases.filter((c) => c.kind === 'amd-crl'))('$id is signed by its ARK and lists what it should', async (vector) => {
    const der = readVector(folder ?? '', vector.evidence_files.crl ?? '')
    const crl = { ...parseCrl(der), sha256: createHash('sha256').update(der).digest('hex') }
    const peculiar = new X509Crl(new Uint8Array(der))
    const expected = vector.expected.parsed as { this_update: string; next_update: string; revoked: { serial: string; at: string }[] }
    expect([crl.thisUpdate, crl.nextUpdate]).toEqual([Date.parse(expected.this_update), Date.parse(expected.next_update)])
    expect([crl.thisUpdate, crl.nextUpdate]).toEqual([peculiar.thisUpdate.getTime(), peculiar.nextUpdate?.getTime()])
    expect([...crl.revoked].map(([serial, at]) => [BigInt(`0x${serial}`), at])).toEqual(
      expected.revoked.map((r) => [BigInt(r.serial), Date.parse(r.at)]),
    )
    const root = AMD_ROOTS.find((r) => r.ark.subject === crl.issuer.text)
    expect(root).toBeDefined()
    for (const other of AMD_ROOTS) expect(await isSignedBy(cache, crl, other.ark)).toBe(other === root)
    counts['CRLs read like @peculiar/x509']++
  })

  it('rejects the first ASK of Genoa, which AMD revoked, and not the second', async () => {
    const collateral = await loadCollateral([{ name: 'crl', bytes: readVector(folder ?? '', 'crl/ark-genoa-20241023.crl') }], cache)
    const genoa = AMD_ROOTS.find((r) => r.product === 'Genoa')
    const [ask] = genoa?.intermediates ?? []
    if (genoa === undefined || ask === undefined) throw new Error('no anchors of Genoa')
    const now = nowAt(Date.parse('2025-07-01T00:00:00Z'))
    const outcomes = async (serial: string): Promise<readonly string[]> =>
      (await checkRevocation({ ...ask, serial }, genoa.ark, collateral, now, cache)).checks.map((c) => `${c.rule} ${c.outcome}`)
    expect(await outcomes('020001')).toEqual(['revocation.issuer fail'])
    expect(await outcomes('020002')).toEqual(['revocation.issuer pass'])
  })

  afterAll(() => console.table(counts))
})
