import { join } from 'node:path'
import { FILES, generateSigningKey, loadTrustFile, MAX_FILE_SIZE, PUBLIC, readBytes, refuseExisting, writeNew } from '../client/index.ts'
import { random } from '../client/owner.ts'
import { generateKemKey, issueFlattenedJws } from '../seal/index.ts'
import { fromUtf8 } from '../verify/bytes/bytes.ts'
import { BROKER_TYP, encodeBroker } from '../verify/documents/entrustment.ts'
import { type HpkeSuiteName, thumbprint } from '../verify/documents/keys.ts'
import type { TrustFile } from '../verify/documents/trust.ts'
import { AttestError } from '../verify/errors.ts'
import { lockFolder } from '../witness/folder-lock.ts'
import { AuditFile } from './audit-file.ts'
import { openKeks, parseKeyStoreConfig } from './key-store/config.ts'
import type { KekProvider } from './key-store/kek.ts'
import { BrokerStore } from './store/broker-store.ts'

/** Names in a broker's folder, beside those of its identity and its trust file. */
export const BROKER_FILES = {
  /** Where the key-encryption keys are; holds no secret. */
  keyStore: 'keystore.json',
  /** For owners: the broker's KEM key, signed under its intent key. */
  description: 'broker.json',
  store: 'store',
  audit: 'audit.jsonl',
} as const

/** An open broker's folder. */
export interface Broker {
  readonly folder: string
  readonly store: BrokerStore
  readonly trust: TrustFile
  readonly audit: AuditFile
  close(): Promise<void>
}

export interface NewBroker {
  readonly folder: string
  /** Text of `keystore.json`. */
  readonly keyStore: string
  readonly suite: HpkeSuiteName
}

/**
 * Makes a broker's keys and its store in a folder that has an identity. Nothing is overwritten.
 * @returns the thumbprint that grants name.
 * @throws AttestError `ALREADY_EXISTS`; `USAGE`, `DOCUMENT_INVALID`, `KEYSTORE_*` for a key store that is none.
 */
export async function createBroker({ folder, keyStore, suite }: NewBroker): Promise<string> {
  const config = parseKeyStoreConfig(keyStore)
  await refuseExisting(folder, Object.values(BROKER_FILES))
  const store = new BrokerStore(join(folder, BROKER_FILES.store), await openKeks(config, folder))
  const kem = await generateKemKey(suite, random)
  try {
    const intentKey = generateSigningKey()
    await store.begin(intentKey, kem)
    const description = await issueFlattenedJws(encodeBroker({ v: 1, kem: kem.publicKey }), BROKER_TYP, intentKey)
    await writeNew(join(folder, BROKER_FILES.description), description, PUBLIC)
    await writeNew(join(folder, BROKER_FILES.keyStore), keyStore, PUBLIC)
    return await thumbprint(intentKey)
  } finally {
    kem.privateKey.wipe()
    await store.close()
  }
}

/** @throws AttestError `FILE_UNREADABLE` naming what is missing; `DOCUMENT_INVALID`; `KEYSTORE_*`. */
export async function openBroker(folder: string, now: () => Date = () => new Date()): Promise<Broker> {
  const config = parseKeyStoreConfig(fromUtf8(await readBytes(join(folder, BROKER_FILES.keyStore), MAX_FILE_SIZE)))
  const trust = await loadTrustFile(join(folder, FILES.trust))
  const store = new BrokerStore(join(folder, BROKER_FILES.store), await openKeks(config, folder))
  return { folder, store, trust, audit: new AuditFile(join(folder, BROKER_FILES.audit), now), close: () => store.close() }
}

/**
 * Opens a broker's folder for a command that changes its keys, one at a time. A running broker goes on meanwhile: it writes
 * nothing but ledgers and records, which no command does.
 * @throws AttestError `STORE_LOCKED` while another command changes it.
 */
export async function withBroker<T>(folder: string, work: (broker: Broker) => Promise<T>): Promise<T> {
  const unlock = await lockFolder(folder, 'broker-command')
  try {
    const broker = await openBroker(folder)
    try {
      return await work(broker)
    } finally {
      await broker.close()
    }
  } finally {
    unlock()
  }
}

const refuse = (): Promise<never> => Promise.reject(new AttestError('INTERNAL', 'no key is opened to show a broker'))
const NO_KEYS: KekProvider = { create: refuse, open: refuse, close: () => Promise.resolve() }

/** What may be shown of a broker. Needs no key store, and opens no key. */
export async function describeBroker(folder: string): Promise<{
  readonly broker: string
  readonly epochs: readonly { readonly epoch: number; readonly kek: string; readonly keys: number }[]
  readonly grants: readonly {
    readonly grant: string
    readonly owner: string
    readonly slotsUsed: number
    readonly uses: number
    readonly expires: string
  }[]
  readonly datasets: readonly string[]
  readonly revoked: number
}> {
  const store = new BrokerStore(join(folder, BROKER_FILES.store), NO_KEYS)
  const names = await store.keyRowNames()
  const rows = await Promise.all(names.map((name) => store.keyRow(name)))
  const intent = rows.find((row) => row.type === 'sealgate/broker-intent-key/v1')
  const { keks } = await store.keks.epochs()
  const grants = await Promise.all(
    (await store.grants()).map(async ({ digest, owner, grant }) => {
      const slotsUsed = (await store.ledger(digest))?.nextSlot ?? 0
      return { grant: digest, owner, slotsUsed, uses: grant.uses, expires: grant.expires }
    }),
  )
  return {
    broker: intent?.type === 'sealgate/broker-intent-key/v1' ? await thumbprint(intent.publicKey) : '',
    epochs: keks.map(({ epoch, id }) => ({ epoch, kek: id, keys: rows.filter((row) => row.wrapped.kek === id).length })),
    grants,
    datasets: await store.datasets(),
    revoked: (await store.rows.names('revoked-')).length,
  }
}
