import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AttestError } from '../../verify/errors.ts'
import { WASM_PAGE_BYTES, type WasmProfile } from './profiles.ts'

/** The built program: the process runs it as it is installed, and may read no other file. */
const PROGRAM = fileURLToPath(new URL('../../../dist/host/runner/', import.meta.url))
const PROGRAM_FILES = ['wasm-child.js', 'wasm-files.js', 'wasm-module.js', 'wasm-protocol.js']

/** What V8 may use for everything but the module's memory and the files. */
const HEAP_MIB = 128
const PAGE_BYTES = 4096

/** Node 20 to 22 and Node 24 name it differently. @throws AttestError `ENGINE_UNAVAILABLE` when this Node has none. */
export function permissionFlag(allowed: ReadonlySet<string> = process.allowedNodeEnvironmentFlags): string {
  const flag = ['--permission', '--experimental-permission'].find((f) => allowed.has(f))
  if (flag === undefined)
    throw new AttestError('ENGINE_UNAVAILABLE', 'the wasm runner needs a Node.js with the permission model (20.19 or newer)')
  return flag
}

/** Arguments for node. They hold limits and the paths of our own program, nothing of the job. */
export function nodeArguments(profile: WasmProfile): readonly string[] {
  const shim = dirname(createRequire(import.meta.url).resolve('@bjorn3/browser_wasi_shim'))
  const program = realpathSync(PROGRAM)
  const shimFiles = readdirSync(shim).filter((f) => f.endsWith('.js'))
  const readable = [
    ...PROGRAM_FILES.map((f) => join(program, f)),
    ...[...shimFiles, '../package.json'].map((f) => join(realpathSync(shim), f)),
  ]
  return [
    permissionFlag(),
    ...readable.map((path) => `--allow-fs-read=${path}`),
    '--no-warnings',
    '--no-addons',
    '--disallow-code-generation-from-strings',
    `--max-old-space-size=${HEAP_MIB}`,
    `--wasm-max-mem-pages=${profile.linearMemoryBytes / WASM_PAGE_BYTES}`,
    join(program, 'wasm-child.js'),
  ]
}

/**
 * Starts the process. The shell sets what Node cannot: no core file, and a CPU time after which the kernel ends the process
 * even if its agent has died. It stands in a process group of its own, so that Ctrl-C at a terminal reaches the agent alone.
 */
export function startWasmProcess(profile: WasmProfile): ChildProcess {
  const script = `ulimit -c ${profile.process.coreBytes} && ulimit -t ${profile.process.cpuSeconds} && exec "$0" "$@"`
  return spawn('/bin/sh', ['-c', script, process.execPath, ...nodeArguments(profile)], {
    env: {},
    cwd: '/',
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
}

/** Resident memory now, or null where there is no /proc (proc(5): second field of statm, in pages). */
export async function residentBytes(pid: number): Promise<number | null> {
  const statm = await readFile(`/proc/${pid}/statm`, 'ascii').catch(() => null)
  const pages = Number(statm?.split(' ')[1])
  return Number.isFinite(pages) ? pages * PAGE_BYTES : null
}
