import { describe, expect, it } from 'vitest'
import { parseCount, parseDuration, parseImageDigest, parsePair, parseSize } from '../../../src/cli/options.ts'

describe('options', () => {
  it('reads durations', () => {
    expect(['30s', '10m', '24h', '7d'].map(parseDuration)).toEqual([30, 600, 86400, 604800])
  })
  it.each(['', '1', '1w', '-1s', '1.5h', '1 h', '10000000000s'])('rejects the duration "%s"', (text) => {
    expect(() => parseDuration(text)).toThrow()
  })

  it('reads sizes', () => {
    expect(['500', '64M', '2G', '1K'].map(parseSize)).toEqual([500, 64 * 1024 ** 2, 2 * 1024 ** 3, 1024])
  })
  it.each(['', '1T', '-1', '1.5M', 'M'])('rejects the size "%s"', (text) => {
    expect(() => parseSize(text)).toThrow()
  })

  it.each(['', '-1', '1e3', '0x10', '1 '])('rejects the count "%s"', (text) => {
    expect(() => parseCount(text)).toThrow()
  })

  it('reads image references, and leaves names to others', () => {
    const digest = `sha256:${'a'.repeat(64)}`
    expect(parseImageDigest(`wasm:${digest}`)).toEqual({ runner: 'wasm', digest })
    expect(parseImageDigest('tabular-inference')).toBeNull()
    expect(parseImageDigest(`vm:${digest}`)).toBeNull()
    expect(parseImageDigest(`wasm:${digest.toUpperCase()}`)).toBeNull()
  })

  it('splits pairs at the first equals sign', () => {
    expect(parsePair('A=b=c')).toEqual(['A', 'b=c'])
    expect(() => parsePair('=x')).toThrow()
    expect(() => parsePair('x')).toThrow()
  })
})
