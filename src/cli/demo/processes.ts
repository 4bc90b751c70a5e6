import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { AttestError } from '../../verify/errors.ts'

const PROGRAM = fileURLToPath(new URL('../../../bin/sealgate.js', import.meta.url))
const READY_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 5_000

/** What a finished command left. */
export interface Finished {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

interface Running {
  readonly child: ChildProcess
  readonly exited: Promise<void>
}

/** The other processes of the demonstration. None of them outlives it. */
export class Processes {
  readonly #folder: string
  readonly #running = new Map<string, Running>()
  readonly #killAll = (): void => {
    for (const { child } of this.#running.values()) child.kill('SIGKILL')
  }

  /** @param folder - Where their logs go. */
  constructor(folder: string) {
    this.#folder = folder
    process.on('exit', this.#killAll)
  }

  /**
   * Starts a command that runs until it is stopped, and waits for the JSON document that says it is ready.
   * @throws AttestError `INTERNAL` with the end of its log when it ends instead.
   */
  async start(name: string, args: readonly string[]): Promise<unknown> {
    const log = join(this.#folder, `${name}.log`)
    const child = spawn(process.execPath, [PROGRAM, ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stderr.pipe(createWriteStream(log))
    const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
    this.#running.set(name, { child, exited })
    const ready = await firstDocument(child)
    if (ready !== null) return ready
    await this.stop(name)
    const lines = (await readFile(log, 'utf8')).trim().split('\n').slice(-5)
    throw new AttestError('INTERNAL', `${name} did not start: ${lines.join(' | ')}`)
  }

  pid(name: string): number {
    return this.#running.get(name)?.child.pid ?? 0
  }

  async stop(name: string): Promise<void> {
    const running = this.#running.get(name)
    if (running === undefined) return
    running.child.kill('SIGTERM')
    const kill = setTimeout(() => running.child.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await running.exited
    clearTimeout(kill)
    this.#running.delete(name)
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((name) => this.stop(name)))
    process.off('exit', this.#killAll)
  }

  /** Runs a command to its end. @param wrapper - Program that starts it, with its arguments. */
  run(args: readonly string[], wrapper: readonly string[] = []): Promise<Finished> {
    const [file = process.execPath, ...rest] = [...wrapper, process.execPath, PROGRAM, ...args]
    return capture(file, rest)
  }
}

/** Runs a program and keeps what it wrote. Exit code 127 when it cannot be started. */
export function capture(file: string, args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
    child.once('error', (error) => resolve({ exitCode: 127, stdout, stderr: error.message }))
    child.once('close', (code) => resolve({ exitCode: code ?? 1, stdout, stderr }))
  })
}

/** The first JSON document on stdout; null when the process ends, or nothing comes in time. */
function firstDocument(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => {
    let text = ''
    const timer = setTimeout(() => resolve(null), READY_TIMEOUT_MS)
    const finish = (value: unknown): void => {
      clearTimeout(timer)
      resolve(value)
    }
    child.once('error', () => finish(null))
    child.once('close', () => finish(null))
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      try {
        const document = JSON.parse(text) as unknown
        finish(isFailure(document) ? null : document)
      } catch {
        // Not complete yet.
      }
    })
  })
}

function isFailure(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'error' in document
}
