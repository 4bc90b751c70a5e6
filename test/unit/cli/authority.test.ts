import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkName, createAuthority, issueIdentity, type PemIdentity } from '../../../src/cli/folders/authority.ts'
import { peerIdentity } from '../../../src/rpc/index.ts'

const AT = new Date('2026-06-01T12:00:00Z')
let folder: string
let authority: PemIdentity

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-test-'))
  authority = await createAuthority('clinic', AT)
})
afterAll(() => rmSync(folder, { recursive: true }))

const issue = (role: 'client' | 'host' | 'gateway', name = 'alice', addresses: readonly string[] = []): Promise<PemIdentity> =>
  issueIdentity(authority, { role, name, addresses, rsa: false }, AT)

function opensslVerifies(pem: string, purpose: 'sslclient' | 'sslserver'): boolean {
  writeFileSync(join(folder, 'ca.pem'), authority.cert)
  writeFileSync(join(folder, 'leaf.pem'), pem)
  const at = String(AT.getTime() / 1000 + 60)
  const args = ['verify', '-x509_strict', '-attime', at, '-purpose', purpose, '-CAfile', join(folder, 'ca.pem'), join(folder, 'leaf.pem')]
  try {
    execFileSync('openssl', args, { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

describe('authority', () => {
  it('issues identities that name exactly one role and name', async () => {
    const certificate = new X509Certificate((await issue('host', 'host1')).cert)
    expect(peerIdentity(certificate.subjectAltName)).toEqual({ role: 'host', name: 'host1' })
    expect(certificate.verify(new X509Certificate(authority.cert).publicKey)).toBe(true)
    expect(certificate.ca).toBe(false)
  })

  it('gives the gateway its addresses', async () => {
    const certificate = new X509Certificate((await issue('gateway', 'clinic', ['localhost', '127.0.0.1', '::1'])).cert)
    expect(certificate.checkHost('localhost')).toBe('localhost')
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(certificate.checkHost('example.org')).toBeUndefined()
    expect(peerIdentity(certificate.subjectAltName)).toEqual({ role: 'gateway', name: 'clinic' })
  })

  it('makes chains that a strict verifier takes, each for its own purpose only', async () => {
    const client = (await issue('client')).cert
    const gateway = (await issue('gateway', 'clinic', ['localhost'])).cert
    expect(opensslVerifies(client, 'sslclient')).toBe(true)
    expect(opensslVerifies(client, 'sslserver')).toBe(false)
    expect(opensslVerifies(gateway, 'sslserver')).toBe(true)
    expect(opensslVerifies(gateway, 'sslclient')).toBe(false)
  })

  it('rejects a certificate of another authority of the same name', async () => {
    const other = await createAuthority('clinic', AT)
    const foreign = await issueIdentity(other, { role: 'client', name: 'alice', addresses: [], rsa: false }, AT)
    expect(opensslVerifies(foreign.cert, 'sslclient')).toBe(false)
  })

  it.each(['', 'Alice', '-a', 'a b', 'a/b', 'urn:x', 'a'.repeat(64), 'ä'])('rejects the name "%s"', (name) => {
    expect(() => checkName(name)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
