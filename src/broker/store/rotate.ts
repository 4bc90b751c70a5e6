import { AttestError } from '../../verify/errors.ts'
import type { Destruction } from '../key-store/kek.ts'
import type { BrokerStore } from './broker-store.ts'
import { corrupt } from './rows.ts'

export interface Rotation {
  readonly epoch: number
  /** Rows that were wrapped anew. */
  readonly rewrapped: number
  /** An earlier rotation had stopped half-way, and this one ended it. */
  readonly resumed: boolean
}

/**
 * Wraps every key anew under a new key-encryption key; no data is encrypted again. Whenever it stops, each row opens under the
 * old key or under the new one, and calling it again goes on where it stopped.
 */
export async function rotate(store: BrokerStore): Promise<Rotation> {
  const behind = await rowsBehind(store)
  const resumed = behind.length > 0
  if (!resumed) {
    // A key store that does not open what is here (another passphrase, token or KMS) must not become the one that wraps.
    await openAll(store)
    await store.keks.advance()
  }
  const { epoch } = await store.keks.current()
  const names = resumed ? behind : await store.keyRowNames()
  for (const name of names) await store.rewrap(name)
  return { epoch, rewrapped: names.length, resumed }
}

/** When each of the old keys is gone. */
export type Destroyed = readonly { readonly epoch: number; readonly id: string; readonly destruction: Destruction }[]

/**
 * Destroys every key-encryption key but the current one. First each row is opened under that one: nothing is destroyed that
 * anything still needs. Older copies of the store do not open afterwards.
 * @throws AttestError `KEYSTORE_CORRUPT` for a row that is still under an older key.
 */
export async function destroyOld(store: BrokerStore): Promise<Destroyed> {
  const [behind] = await rowsBehind(store)
  if (behind !== undefined) throw corrupt(behind, 'is still under an older key: rotate first')
  await openAll(store)
  const old = (await store.keks.epochs()).keks.slice(0, -1)
  const destroyed = []
  for (const { epoch, id } of old) destroyed.push({ epoch, id, destruction: await destroyOne(store, id, epoch) })
  // Durable now: the keys are gone, and named still. A crash here costs nothing: doing it again finds them gone.
  await store.keks.forgetOld()
  return destroyed
}

async function openAll(store: BrokerStore): Promise<void> {
  for (const name of await store.keyRowNames()) (await store.open(name, await store.keyRow(name))).wipe()
}

async function destroyOne(store: BrokerStore, id: string, epoch: number): Promise<Destruction> {
  try {
    return await (await store.keks.kek(id, epoch)).destroy()
  } catch (error) {
    if (error instanceof AttestError && error.code === 'KEK_DESTROYED') return { kind: 'done' }
    throw error
  }
}

async function rowsBehind(store: BrokerStore): Promise<readonly string[]> {
  const { id } = await store.keks.current()
  const behind: string[] = []
  for (const name of await store.keyRowNames()) if ((await store.keyRow(name)).wrapped.kek !== id) behind.push(name)
  return behind
}
