import { AttestError, type ErrorCode } from '../../src/verify/errors.ts'

/** The code that `work` fails with, or `accepted`. Anything but an AttestError is a defect and is thrown on. */
export async function outcomeOf(work: () => unknown): Promise<ErrorCode | 'accepted'> {
  try {
    await work()
    return 'accepted'
  } catch (error) {
    if (error instanceof AttestError && error.code !== 'INTERNAL') return error.code
    throw error
  }
}
