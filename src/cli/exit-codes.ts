import { AttestError, ERROR_CODES } from '../verify/errors.ts'

/** Done, or accepted. */
export const EXIT_OK = 0
/** A command line that cannot be understood. */
export const EXIT_USAGE = 2
/** Ctrl-C or SIGTERM ended a command before its time: 128 + SIGINT, as shells count. */
export const EXIT_INTERRUPTED = 130

/** Exit code of a failure (design section 8): that of its error code; 1 for what nobody foresaw. */
export function exitCodeOfError(error: unknown): number {
  return error instanceof AttestError ? ERROR_CODES[error.code].exit : ERROR_CODES.INTERNAL.exit
}
