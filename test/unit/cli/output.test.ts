import { describe, expect, it } from 'vitest'
import { exitCodeOfError } from '../../../src/cli/exit-codes.ts'
import { createOutput, describeError, errorDocument, table } from '../../../src/cli/output.ts'
import { AttestError, ERROR_CODES, type ErrorCode } from '../../../src/verify/errors.ts'

function capture(options: { isTTY?: boolean; json?: boolean; env?: Record<string, string> } = {}) {
  const written = { stdout: '', stderr: '' }
  const stream = (name: 'stdout' | 'stderr') => ({
    write: (text: string) => (written[name] += text),
    isTTY: options.isTTY ?? false,
    columns: 40,
  })
  const output = createOutput({ stdout: stream('stdout'), stderr: stream('stderr'), env: options.env ?? {} }, options.json ?? false)
  return { output, written }
}

describe('output', () => {
  it('writes people’s text to stderr and nothing to stdout', () => {
    const { output, written } = capture()
    output.answer({ a: 1 }, ['done'])
    expect(written).toEqual({ stdout: '', stderr: 'done\n' })
  })

  it('writes one JSON document to stdout with --json, and no text', () => {
    const { output, written } = capture({ json: true })
    output.answer({ a: 1 }, ['done'])
    expect(JSON.parse(written.stdout)).toEqual({ a: 1 })
    expect(written.stderr).toBe('')
  })

  it('shows no progress and no colour where stderr is no terminal', () => {
    const { output, written } = capture()
    output.progress('50 %')
    output.line(output.paint.bad('x'))
    expect(written.stderr).toBe('x\n')
  })

  it('clears the progress line before the next one on a terminal', () => {
    const { output, written } = capture({ isTTY: true })
    output.progress('x'.repeat(100))
    output.line('end')
    expect(written.stderr).toBe(`${'x'.repeat(39)}\r\x1b[2Kend\n`)
  })

  it('paints on a terminal, unless NO_COLOR is set', () => {
    expect(capture({ isTTY: true }).output.paint.good('x')).toContain('\x1b[')
    expect(capture({ isTTY: true, env: { NO_COLOR: '1' } }).output.paint.good('x')).toBe('x')
  })

  it('lines columns up', () => {
    expect(
      table([
        ['A', 'B'],
        ['long', 'x'],
      ]),
    ).toEqual(['A     B', 'long  x'])
  })
})

describe('errors', () => {
  it('has one line and a fix for every code', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const lines = describeError(new AttestError(code, 'text', { at: 'a.b' }))
      expect(lines).toEqual([`sealgate: ${code}: text (at a.b)`, `fix: ${ERROR_CODES[code].fix}`])
      expect(exitCodeOfError(new AttestError(code, 'text'))).toBe(ERROR_CODES[code].exit)
    }
  })

  it('keeps control characters of a peer away from the terminal', () => {
    expect(describeError(new AttestError('INTERNAL', 'a\x1b[2Jb\nc'))[0]).toBe('sealgate: INTERNAL: a [2Jb c')
  })

  it('does not show the cause', () => {
    const error = new AttestError('FILE_UNREADABLE', 'no', { cause: new Error('secret') })
    expect(JSON.stringify([describeError(error), errorDocument(error)])).not.toContain('secret')
  })

  it('takes whatever is thrown for a defect with exit code 1', () => {
    expect(describeError(new TypeError('x'))[0]).toBe('sealgate: INTERNAL: TypeError: x')
    expect(exitCodeOfError('text')).toBe(1)
  })
})
