import { setTimeout as delay } from 'node:timers/promises'
import type { Exchanged } from '../../rpc/service/index.ts'
import type { Address } from '../../rpc/tls.ts'
import type { TrustFile } from '../../verify/documents/trust.ts'
import { AttestError } from '../../verify/errors.ts'
import type { RemoteEvidence } from '../client.ts'
import type { TrustedEnclave } from '../release/check-evidence.ts'
import { type ClientKey, isUnreached, type OpenStream, ServiceChannel } from './channel.ts'
import { type LocalServer, requireLoopback, serveLocally } from './local-server.ts'
import type { KnownService } from './service-file.ts'
import { SessionCheck } from './session-check.ts'
import { renewEvidence, verifyService } from './verify-service.ts'

export interface ConnectRequest {
  readonly service: KnownService
  readonly trust: TrustFile
  /** A claim of the gateway's, verified here. */
  readonly evidence: () => Promise<RemoteEvidence>
  readonly open: OpenStream
  readonly key: ClientKey
  /** SHA-256 of the SPKI of `key`. */
  readonly keyDigest: string
  readonly listen: Address
  readonly dangerouslyListenAnywhere?: boolean
  /** The enclave proves itself anew this often. */
  readonly renewMs: number
  /** Resolves, with the reason, when the job has ended. */
  readonly ended: Promise<string>
  readonly signal: AbortSignal
  readonly now: () => Date
  readonly onEvent?: (event: ConnectEvent) => void
}

export type ConnectEvent =
  /** The enclave was verified, by the job's evidence and by fresh evidence over the channel; the endpoint is open. */
  | { readonly kind: 'listening'; readonly address: Address; readonly enclave: TrustedEnclave }
  | { readonly kind: 'renewed'; readonly enclave: TrustedEnclave }
  /** What passed is what the enclave has signed. */
  | { readonly kind: 'session'; readonly compared: number; readonly file: Uint8Array }

/** How the endpoint was closed without a fault. */
export interface ConnectEnd {
  readonly reason: string
  /** Canonical bytes of the session file; null where the enclave could not be asked any more. */
  readonly session: Uint8Array | null
}

const RECORD_MS = 30_000
const RENEW_ATTEMPTS = 3
const RENEW_PAUSE_MS = 5000

/**
 * Gives programs on this machine an endpoint of a service. Before the first byte of theirs passes, the job's evidence has been verified
 * here, the TLS key that it binds has answered, and the enclave behind it has proven itself to a fresh nonce. It does so again
 * at intervals; when it does not, everything is closed.
 * @throws AttestError `EVIDENCE_REJECTED`, `POLICY_DENIED`, `TLS_REJECTED`, `RECEIPT_INCONSISTENT`, `USAGE`, `PORT_IN_USE`, and what stands in the way of a connection.
 */
export async function connectService(request: ConnectRequest): Promise<ConnectEnd> {
  const { service, keyDigest, listen, open, key, signal, onEvent } = request
  if (request.dangerouslyListenAnywhere !== true) requireLoopback(listen)
  if (!service.terms.clients.includes(keyDigest)) {
    throw new AttestError('PERMISSION_DENIED', `the contract does not list this client's TLS key ${keyDigest}`, { at: 'contract.service' })
  }
  signal.throwIfAborted()
  const evidence = await request.evidence()
  const first = await verifyService(service, evidence, request.trust, request.now())
  const channel = new ServiceChannel(first.tls, key, open)
  const over = new AbortController()
  const until = AbortSignal.any([signal, over.signal])
  let server: LocalServer | null = null
  try {
    const means = { endorsements: evidence.endorsements, trust: request.trust, now: request.now }
    const renew = (): Promise<TrustedEnclave> => renewEvidence(channel, service, first, means)
    const enclave = await renew()
    const check = new SessionCheck(channel, { job: service.jobDigest, client: keyDigest, jobKey: first.binding.sig.publicKey })
    const onExchange = (exchanged: Exchanged): void => check.saw(exchanged)
    server = await serveLocally(channel, listen, request.dangerouslyListenAnywhere === true, onExchange)
    onEvent?.({ kind: 'listening', address: server.address, enclave })
    const reason = await Promise.race([
      request.ended,
      aborted(signal),
      keepRenewing(renew, request, until),
      keepComparing(check, until, onEvent),
    ])
    server.close()
    // The last word of the enclave, if it still has one.
    const asked = await check.update().then(
      () => true,
      (error: unknown) => {
        if (!isUnreached(error)) throw error
        return false
      },
    )
    const session = check.file()
    if (session !== null) onEvent?.({ kind: 'session', compared: check.compared, file: session })
    return { reason, session: asked ? session : null }
  } finally {
    over.abort()
    server?.close()
    channel.close()
  }
}

async function aborted(signal: AbortSignal): Promise<string> {
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  return 'closed'
}

/** Never resolves before `until`; rejects when the enclave does not prove itself. An enclave that cannot be reached is asked a few times. */
async function keepRenewing(
  renew: () => Promise<TrustedEnclave>,
  { renewMs, onEvent }: ConnectRequest,
  until: AbortSignal,
): Promise<never> {
  for (;;) {
    await pause(renewMs, until)
    for (let attempt = 1; ; attempt++) {
      try {
        onEvent?.({ kind: 'renewed', enclave: await renew() })
        break
      } catch (error) {
        if (!isUnreached(error) || attempt >= RENEW_ATTEMPTS) throw error
        await pause(Math.min(RENEW_PAUSE_MS, renewMs), until)
      }
    }
  }
}

async function keepComparing(check: SessionCheck, until: AbortSignal, onEvent: ConnectRequest['onEvent']): Promise<never> {
  for (;;) {
    await pause(RECORD_MS, until)
    try {
      await check.update()
    } catch (error) {
      // Whether the enclave can be reached is for the renewal to judge.
      if (!isUnreached(error)) throw error
      continue
    }
    const file = check.file()
    if (file !== null) onEvent?.({ kind: 'session', compared: check.compared, file })
  }
}

/** Once it is over nobody waits for what comes next. */
async function pause(timeMs: number, until: AbortSignal): Promise<void> {
  await delay(timeMs, undefined, { signal: until, ref: false }).catch(() => undefined)
  if (until.aborted) await new Promise(() => undefined)
}
