import { describe, expect, it } from 'vitest'
import { cpuMsOf, UsageSampler, usageFiles } from '../../../../src/host/runner/cgroup-usage.ts'

describe('control groups', () => {
  it('are found in version 2', () => {
    expect(usageFiles('0::/system.slice/docker-abc.scope\n', 'abc')).toEqual({
      cpu: '/sys/fs/cgroup/system.slice/docker-abc.scope/cpu.stat',
      memory: '/sys/fs/cgroup/system.slice/docker-abc.scope/memory.peak',
    })
  })

  it('are found in version 1, also beside an empty version 2', () => {
    expect(usageFiles('9:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n0::/docker/abc\n', 'abc')).toEqual({
      cpu: '/sys/fs/cgroup/cpuacct/docker/abc/cpuacct.usage',
      memory: '/sys/fs/cgroup/memory/docker/abc/memory.max_usage_in_bytes',
    })
  })

  it("are nobody else's", () => {
    for (const groups of ['', '\n', '0::/\n', '9:memory:/\n5:cpu,cpuacct:/\n0::/\n', '0::/docker/other\n'])
      expect(usageFiles(groups, 'abc')).toBeNull()
  })

  it('count CPU time in nanoseconds or microseconds', () => {
    expect(cpuMsOf('34757065\n')).toBeCloseTo(34.757, 3)
    expect(cpuMsOf('usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n')).toBe(1.5)
    expect(cpuMsOf('')).toBeNaN()
  })

  it('give no numbers for a process that is gone', async () => {
    const sampler = new UsageSampler()
    await sampler.start(0, 'abc')
    expect(sampler.stop()).toEqual({ cpuMs: null, memoryPeakBytes: null })
  })
})
