import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createVerifyCache, remember } from '../../../../src/verify/evidence/cache.ts'

const KiB = 1024

describe('a verify cache', () => {
  it('gives back what it was given, and nothing else', () => {
    const cache = createVerifyCache()
    cache.set('a', 1, 10)
    expect([cache.get('a'), cache.get('b')]).toEqual([1, undefined])
  })

  it('stays within its bound', () => {
    const cache = createVerifyCache(64 * KiB)
    for (let i = 0; i < 10_000; i++) cache.set(`k${i}`, i, KiB)
    const kept = Array.from({ length: 10_000 }, (_, i) => cache.get(`k${i}`)).filter((v) => v !== undefined)
    expect(kept.length).toBeGreaterThan(10)
    expect(kept.length).toBeLessThanOrEqual(64)
  })

  it('keeps what is used while others come and go', () => {
    const cache = createVerifyCache(64 * KiB)
    cache.set('hot', true, KiB)
    for (let i = 0; i < 10_000; i++) {
      cache.set(`k${i}`, i, KiB)
      expect(cache.get('hot')).toBe(true)
    }
  })

  it('does not keep what is larger than half of it', () => {
    const cache = createVerifyCache(4 * KiB)
    cache.set('small', 1, 100)
    cache.set('large', 2, 4 * KiB)
    expect([cache.get('small'), cache.get('large')]).toEqual([1, undefined])
  })

  it('never gives a value of another key', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(50), fc.nat(3000)), { maxLength: 300 }), (steps) => {
        const cache = createVerifyCache(16 * KiB)
        for (const [key, size] of steps) {
          const found = cache.get(String(key))
          expect(found === undefined || found === key).toBe(true)
          cache.set(String(key), key, size)
        }
      }),
    )
  })

  it('remembers a value that was worked out, false ones too, and no failure', async () => {
    const cache = createVerifyCache()
    let calls = 0
    const work = (): boolean => {
      calls++
      return false
    }
    expect([await remember(cache, 'x', 1, work), await remember(cache, 'x', 1, work), calls]).toEqual([false, false, 1])
    const fails = (): Promise<never> => Promise.reject(new Error('no'))
    await expect(remember(cache, 'y', 1, fails)).rejects.toThrow('no')
    expect(cache.get('y')).toBeUndefined()
  })
})
