import { describe, expect, it } from 'vitest'
import { checkRequest, exactly } from '../../../../src/host/runner/request.ts'
import { requestOf, TABULAR } from '../../../support/run-request.ts'

const DOCKER = { kind: 'docker', isolations: ['sealgate-container-v1', 'sealgate-gvisor-v1'] } as const
const WASM = { kind: 'wasm', isolations: ['sealgate-wasm-v1'] } as const

const { docker, wasm } = TABULAR.images
const invalid = (at: string) => expect.objectContaining({ code: 'DOCUMENT_INVALID', at })

describe('checkRequest', () => {
  it('takes what can be applied', () => {
    checkRequest(DOCKER, requestOf(docker, { argv: ['/in/a', 'é'], env: { A: '1' }, inputs: { a: Buffer.from('x') } }))
    checkRequest(WASM, requestOf(wasm))
  })

  it("refuses another runner's image", () => {
    expect(() => checkRequest(DOCKER, requestOf(wasm))).toThrow(expect.objectContaining({ code: 'IMAGE_UNAVAILABLE' }))
  })

  it.each(['timeMs', 'memoryBytes', 'outputBytes', 'pids', 'cpuMillis'] as const)(
    'refuses %s of zero, which an engine would take for no limit',
    (name) => {
      for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(() => checkRequest(DOCKER, requestOf(docker, { limits: { [name]: value } }))).toThrow(invalid(`contract.limits.${name}`))
      }
    },
  )

  it('refuses a time limit that no timer can hold, since it would fire at once', () => {
    expect(() => checkRequest(WASM, requestOf(wasm, { limits: { timeMs: 2 ** 31 } }))).toThrow(invalid('contract.limits.timeMs'))
  })

  it.each(['../a', 'a/b', '', '.hidden', 'a b'])('refuses an input named %j', (name) => {
    expect(() => checkRequest(DOCKER, requestOf(docker, { inputs: { [name]: Buffer.from('x') } }))).toThrow(invalid('contract.inputs'))
  })

  it('refuses two inputs of one name, and sizes that are none', () => {
    const input = { name: 'a', size: 1, read: () => [] }
    for (const inputs of [[input, input], [{ ...input, size: -1 }], [{ ...input, size: 0.5 }]]) {
      expect(() => checkRequest(DOCKER, { ...requestOf(docker), inputs })).toThrow(invalid('contract.inputs'))
    }
  })

  it('refuses arguments and variables that end early, and job ids that could be paths', () => {
    expect(() => checkRequest(DOCKER, requestOf(docker, { argv: ['a\0b'] }))).toThrow(invalid('contract.argv'))
    expect(() => checkRequest(DOCKER, requestOf(docker, { env: { A: 'a\0B=1' } }))).toThrow(invalid('contract.argv'))
    expect(() => checkRequest(DOCKER, requestOf(docker, { argv: ['\ud800'] }))).toThrow(invalid('contract.argv'))
    for (const jobId of ['', '../x', 'a/b'])
      expect(() => checkRequest(DOCKER, requestOf(docker, { jobId }))).toThrow(invalid('contract.jobId'))
  })
})

describe('exactly', () => {
  const drain = async (size: number, chunks: string[]) => {
    let out = ''
    for await (const chunk of exactly({ size, read: () => chunks.map((c) => Buffer.from(c)) })) out += Buffer.from(chunk).toString()
    return out
  }

  it('passes an input on', async () => {
    expect(await drain(5, ['ab', '', 'cde'])).toBe('abcde')
    expect(await drain(0, [])).toBe('')
  })

  it('refuses one byte more or less than promised', async () => {
    await expect(drain(4, ['ab', 'cde'])).rejects.toMatchObject({ code: 'STREAM_TRUNCATED' })
    await expect(drain(6, ['ab', 'cde'])).rejects.toMatchObject({ code: 'STREAM_TRUNCATED' })
  })
})
