import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** A room of the package as a page would load it. */
export interface Bundle {
  readonly script: string
  readonly sizeBytes: number
  readonly gzipBytes: number
  /** Files that went into it, relative to the repository. */
  readonly inputs: readonly string[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Bundles the package's own export for a browser; a Node built-in among its imports would fail here. The global is `sealgate`. */
export async function bundleRoom(room: 'verify' | 'seal'): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export * from 'sealgate/${room}'`, resolveDir: root },
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'sealgate',
    platform: 'browser',
    conditions: ['browser'],
    target: 'es2023',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const script = outputFiles[0]?.text ?? ''
  return {
    script,
    sizeBytes: Buffer.byteLength(script),
    gzipBytes: gzipSync(script, { level: 9 }).length,
    // A checkout may link to the packages of another.
    inputs: Object.keys(metafile.inputs)
      .filter((path) => path !== '<stdin>')
      .map((path) => path.replace(/^.*\/(?=node_modules\/)/, '')),
  }
}

/**
 * Chromium as Debian installs it, or `SEALGATE_CHROMIUM`. Null with a printed reason where there is none, unless
 * `SEALGATE_REQUIRE_CHROMIUM=1`: then it fails.
 */
export function chromiumPath(): string | null {
  const path = process.env.SEALGATE_CHROMIUM ?? '/usr/bin/chromium'
  if (existsSync(path)) return path
  const reason = `no browser at ${path}; install chromium or set SEALGATE_CHROMIUM`
  if (process.env.SEALGATE_REQUIRE_CHROMIUM === '1') throw new Error(reason)
  console.warn(`SKIPPED: ${reason}`)
  return null
}
