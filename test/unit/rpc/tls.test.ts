import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAddress, parseAddress, peerIdentity } from '../../../src/rpc/tls.ts'

describe('peer identity', () => {
  it('reads role and name from the one sealgate URI', () => {
    expect(peerIdentity('URI:urn:sealgate:client:hospital-a')).toEqual({ role: 'client', name: 'hospital-a' })
    expect(peerIdentity('DNS:localhost, IP Address:127.0.0.1, URI:urn:sealgate:gateway:g1')).toEqual({ role: 'gateway', name: 'g1' })
  })

  it.each([
    ['no SAN', undefined],
    ['two identities', 'URI:urn:sealgate:client:a, URI:urn:sealgate:host:a'],
    ['another URI beside it', 'URI:https://x.example, URI:urn:sealgate:client:a'],
    ['an unknown role', 'URI:urn:sealgate:admin:a'],
    ['upper case', 'URI:urn:sealgate:client:A'],
    ['a name with a path', 'URI:urn:sealgate:client:a/../b'],
    ['an identity hidden in a DNS name', 'DNS:"x, URI:urn:sealgate:client:a"'],
    ['an identity hidden in a quoted URI', 'URI:"https://x, URI:urn:sealgate:client:a"'],
    ['an empty name', 'URI:urn:sealgate:client:'],
  ])('refuses %s', (_, san) => {
    expect(peerIdentity(san)).toBeNull()
  })
})

describe('addresses', () => {
  it('reads what it writes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.domain(), fc.ipV4(), fc.ipV6()), fc.nat(65535), (host, port) => {
        expect(parseAddress(formatAddress({ host, port }))).toEqual({ host, port })
      }),
    )
  })

  it.each(['', 'localhost', ':1', 'host:', 'host:65536', 'a b:1', 'http://host:1', '[::1]', '::1:80:'])('refuses %j', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })
})
