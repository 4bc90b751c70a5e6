import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { GATEWAY_FILES, type GatewayLimits, type RunningGateway, type StoreOptions, startGateway } from '../../../src/gateway/index.ts'
import { GatewayChannel, type TlsIdentity } from '../../../src/rpc/index.ts'
import { publicOf } from '../../../src/seal/jws.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import type { TrustFile } from '../../../src/verify/documents/trust.ts'
import { gateway as gatewayKey, gatewayMlDsa, ORIGIN, ownerThumbprint, T0 } from '../../support/job-documents.ts'
import { testKey } from '../../support/keys.ts'
import { type TestAuthority, testAuthority } from '../../support/pki.ts'
import { platform } from '../../support/receipt-builder.ts'
import { TestClock } from '../../support/test-clock.ts'

const authority: TestAuthority = await testAuthority()
const serverIdentity = await authority.issue(['urn:sealgate:gateway:gw'], 'server')
const identities = new Map<string, Promise<TlsIdentity>>()

/** A gateway on loopback with throwaway keys, its clock in the hands of the test, and those who talk to it. */
export class TestGateway {
  readonly folder: string
  readonly clock: TestClock = new TestClock(T0)
  readonly authority: TestAuthority = authority
  readonly logged: string[] = []
  readonly #limits: Partial<GatewayLimits>
  readonly #store: StoreOptions
  readonly #channels: GatewayChannel[] = []
  readonly #dialled = new Map<TlsIdentity, GatewayChannel>()
  #running: RunningGateway | null = null

  private constructor(limits: Partial<GatewayLimits>, store: StoreOptions) {
    this.folder = mkdtempSync(join(tmpdir(), 'sealgate-gateway-'))
    this.#store = store
    const write = (name: string, text: string): void => writeFileSync(join(this.folder, name), text, { mode: 0o600 })
    write(GATEWAY_FILES.tlsKey, serverIdentity.key)
    write(GATEWAY_FILES.tlsCert, serverIdentity.cert)
    write(GATEWAY_FILES.ca, serverIdentity.ca)
    write(GATEWAY_FILES.signingKey, JSON.stringify(gatewayKey.jwk))
    write(GATEWAY_FILES.mlDsaKey, JSON.stringify(gatewayMlDsa.jwk))
    write(GATEWAY_FILES.logKey, JSON.stringify({ ...testKey('log').jwk, origin: ORIGIN }))
    this.#limits = limits
    this.configure({})
  }

  /** Writes its configuration anew; it counts from the next start on. */
  configure(changes: object): void {
    const simulatedRoots = [toBase64Url(platform.root.certificate)]
    const config = { v: 1, name: 'gw', listen: '127.0.0.1:0', simulatedRoots, limits: this.#limits, ...changes }
    writeFileSync(join(this.folder, GATEWAY_FILES.config), JSON.stringify(config))
  }

  /** Its folder alone, for a gateway that runs elsewhere. */
  static prepare(limits: Partial<GatewayLimits>): TestGateway {
    return new TestGateway(limits, {})
  }

  static async start(limits: Partial<GatewayLimits> = {}, store: StoreOptions = {}): Promise<TestGateway> {
    const gateway = new TestGateway(limits, store)
    await gateway.restart()
    return gateway
  }

  get running(): RunningGateway {
    if (this.#running === null) throw new Error('the gateway is not running')
    return this.#running
  }

  /** Stops it, if it runs, and starts it from what is on the disk. */
  async restart(): Promise<void> {
    await this.stop()
    const stream = { write: (line: string) => void this.logged.push(line) }
    const logger = pino({ level: 'debug' }, stream)
    this.#running = await startGateway({ folder: this.folder, clock: this.clock, logger, store: this.#store })
  }

  async stop(): Promise<void> {
    for (const channel of this.#channels.splice(0)) channel.close()
    this.#dialled.clear()
    await this.#running?.close()
    this.#running = null
  }

  async end(): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async identity(role: 'client' | 'host', name: string): Promise<TlsIdentity> {
    const uri = `urn:sealgate:${role}:${name}`
    const identity = identities.get(uri) ?? authority.issue([uri])
    identities.set(uri, identity)
    return identity
  }

  /** The channel of an identity, the same until the gateway stops. */
  async dial(role: 'client' | 'host', name: string): Promise<GatewayChannel> {
    const identity = await this.identity(role, name)
    const channel = this.#dialled.get(identity) ?? this.channel(identity)
    this.#dialled.set(identity, channel)
    return channel
  }

  channel(identity: TlsIdentity): GatewayChannel {
    const channel = new GatewayChannel(this.running.address, identity)
    this.#channels.push(channel)
    return channel
  }

  /** Everything that somebody who believes this gateway's log and key would name. */
  get trust(): TrustFile {
    return {
      v: 1,
      type: 'sealgate/trust/v1',
      logs: [{ origin: ORIGIN, key: this.running.logKey }],
      witnesses: [],
      gateways: [{ ...publicOf(gatewayKey.jwk), mlDsa: gatewayMlDsa.key }],
      owners: [ownerThumbprint],
      simulatedRoots: [toBase64Url(platform.root.certificate)],
    }
  }
}

/** Waits for something that happens by itself soon, without a fixed sleep. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await condition()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error(`timed out waiting for: ${what}`)
}
