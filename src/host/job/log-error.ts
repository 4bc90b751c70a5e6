import { AttestError } from '../../verify/errors.ts'

/** What a log may hold of an error. */
export interface LoggedError {
  readonly code: string
  readonly at?: string
  readonly stack?: string
}

/**
 * An error as far as a log may know it. Messages stay out: they may quote a contract's arguments or the names of files
 * inside a job. Of an unknown error the places in our program remain.
 */
export function describeError(error: unknown): LoggedError {
  if (error instanceof AttestError && error.code !== 'INTERNAL') {
    return { code: error.code, ...(error.at === undefined ? {} : { at: error.at }) }
  }
  if (!(error instanceof Error)) return { code: 'INTERNAL' }
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return { code: 'code' in error && typeof error.code === 'string' ? error.code : 'INTERNAL', stack: frames.join('\n') }
}
