import type { sealgate } from '../../rpc/index.ts'
import type { AttestError } from '../../verify/errors.ts'
import type { Verified } from '../../verify/verdict.ts'
import type { BundleClaims } from '../../verify/verify-bundle.ts'

export type ToHost = sealgate.v1.IConnectResponse

/** The stream of one connected host. */
export interface HostLink {
  readonly send: (message: ToHost) => void
  readonly end: (error: AttestError) => void
}

/** What a host says that it can do. It only guides placement: the agent and the evidence decide. */
export interface HostOffer {
  readonly runners: readonly string[]
  /** Names of isolation profiles. */
  readonly isolations: readonly string[]
  readonly maxJobs: number
  readonly memoryBytes: number
}

/** A host that is connected. */
export interface OnlineHost extends HostOffer {
  readonly name: string
  /** Null until its evidence was accepted on this connection, and again when that has expired. */
  readonly claims: Verified<BundleClaims> | null
}

interface Entry extends OnlineHost {
  readonly link: HostLink
}

/** Which hosts are connected, and what each has proven on this connection. */
export class HostRegistry {
  readonly #hosts = new Map<string, Entry>()

  connect(name: string, offer: HostOffer, link: HostLink): void {
    this.#hosts.set(name, { name, ...offer, claims: null, link })
  }

  /** @returns false when another connection has taken the place of this one. */
  disconnect(name: string, link: HostLink): boolean {
    if (this.#hosts.get(name)?.link !== link) return false
    return this.#hosts.delete(name)
  }

  setClaims(name: string, link: HostLink, claims: Verified<BundleClaims> | null): void {
    const entry = this.#hosts.get(name)
    if (entry?.link === link) this.#hosts.set(name, { ...entry, claims })
  }

  get(name: string): OnlineHost | null {
    return this.#hosts.get(name) ?? null
  }

  list(): readonly OnlineHost[] {
    return [...this.#hosts.values()]
  }

  /** @returns false when the host is not connected. Delivery is not certain: whoever needs it sends again on reconnect. */
  send(name: string, message: ToHost): boolean {
    const entry = this.#hosts.get(name)
    entry?.link.send(message)
    return entry !== undefined
  }

  /** Ends the connection that a host has, if any. */
  end(name: string, error: AttestError): void {
    this.#hosts.get(name)?.link.end(error)
  }
}
