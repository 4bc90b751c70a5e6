import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const REPO: string = fileURLToPath(new URL('../../', import.meta.url))
export const PROGRAM: string = join(REPO, 'bin/sealgate.js')
export const DIST: string = join(REPO, 'dist/')

/** What a command left when it ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Program that starts it, with its arguments. */
  readonly wrapper?: readonly string[]
  /** Called once it runs, for signals in the middle of it. */
  readonly onStart?: (child: ChildProcess) => void
  readonly timeoutMs?: number
}

const children = new Set<ChildProcess>()
// A test run that is cut off leaves nothing behind either.
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

function launch(file: string, args: readonly string[], options: RunOptions): ChildProcess {
  const { DOCKER_HOST: _, ...env } = process.env
  const child = spawn(file, args, { cwd: options.cwd ?? REPO, env: { ...env, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  child.once('close', () => children.delete(child))
  return child
}

/** Runs `sealgate ARGS` as a process of its own to its end. */
export async function sealgate(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const [file = process.execPath, ...rest] = [...(options.wrapper ?? []), process.execPath, PROGRAM, ...args]
  const started = performance.now()
  const child = launch(file, rest, options)
  options.onStart?.(child)
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 60_000)
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exitCode = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearTimeout(timer)
  return { exitCode, stdout, stderr, ms: performance.now() - started }
}

/** As {@link sealgate} with `--json`; fails unless it ends with 0. */
export async function sealgateJson<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const { exitCode, stdout, stderr } = await sealgate([...args, '--json'], options)
  if (exitCode !== 0) throw new Error(`sealgate ${args.join(' ')}: exit ${exitCode}\n${stderr}`)
  return JSON.parse(stdout) as T
}

/** A gateway or host that runs until it is stopped. */
export class Service {
  readonly #args: readonly string[]
  readonly #log: string
  readonly #nodeArgs: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  #child: ChildProcess | null = null
  #closed: Promise<number | null> = Promise.resolve(null)

  /** @param log - Where its stderr goes, over all its lives. */
  constructor(args: readonly string[], log: string, nodeArgs: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
    this.#args = args
    this.#log = log
    this.#nodeArgs = nodeArgs
    this.#env = env
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  get log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  /** Starts it and waits for the document that says that it is ready. */
  async start(): Promise<void> {
    const child = launch(process.execPath, [...this.#nodeArgs, PROGRAM, ...this.#args, '--json'], { env: this.#env })
    this.#child = child
    child.stderr?.pipe(createWriteStream(this.#log, { flags: 'a' }))
    this.#closed = new Promise((resolve) => child.once('close', resolve))
    const ready = new Promise<string>((resolve) => {
      let text = ''
      child.stdout?.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        if (text.trimEnd().endsWith('}')) resolve(text)
      })
    })
    const first = await Promise.race([ready, this.#closed])
    if (typeof first !== 'string' || first.includes('"error"')) throw new Error(`${this.#args.join(' ')} did not start:\n${this.log}`)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** @returns its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.signal(signal)
    return this.#closed
  }
}
