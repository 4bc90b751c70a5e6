import { createVerifyCache } from '../../verify/evidence/cache.ts'
import type { Clock } from '../clock.ts'
import { type CollateralConfig, endpointsOf } from './config.ts'
import type { CollateralDisk } from './disk.ts'
import { Fetcher } from './fetcher.ts'
import { createHttpGet } from './http.ts'
import { loadRoots } from './items.ts'
import { CollateralService, type Warn } from './service.ts'
import { CollateralStore, type StoreLimits } from './store.ts'

export interface CollateralMeans {
  /** Where items are kept. */
  readonly folder: string
  readonly config: CollateralConfig
  /** Content of the files that the configuration names. */
  readonly intelKey: string | null
  readonly ca: string | null
  /** Root certificates of simulators, PEM or DER. */
  readonly trustAnchors: readonly Uint8Array[]
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  readonly warn: Warn
  readonly limits?: StoreLimits
  readonly disk?: CollateralDisk
}

export interface OpenCollateral {
  readonly service: CollateralService
  /** Ends what is being fetched. */
  close(): Promise<void>
}

/** Some 4,000 hosts. */
const LIMITS: StoreLimits = { answers: 8192, bytes: 64 * 1024 * 1024 }

/**
 * Opens a folder of collateral, which need not be there yet.
 * @throws AttestError `FILE_UNREADABLE`, `DISK_FULL`, `CERTIFICATE_MALFORMED` or `CHAIN_INVALID` for what is no root.
 */
export async function openCollateral(means: CollateralMeans): Promise<OpenCollateral> {
  const { config, clock, random, warn } = means
  const stop = new AbortController()
  const roots = await loadRoots(means.trustAnchors, createVerifyCache())
  const store = await CollateralStore.open(means.folder, clock, means.limits ?? LIMITS, means.disk)
  const ca = means.ca === null ? {} : { ca: means.ca }
  const get = createHttpGet({ clock, timeoutMs: config.timeoutSeconds * 1000, signal: stop.signal, ...ca })
  const endpoints = endpointsOf(config, means.intelKey)
  const fetcher = config.fetch ? new Fetcher({ endpoints, get, clock, random }) : null
  const service = new CollateralService({ store, fetcher, roots, clock, refreshSeconds: config.refreshSeconds, warn })
  return {
    service,
    async close() {
      stop.abort()
      await service.settled()
    },
  }
}
