import { describe, expect, it } from 'vitest'
import { endOf, outcomeOf, type Stop } from '../../../../src/host/runner/outcome.ts'
import { AttestError } from '../../../../src/verify/errors.ts'

describe('endOf', () => {
  it.each<Stop>(['timeout', 'out-of-memory', 'output-too-large', 'cancelled'])('lets %s outweigh an exit code', (stop) => {
    expect(endOf({ stop, exitCode: 0 })).toMatchObject({ kind: stop, exitCode: null })
  })

  it('never takes a strange exit code for success', () => {
    for (const exitCode of [1, 255, 256, 512, -1, 2 ** 32]) {
      const end = endOf({ stop: null, exitCode })
      expect(end).toMatchObject({ kind: 'failed', code: 'JOB_FAILED' })
      expect(end.exitCode).toBe(exitCode >= 1 && exitCode <= 255 ? exitCode : 255)
    }
    expect(endOf({ stop: null, exitCode: null })).toMatchObject({ kind: 'failed', exitCode: null })
  })
})

describe('outcomeOf', () => {
  const file = { path: 'a', size: 0, read: () => [] }

  it('takes outputs only of a program that ended by itself', async () => {
    expect(await outcomeOf({ stop: null, exitCode: 3 }, async () => [file])).toMatchObject({
      end: { kind: 'failed', exitCode: 3 },
      outputs: [file],
    })
    expect(await outcomeOf({ stop: 'timeout', exitCode: null }, async () => [file])).toMatchObject({
      end: { kind: 'timeout' },
      outputs: [],
    })
  })

  it('turns refused outputs into the outcome, and nothing else', async () => {
    const failing = (error: Error) => outcomeOf({ stop: null, exitCode: 0 }, () => Promise.reject(error))
    expect(await failing(new AttestError('LIMIT_EXCEEDED', 'too much'))).toMatchObject({
      end: { kind: 'output-too-large', reason: 'too much' },
      outputs: [],
    })
    expect(await failing(new AttestError('JOB_FAILED', 'a link'))).toMatchObject({
      end: { kind: 'failed', exitCode: 0, reason: 'a link' },
      outputs: [],
    })
    await expect(failing(new AttestError('INTERNAL', 'defect'))).rejects.toMatchObject({ code: 'INTERNAL' })
    await expect(failing(new Error('EIO'))).rejects.toThrow('EIO')
  })
})
