import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Compiles a C file of this folder into a shared library. Returns false with a printed reason where there is no compiler,
 * unless SEALGATE_REQUIRE_CC=1: then it fails.
 */
export async function compileLibrary(source: string, to: string): Promise<boolean> {
  const found = await run('cc', ['--version']).then(
    () => true,
    () => false,
  )
  if (found) await run('cc', ['-shared', '-fPIC', '-Wall', '-Werror', '-o', to, new URL(source, import.meta.url).pathname])
  else if (process.env.SEALGATE_REQUIRE_CC === '1') throw new Error('no C compiler')
  else console.error('SKIPPED: no C compiler (cc), so no library to call')
  return found
}
