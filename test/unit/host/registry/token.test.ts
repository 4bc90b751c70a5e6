import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseChallenge } from '../../../../src/host/registry/token.ts'

it('reads the challenges that registries send', () => {
  expect(parseChallenge('Bearer realm="https://auth.docker.io/token",service="registry.docker.io"')).toEqual({
    scheme: 'bearer',
    realm: 'https://auth.docker.io/token',
    service: 'registry.docker.io',
  })
  expect(parseChallenge('Basic realm="x"')).toEqual({ scheme: 'basic' })
  for (const other of ['', 'Bearer', 'Bearer service="x"', 'Digest realm="x"', `Bearer realm="${'x'.repeat(5000)}"`])
    expect(parseChallenge(other)).toBeNull()
})

it('never throws', () => {
  fc.assert(fc.property(fc.string(), (text) => void parseChallenge(`Bearer ${text}`)))
})
