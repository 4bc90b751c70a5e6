import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import {
  type DiskCalls,
  encodeEmptyState,
  type RunningWitness,
  startWitness,
  WITNESS_FILES,
  type WitnessedLog,
} from '../../src/witness/index.ts'
import { cosignerKeyOf, noteSigner, testKey } from './keys.ts'

export interface WitnessAnswer {
  readonly status: number
  readonly type: string
  readonly text: string
}

/** One request to a witness. */
export function post(address: string, body: Uint8Array | string, path = '/add-checkpoint', method = 'POST'): Promise<WitnessAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request(`http://${address}${path}`, { method, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, type: response.headers['content-type'] ?? '', text }))
      response.on('error', reject)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** A witness on loopback with a throwaway key, its clock and disk in the hands of the test. */
export class TestWitness {
  readonly folder: string
  readonly name: string
  readonly key: string
  readonly logged: string[] = []
  readonly #now: () => number
  readonly #disk: DiskCalls | undefined
  #running: RunningWitness | null = null
  #address = '127.0.0.1:0'

  private constructor(name: string, key: string, now: () => number, disk?: DiskCalls) {
    this.folder = mkdtempSync(join(tmpdir(), 'sealgate-witness-'))
    this.name = name
    this.key = key
    this.#now = now
    this.#disk = disk
  }

  static async make(name: string, logs: readonly WitnessedLog[], now: () => number, disk?: DiskCalls): Promise<TestWitness> {
    const witness = new TestWitness(name, await cosignerKeyOf(noteSigner(name)), now, disk)
    witness.write(WITNESS_FILES.key, JSON.stringify({ ...testKey(name).jwk, name }))
    witness.configure({ logs })
    witness.write(WITNESS_FILES.state, encodeEmptyState(witness.key))
    return witness
  }

  static async start(name: string, logs: readonly WitnessedLog[], now: () => number, disk?: DiskCalls): Promise<TestWitness> {
    const witness = await TestWitness.make(name, logs, now, disk)
    await witness.restart()
    return witness
  }

  configure(changes: object): void {
    this.write(WITNESS_FILES.config, JSON.stringify({ v: 1, listen: '127.0.0.1:0', logs: [], ...changes }))
  }

  write(file: string, data: Uint8Array | string): void {
    writeFileSync(join(this.folder, file), data, { mode: 0o600 })
  }

  path(file: string): string {
    return join(this.folder, file)
  }

  /** Where it listens, or did before it was stopped. */
  get address(): string {
    return this.#address
  }

  get url(): string {
    return `http://${this.#address}`
  }

  /** Stops it, if it runs, and starts it from what is on the disk, at the same address. */
  async restart(): Promise<void> {
    await this.stop()
    const logger = pino({ level: 'debug' }, { write: (line: string) => void this.logged.push(line) })
    const disk = this.#disk === undefined ? {} : { disk: this.#disk }
    this.#running = await startWitness({ folder: this.folder, listen: this.#address, now: this.#now, logger, ...disk })
    this.#address = this.#running.address
  }

  async stop(): Promise<void> {
    await this.#running?.close()
    this.#running = null
  }

  async end(): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  add(body: Uint8Array | string): Promise<WitnessAnswer> {
    return post(this.#address, body)
  }
}
