import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { GatewayChannel, type TlsIdentity } from '../../src/rpc/index.ts'
import { T0 } from '../support/job-documents.ts'
import { TestGateway } from '../unit/gateway/fixture.ts'

interface Clock {
  now(): number
}

const PROGRAM = fileURLToPath(new URL('gateway-process.mjs', import.meta.url))
const offsetMs = T0 * 1000 - Date.now()

/** A gateway in a process of its own, to be killed and started again over the same folder. */
export class MortalGateway {
  readonly folder: TestGateway
  /** Whole seconds, as statements have them. */
  readonly clock: Clock = { now: () => Math.floor((Date.now() + offsetMs) / 1000) * 1000 }
  readonly #channels = new Map<TlsIdentity, GatewayChannel>()
  #child: ChildProcess | null = null
  #address = ''
  stderr = ''
  logKey = ''

  constructor() {
    this.folder = TestGateway.prepare({ attestationSeconds: 86_400 })
  }

  /** @throws Error with what it wrote when it does not come up. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [PROGRAM, this.folder.folder, String(offsetMs)], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.stderr = ''
    child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()))
    const line = await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), once(child, 'close')])
    const [address = '', logKey = ''] = String(line[0]).trim().split(' ')
    this.#address = address
    this.logKey = logKey
    if (child.exitCode !== null || logKey === '') throw new Error(`the gateway did not start: ${this.stderr}`)
  }

  /** As the power would: without a word. */
  async kill(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#child = null
    const closed = once(child, 'close')
    child.kill('SIGKILL')
    await closed
    for (const channel of this.#channels.values()) channel.close()
    this.#channels.clear()
  }

  /** The channel of an identity, the same until the gateway dies. */
  async dial(role: 'client' | 'host', name: string): Promise<GatewayChannel> {
    const identity = await this.folder.identity(role, name)
    const channel = this.#channels.get(identity) ?? new GatewayChannel(this.#address, identity)
    this.#channels.set(identity, channel)
    return channel
  }

  async end(): Promise<void> {
    await this.kill()
    await this.folder.end()
  }
}
