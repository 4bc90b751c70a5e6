import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseImageSource } from '../../../../src/verify/documents/image-source.ts'

const DIGEST = `sha256:${'0a'.repeat(32)}`

describe('an image source', () => {
  it.each([
    ['registry.example', 'app'],
    ['registry-1.docker.io', 'library/busybox'],
    ['localhost:5000', 'a/b__c/d-e.f'],
    ['registry:5000', 'app'],
    ['127.0.0.1:5000', 'team/app'],
  ])('names a repository by digest: %s/%s', (registry, name) => {
    expect(parseImageSource(`${registry}/${name}@${DIGEST}`)).toEqual({ registry, name, digest: DIGEST })
  })

  it.each([
    ['a tag', 'registry.example/app:latest'],
    ['a tag beside a digest', `registry.example/app:latest@${DIGEST}`],
    ['no host', `library/busybox@${DIGEST}`],
    ['no name', `registry.example/@${DIGEST}`],
    ['a path that climbs', `registry.example/../app@${DIGEST}`],
    ['an empty part', `registry.example/a//b@${DIGEST}`],
    ['capitals', `registry.example/App@${DIGEST}`],
    ['a URL', `https://registry.example/app@${DIGEST}`],
    ['credentials', `user:word@registry.example/app@${DIGEST}`],
    ['two digests', `registry.example/app@${DIGEST}@${DIGEST}`],
    ['another algorithm', `registry.example/app@sha512:${'0a'.repeat(64)}`],
    ['a short digest', `registry.example/app@${DIGEST.slice(0, -1)}`],
    ['a query', `registry.example/app?x@${DIGEST}`],
    ['a line feed', `registry.example/app@${DIGEST}\n`],
    ['too much', `registry.example/${'a'.repeat(500)}@${DIGEST}`],
  ])('is not %s', (_, text) => {
    expect(parseImageSource(text)).toBeNull()
  })

  it('has one spelling', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const source = parseImageSource(`registry.example/${text}@${DIGEST}`)
        return source === null || `${source.registry}/${source.name}@${source.digest}` === `registry.example/${text}@${DIGEST}`
      }),
    )
  })
})
