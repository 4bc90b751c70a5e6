import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, openSync, readlinkSync } from 'node:fs'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AttestError } from '../../verify/errors.ts'

/** The built program, as it is installed. */
const PROGRAM = fileURLToPath(new URL('../../../dist/host/service/connector-process.js', import.meta.url))
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'
const START_MS = 10_000
const CONNECT_MS = 10_000
const READY_POLL_MS = 50
const OWN_NAMESPACE = '/proc/self/ns/net'

const run = promisify(execFile)

/**
 * Whether this agent may enter network namespaces: it takes CAP_SYS_ADMIN, and nsenter(1).
 * @throws AttestError `ENGINE_PERMISSION`.
 */
export async function requireNamespaceEntry(): Promise<void> {
  try {
    await run('nsenter', [`--net=${OWN_NAMESPACE}`, 'true'], { env: { PATH }, timeout: START_MS })
  } catch (cause) {
    throw new AttestError('ENGINE_PERMISSION', 'services need an agent that may enter network namespaces: root, and util-linux', {
      at: 'contract.service',
      cause,
    })
  }
}

/**
 * Connections to one port on the loopback interface of a container that has no other. A process in the container's network
 * namespace opens them and passes the sockets over, so that no byte takes a detour.
 */
export class Connector {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (socket: Socket) => void; reject: (error: unknown) => void }>()
  #next = 0

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (message: { id?: number; error?: string }, socket) => this.#answer(message, socket as Socket | undefined))
    child.once('exit', () => this.#fail(new AttestError('JOB_FAILED', 'the way to the workload was closed')))
    child.on('error', () => undefined)
  }

  /**
   * @param pid - A process of the container.
   * @param isStill - Whether that process is still the container's: a number may be given to another process at any time, so
   *   it is asked after the namespace was opened.
   * @throws AttestError `ENGINE_PERMISSION`, `JOB_FAILED` for a container that has ended or shares this machine's network.
   */
  static async open(pid: number, port: number, isStill: () => Promise<boolean>): Promise<Connector> {
    const namespace = openNamespace(pid)
    try {
      if (!(await isStill())) throw new AttestError('JOB_FAILED', 'the program ended before it could be reached')
      const args = ['--net=/proc/self/fd/4', process.execPath, '--max-old-space-size=32', PROGRAM, String(port)]
      const child = spawn('nsenter', args, {
        env: { PATH },
        cwd: '/',
        detached: true,
        stdio: ['ignore', 'ignore', 'ignore', 'ipc', namespace],
      })
      await started(child)
      return new Connector(child)
    } finally {
      closeSync(namespace)
    }
  }

  /** @throws AttestError `JOB_FAILED` when the workload does not take the connection. */
  connect(): Promise<Socket> {
    const id = this.#next++
    return new Promise<Socket>((resolve, reject) => {
      const late = setTimeout(() => settle(() => reject(refused('ETIMEDOUT'))), CONNECT_MS)
      const settle = (action: () => void): void => {
        clearTimeout(late)
        this.#waiting.delete(id)
        action()
      }
      this.#waiting.set(id, {
        resolve: (socket) => settle(() => resolve(socket)),
        reject: (error) => settle(() => reject(error)),
      })
      if (!this.#child.connected) return settle(() => reject(refused('closed')))
      this.#child.send({ id }, (error) => {
        if (error !== null) this.#waiting.get(id)?.reject(refused('closed'))
      })
    })
  }

  /** Resolves when the workload takes connections. @throws AttestError `DEADLINE`. */
  async untilReady(timeMs: number, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + timeMs
    for (;;) {
      const socket = await this.connect().catch(() => null)
      if (socket !== null) return void socket.destroy()
      if (!this.#child.connected) throw new AttestError('JOB_FAILED', 'the program ended before it took connections')
      signal.throwIfAborted()
      if (performance.now() > deadline) throw new AttestError('DEADLINE', 'the program did not listen on its port in time')
      await delay(READY_POLL_MS)
    }
  }

  close(): void {
    this.#child.removeAllListeners('message')
    this.#child.kill('SIGKILL')
    this.#fail(new AttestError('JOB_FAILED', 'the service has ended'))
  }

  #answer({ id, error }: { id?: number; error?: string }, socket: Socket | undefined): void {
    const waiting = id === undefined ? undefined : this.#waiting.get(id)
    if (waiting === undefined) return void socket?.destroy()
    // Between its arrival and its use nobody else listens.
    socket?.on('error', () => undefined)
    if (socket === undefined) waiting.reject(refused(error ?? 'closed'))
    else waiting.resolve(socket)
  }

  #fail(error: AttestError): void {
    for (const { reject } of [...this.#waiting.values()]) reject(error)
  }
}

function openNamespace(pid: number): number {
  const path = `/proc/${pid}/ns/net`
  let file: number | null = null
  try {
    file = openSync(path, 'r')
    if (readlinkSync(`/proc/self/fd/${file}`) === readlinkSync(OWN_NAMESPACE)) {
      throw new AttestError('JOB_FAILED', 'the container is in the network of this machine')
    }
    return file
  } catch (cause) {
    if (file !== null) closeSync(file)
    if (cause instanceof AttestError) throw cause
    throw new AttestError('ENGINE_PERMISSION', 'the network namespace of the container cannot be opened', { cause })
  }
}

async function started(child: ChildProcess): Promise<void> {
  const failed = new AttestError('ENGINE_PERMISSION', 'the network namespace of the container cannot be entered')
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => child.kill('SIGKILL'), START_MS)
    const settle = (action: () => void): void => {
      clearTimeout(late)
      action()
    }
    child.once('message', () => settle(resolve))
    child.once('error', () => settle(() => reject(failed)))
    child.once('exit', () => settle(() => reject(failed)))
  })
}

function refused(code: string): AttestError {
  return new AttestError('JOB_FAILED', `the program takes no connection (${code})`)
}
