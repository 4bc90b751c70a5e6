import { describe, expect, it } from 'vitest'
import { memoryLeaks, refuseLeaks, secureMemory } from '../../../../src/host/agent/memory-leaks.ts'

const HEAD = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
const swap = (path: string): string => `${path}                               partition\t8388604\t\t0\t\t-2\n`
const QUIET = { swaps: HEAD, corePattern: 'core\n' }

describe('memory that may reach a disk', () => {
  it('does not where there is no swap and cores have a plain name', () => {
    expect(memoryLeaks(QUIET)).toEqual([])
    expect(memoryLeaks({ swaps: '', corePattern: '' })).toEqual([])
  })

  it('does not by compressed memory', () => {
    expect(memoryLeaks({ ...QUIET, swaps: HEAD + swap('/dev/zram0') })).toEqual([])
  })

  it.each(['/dev/sda2', '/swapfile', '/dev/dm-1', '/mnt/dev/zram0', '/dev/zram0/swap'])('does by swap on %s', (path) => {
    expect(memoryLeaks({ ...QUIET, swaps: HEAD + swap('/dev/zram0') + swap(path) })).toEqual(['swap'])
  })

  it('does by a program that is fed core dumps', () => {
    expect(memoryLeaks({ ...QUIET, corePattern: '|/usr/share/apport/apport %p\n' })).toEqual(['core-dumps'])
  })

  it('is refused unless each leak is allowed by name', () => {
    const exposed = expect.objectContaining({ code: 'MEMORY_EXPOSED' })
    expect(() => refuseLeaks(['swap'], [])).toThrow(exposed)
    expect(() => refuseLeaks(['core-dumps', 'swap'], ['swap'])).toThrow(exposed)
    expect(() => refuseLeaks(['core-dumps', 'swap'], ['swap', 'core-dumps'])).not.toThrow()
    expect(() => refuseLeaks([], [])).not.toThrow()
  })

  it('is only told of where the TEE is simulated', async () => {
    const leaky = { ...QUIET, swaps: HEAD + swap('/dev/sda2') }
    expect(await secureMemory([], true, leaky)).toContain('swap')
    await expect(secureMemory([], false, leaky)).rejects.toMatchObject({ code: 'MEMORY_EXPOSED' })
    expect(await secureMemory(['swap'], false, leaky)).toEqual(['swap'])
  })
})
