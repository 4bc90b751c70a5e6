import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const SOFTHSM_MODULE = '/usr/lib/softhsm/libsofthsm2.so'
const UTIL = '/usr/bin/softhsm2-util'
export const TOKEN_LABEL = 'sealgate-test'
export const PIN = '849301'

/** True where Debian's `softhsm2` is installed; else says so, or fails with SEALGATE_REQUIRE_SOFTHSM=1. */
export function hasSoftHsm(): boolean {
  if (existsSync(SOFTHSM_MODULE) && existsSync(UTIL)) return true
  const reason = `no ${SOFTHSM_MODULE}: install Debian's softhsm2`
  if (process.env.SEALGATE_REQUIRE_SOFTHSM === '1') throw new Error(reason)
  console.error(`SKIPPED: ${reason}`)
  return false
}

export interface TestToken {
  /** Path of the file whose first line is the PIN. */
  readonly pinFile: string
  /** Environment in which other programs find the token. */
  readonly env: NodeJS.ProcessEnv
  /** Where SoftHSM keeps the token. */
  readonly tokens: string
  end(): void
}

/**
 * A fresh token. SoftHSM reads its configuration once in a process, so this comes before the module is loaded, and at most
 * once in a test file.
 */
export function makeToken(label: string = TOKEN_LABEL): TestToken {
  const folder = mkdtempSync(join(tmpdir(), 'sealgate-softhsm-'))
  const tokens = join(folder, 'tokens')
  mkdirSync(tokens)
  const configuration = join(folder, 'softhsm2.conf')
  writeFileSync(configuration, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  const pinFile = join(folder, 'pin')
  writeFileSync(pinFile, `${PIN}\n`)
  process.env.SOFTHSM2_CONF = configuration
  const env = { ...process.env, SOFTHSM2_CONF: configuration }
  execFileSync(UTIL, ['--init-token', '--free', '--label', label, '--so-pin', '5678', '--pin', PIN], { env, stdio: 'ignore' })
  return { pinFile, env, tokens, end: () => rmSync(folder, { recursive: true, force: true }) }
}
