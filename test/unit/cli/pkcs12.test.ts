import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority, issueIdentity, type PemIdentity } from '../../../src/cli/folders/authority.ts'
import { exportPkcs12 } from '../../../src/cli/pkcs12.ts'

const AT = new Date('2026-06-01T12:00:00Z')
const PASSWORD = 'correct horse'
let folder: string
let authority: PemIdentity
let rsa: PemIdentity

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-test-'))
  authority = await createAuthority('clinic', AT)
  rsa = await issueIdentity(authority, { role: 'client', name: 'alice', addresses: [], rsa: true }, AT)
})
afterAll(() => rmSync(folder, { recursive: true }))

function openssl(password: string, ...args: readonly string[]): string {
  return execFileSync('openssl', ['pkcs12', '-in', join(folder, 'a.p12'), '-passin', `pass:${password}`, ...args], {
    stdio: 'pipe',
  }).toString()
}

describe('PKCS#12 export', () => {
  it('is read by OpenSSL, with the same key and certificate', () => {
    writeFileSync(join(folder, 'a.p12'), exportPkcs12({ ca: authority.cert, ...rsa }, 'alice', PASSWORD))
    const key = createPrivateKey(openssl(PASSWORD, '-nocerts', '-nodes'))
    expect(key.export({ type: 'pkcs8', format: 'pem' })).toBe(createPrivateKey(rsa.key).export({ type: 'pkcs8', format: 'pem' }))
    const certificate = new X509Certificate(openssl(PASSWORD, '-clcerts', '-nokeys'))
    expect(certificate.fingerprint256).toBe(new X509Certificate(rsa.cert).fingerprint256)
    expect(certificate.checkPrivateKey(key)).toBe(true)
    const issuer = new X509Certificate(openssl(PASSWORD, '-cacerts', '-nokeys'))
    expect(issuer.fingerprint256).toBe(new X509Certificate(authority.cert).fingerprint256)
    expect(certificate.verify(issuer.publicKey)).toBe(true)
  })

  it('does not open with another password', () => {
    writeFileSync(join(folder, 'a.p12'), exportPkcs12({ ca: authority.cert, ...rsa }, 'alice', PASSWORD))
    expect(() => openssl('wrong horse', '-nokeys')).toThrow()
  })

  it('refuses an elliptic-curve identity and a short password', async () => {
    const ec = await issueIdentity(authority, { role: 'client', name: 'bob', addresses: [], rsa: false }, AT)
    const usage = expect.objectContaining({ code: 'USAGE' })
    expect(() => exportPkcs12({ ca: authority.cert, ...ec }, 'bob', PASSWORD)).toThrow(usage)
    expect(() => exportPkcs12({ ca: authority.cert, ...rsa }, 'alice', 'short')).toThrow(usage)
  })
})
