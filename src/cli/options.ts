import { InvalidArgumentError, Option } from 'commander'
import type { ImageRef } from '../verify/documents/contract.ts'

/** The client folder of a command: `--folder`, else `SEALGATE_FOLDER`, else the current one. */
export function folderOption(): Option {
  return new Option('--folder <folder>', 'client folder (identity and owner keys)')
    .env('SEALGATE_FOLDER')
    .default('.', 'the current folder')
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export function logLevelOption(): Option {
  return new Option('--log-level <level>', 'detail of the log on stderr')
    .choices(['debug', 'info', 'warn', 'error', 'silent'])
    .default('info')
}

/** For options that may be repeated. */
export function collect(value: string, list: readonly string[]): readonly string[] {
  return [...list, value]
}

export function parseCount(value: string): number {
  const count = Number(value)
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError('Want a whole number.')
  return count
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 24 * 3600 }

/** Seconds of `30s`, `10m`, `24h` or `7d`. */
export function parseDuration(value: string): number {
  const match = /^(\d{1,9})([smhd])$/.exec(value)
  const unit = UNITS[match?.[2] ?? '']
  if (match === null || unit === undefined) throw new InvalidArgumentError('Want a number with s, m, h or d, such as 24h.')
  return Number(match[1]) * unit
}

/** RFC 3339, and a day that exists. */
export function parseInstant(text: string): Date {
  const match = /^(\d{4})-(\d\d)-(\d\d)[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/.exec(text)
  const [year = 0, month = 0, day = 0] = (match?.slice(1, 4) ?? []).map(Number)
  const instant = new Date(match === null ? Number.NaN : text.toUpperCase())
  const exists = new Date(Date.UTC(year, month - 1, day)).getUTCDate() === day
  if (Number.isNaN(instant.getTime()) || !exists) throw new InvalidArgumentError('Want RFC 3339, such as 2026-05-06T12:00:00Z.')
  return instant
}

const SIZES: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 }

/** Bytes of `500`, `64M` or `2G`. */
export function parseSize(value: string): number {
  const match = /^(\d{1,9})([KMG]?)$/.exec(value)
  const unit = SIZES[match?.[2] ?? '']
  if (match === null || unit === undefined) throw new InvalidArgumentError('Want bytes, or a number with K, M or G.')
  return Number(match[1]) * unit
}

/** `docker:sha256:…` or `wasm:sha256:…`; null for what may be the name of a shipped image. */
export function parseImageDigest(text: string): ImageRef | null {
  const match = /^(docker|wasm):(sha256:[0-9a-f]{64})$/.exec(text)
  return match === null ? null : { runner: match[1] as ImageRef['runner'], digest: match[2] ?? '' }
}

/** `NAME=VALUE`. */
export function parsePair(text: string): readonly [string, string] {
  const at = text.indexOf('=')
  if (at <= 0) throw new InvalidArgumentError('Want NAME=VALUE.')
  return [text.slice(0, at), text.slice(at + 1)]
}

/** For options that are repeated pairs. */
export function collectPairs(text: string, list: readonly (readonly [string, string])[]): readonly (readonly [string, string])[] {
  return [...list, parsePair(text)]
}
