import { join } from 'node:path'
import { Client, FILES, LogMemory, type ReleaseDecision, Slots, watchReleases } from '../client/index.ts'
import { ReleaseRecord } from '../client/release-record.ts'
import { lockFolder } from '../witness/folder-lock.ts'
import { openBroker } from './broker-folder.ts'
import { BrokerKeys } from './broker-keys.ts'

export interface RunBrokerOptions {
  readonly folder: string
  /** True: handles what waits now, and ends. */
  readonly once: boolean
  /** Called when the key store has opened, with the thumbprint that grants name. */
  readonly onStart: (thumbprint: string) => void
  readonly onDecision: (decision: ReleaseDecision) => void
  readonly signal?: AbortSignal
}

/**
 * Releases to every job that the grants entrusted to this broker allow, until it is stopped.
 * @throws AttestError `STORE_LOCKED` where another one runs on the folder; `KEYSTORE_*`, `KEK_DESTROYED`.
 */
export async function runBroker({ folder, once, onStart, onDecision, signal }: RunBrokerOptions): Promise<void> {
  const unlock = await lockFolder(folder, 'broker')
  try {
    const broker = await openBroker(folder)
    try {
      const keys = await BrokerKeys.open(broker.store, new ReleaseRecord(join(folder, FILES.releases)))
      const client = await Client.connect(folder)
      try {
        onStart(keys.thumbprint)
        const means = { client, keys, slots: new Slots(keys), trust: broker.trust, memory: new LogMemory(folder), now: () => new Date() }
        await watchReleases(signal === undefined ? means : { ...means, signal }, { once, onDecision })
      } finally {
        client.close()
      }
    } finally {
      await broker.close()
    }
  } finally {
    unlock()
  }
}
