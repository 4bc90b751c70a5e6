import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Compiles a C file of this folder into a program without libraries. As {@link compileLibrary} where there is no compiler. */
export function compileProgram(source: string, to: string): Promise<boolean> {
  return compile(source, ['-static', '-o', to])
}

/**
 * Compiles a C file of this folder into a shared library. Returns false with a printed reason where there is no compiler,
 * unless SEALGATE_REQUIRE_CC=1: then it fails.
 */
export function compileLibrary(source: string, to: string): Promise<boolean> {
  return compile(source, ['-shared', '-fPIC', '-o', to])
}

async function compile(source: string, options: readonly string[]): Promise<boolean> {
  const found = await run('cc', ['--version']).then(
    () => true,
    () => false,
  )
  if (found) await run('cc', ['-Wall', '-Werror', ...options, new URL(source, import.meta.url).pathname])
  else if (process.env.SEALGATE_REQUIRE_CC === '1') throw new Error('no C compiler')
  else console.error('SKIPPED: no C compiler (cc), so nothing to call')
  return found
}
