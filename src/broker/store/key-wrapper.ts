import { equal, fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { type Kek, type KekProvider, kekDestroyed, type WrapContext } from '../key-store/kek.ts'
import type { RowFolder } from './row-folder.ts'
import { corrupt, type EpochsRow, epochsRows, ROWS, type WrappedKey } from './rows.ts'

/** Wraps and opens the keys of rows. Which keys count is read anew each time: a command may rotate them while a broker runs. */
export class KeyWrapper {
  readonly #rows: RowFolder
  readonly #provider: KekProvider
  readonly #open = new Map<string, Promise<Kek>>()

  constructor(rows: RowFolder, provider: KekProvider) {
    this.#rows = rows
    this.#provider = provider
  }

  /** @throws AttestError `KEYSTORE_CORRUPT` where there are none. */
  async epochs(): Promise<EpochsRow> {
    const bytes = await this.#rows.get(ROWS.epochs)
    if (bytes === null) throw corrupt(ROWS.epochs, 'is missing: without it nothing opens')
    return epochsRows.parse(ROWS.epochs, bytes)
  }

  async current(): Promise<{ readonly epoch: number; readonly id: string }> {
    const current = (await this.epochs()).keks.at(-1)
    if (current === undefined) throw corrupt(ROWS.epochs, 'names no key')
    return current
  }

  async wrap(plaintext: Uint8Array, context: WrapContext): Promise<WrappedKey> {
    const { id, epoch } = await this.current()
    const kek = await this.kek(id, epoch)
    return { kek: id, epoch, ciphertext: toBase64Url(await kek.wrap(plaintext, context)) }
  }

  /** The answer is secret: wipe it. @throws AttestError `UNWRAP_FAILED`, `KEK_DESTROYED`, `KEYSTORE_*`. */
  async unwrap({ kek: id, epoch, ciphertext }: WrappedKey, context: WrapContext): Promise<Uint8Array> {
    const { keks } = await this.epochs()
    if (!keks.some((k) => k.id === id && k.epoch === epoch)) throw kekDestroyed(id)
    return (await this.kek(id, epoch)).unwrap(fromBase64Url(ciphertext), context)
  }

  /** Opened once; a failure is not kept. */
  kek(id: string, epoch: number): Promise<Kek> {
    const name = `${epoch} ${id}`
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const opened = this.#provider.open(id, epoch)
    this.#open.set(name, opened)
    opened.catch(() => this.#open.delete(name))
    return opened
  }

  /** Makes the key of the next epoch, and wraps under it from now on. The older ones still open. */
  async advance(): Promise<void> {
    const row = await this.epochs()
    const kek = await this.#create((row.keks.at(-1)?.epoch ?? 0) + 1)
    // Durable now: a key that nothing names. A crash here costs that key, and the next attempt makes another.
    const keks = [...row.keks, { epoch: kek.epoch, id: kek.id }]
    await this.#rows.put(ROWS.epochs, epochsRows.encode({ ...row, keks }))
  }

  /** The first key of a new store. */
  async begin(): Promise<void> {
    const { epoch, id } = await this.#create(1)
    await this.#rows.put(ROWS.epochs, epochsRows.encode({ v: 1, type: 'sealgate/broker-epochs/v1', keks: [{ epoch, id }] }))
  }

  /** Forgets all keys but the current one: rows under them open no more. */
  async forgetOld(): Promise<void> {
    const row = await this.epochs()
    await this.#rows.put(ROWS.epochs, epochsRows.encode({ ...row, keks: row.keks.slice(-1) }))
  }

  /** A key counts once it has opened what it wrapped, found by its id as it will be later. */
  async #create(epoch: number): Promise<Kek> {
    const made = await this.#provider.create(epoch)
    const context = { purpose: 'intent-key', subject: made.id } as const
    const sample = new Uint8Array(32).fill(epoch % 256)
    const opened = await (await this.#provider.open(made.id, epoch)).unwrap(await made.wrap(sample, context), context)
    if (!equal(opened, sample)) throw corrupt(made.id, 'does not open what it wrapped')
    return made
  }

  close(): Promise<void> {
    return this.#provider.close()
  }
}
