import { type Logger, pino } from 'pino'
import type { LogLevel } from './options.ts'

/** Logs of gateway and host: one JSON object a line on stderr, so that stdout stays free. */
export function createLogger(level: LogLevel): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }))
}
