import type { Connect, FromGateway, Session, ToGateway } from '../../../src/host/agent/session.ts'
import type { Release } from '../../../src/host/job/read-release.ts'
import { bundleFromWire, entryToWire, sealgate } from '../../../src/rpc/index.ts'
import { fromBase64Url } from '../../../src/verify/bytes/bytes.ts'
import type { EvidenceBundle } from '../../../src/verify/documents/evidence-bundle.ts'
import type { AttestError } from '../../../src/verify/errors.ts'

const { ConnectRequest, ConnectResponse } = sealgate.v1
type FromHost = sealgate.v1.ConnectRequest
type Body = NonNullable<FromHost['body']>

/** The gateway's end of one stream. Messages go through their wire form, as they would on a socket. */
export class FakeSession implements Session {
  readonly sent: FromHost[] = []
  readonly ended: Promise<AttestError | null>
  readonly #receive: (message: FromGateway) => void
  #end: (error: AttestError | null) => void = () => {}
  #closed = false

  constructor(receive: (message: FromGateway) => void) {
    this.#receive = receive
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  send(message: ToGateway): void {
    if (!this.#closed) this.sent.push(ConnectRequest.decode(ConnectRequest.encode(message).finish()))
  }

  close(): void {
    this.drop(null)
  }

  say(message: sealgate.v1.IConnectResponse): void {
    this.#receive(ConnectResponse.decode(ConnectResponse.encode(message).finish()))
  }

  drop(error: AttestError | null): void {
    this.#closed = true
    this.#end(error)
  }

  /** The first message of a kind that was not taken yet. */
  async take<K extends Body>(kind: K): Promise<NonNullable<FromHost[K]>> {
    await until(() => this.sent.some((m) => m.body === kind))
    const at = this.sent.findIndex((m) => m.body === kind)
    const message = this.sent.splice(at, 1).at(0) as FromHost
    return message[kind] as NonNullable<FromHost[K]>
  }

  has(kind: Body): boolean {
    return this.sent.some((m) => m.body === kind)
  }

  async takeEvidence(): Promise<EvidenceBundle> {
    const { evidence, decline } = await this.take('jobEvidence')
    if (decline) throw new Error(`declined: ${decline.code} ${decline.message}`)
    return bundleFromWire(evidence)
  }

  async takeDecline(): Promise<string> {
    const { decline } = await this.take('jobEvidence')
    return decline?.code ?? 'evidence'
  }

  /** Takes the hello, asks for evidence and accepts it. */
  async welcome(accepted = true): Promise<sealgate.v1.IHello> {
    const hello = await this.take('hello')
    this.say({ challenge: { nonce: new Uint8Array(32).fill(9) } })
    await this.take('evidence')
    this.say({ appraisal: { verdict: { accepted, authentic: accepted } } })
    return hello
  }
}

export class FakeGateway {
  readonly sessions: FakeSession[] = []
  /** Answers to the next attempts to connect, one each; then sessions that stand. */
  failures: AttestError[] = []

  readonly connect: Connect = (receive) => {
    const session = new FakeSession(receive)
    this.sessions.push(session)
    const failure = this.failures.shift()
    if (failure) session.drop(failure)
    return session
  }

  /** The n-th session, waiting for it. @param tick - makes time pass meanwhile. */
  async session(n: number, tick: () => void = () => {}): Promise<FakeSession> {
    await until(() => this.sessions.length > n, tick)
    return this.sessions.at(n) as FakeSession
  }
}

export function keyReleaseOf(jobId: string, release: Release): sealgate.v1.IConnectResponse {
  const parts = release.parts.map(({ intent, entry, keys }) => ({
    intentJws: intent,
    entry: entryToWire(entry),
    keys: keys.map((k) => ({ headerDigest: fromBase64Url(k.header), suite: k.suite, enc: k.enc, ciphertext: k.ciphertext })),
  }))
  return {
    keyRelease: {
      jobId,
      grantsJws: [...release.grants],
      policies: [...release.policies],
      parts,
      ear: release.ear,
    },
  }
}

/** Waits for the event loop and the disk to bring something about; what is tested reads another clock. */
export async function until(condition: () => boolean, tick: () => void = () => {}): Promise<void> {
  const giveUpAt = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error('it did not happen')
    tick()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
