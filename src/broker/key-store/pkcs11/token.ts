import { AttestError } from '../../../verify/errors.ts'
import { type Attribute, attributesOf, readUlong, TOKEN_INFO_SIZE, tokenNames, ulong } from './layout.ts'
import { type Cryptoki, initialize, loadCryptoki } from './library.ts'
import { CKR, TokenError } from './return-codes.ts'

export interface TokenAddress {
  /** Path of the maker's module. */
  readonly module: string
  /** Label of the token, without the blanks that pad it. */
  readonly token: string
  /** Serial number, where two tokens have one label. */
  readonly serial?: string | undefined
}

const SERIAL_RW_SESSION = 0x4 | 0x2
const USER = 1
const MAX_SLOTS = 64
const MAX_FOUND = 2

/** A session of a token, logged in. */
export interface Session {
  readonly cryptoki: Cryptoki
  readonly handle: bigint
}

/**
 * A token with one session, which is used by one caller at a time. A session that is lost (token removed and put back, module
 * reset by somebody else in the process) is opened anew, once for each use.
 */
export class Token {
  readonly #address: TokenAddress
  readonly #readPin: () => Promise<Uint8Array>
  #session: Session | null = null
  #turn: Promise<unknown> = Promise.resolve()
  /** A PIN that was refused once is not sent again: a token locks after a few. */
  #refused: TokenError | null = null

  /** @param readPin - UTF-8; wiped after use. */
  constructor(address: TokenAddress, readPin: () => Promise<Uint8Array>) {
    this.#address = address
    this.#readPin = readPin
  }

  /**
   * Runs `work` when everybody before has ended, and again if the session was lost: it must bear that.
   * @throws AttestError `KEYSTORE_UNAVAILABLE`, `KEYSTORE_DENIED`; what `work` throws.
   */
  use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#attempt(work))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  close(): Promise<void> {
    const turn = this.#turn.then(() => this.#drop())
    this.#turn = turn
    return turn
  }

  async #attempt<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const isFresh = this.#session === null
    try {
      this.#session ??= await this.#open()
      return await work(this.#session)
    } catch (error) {
      if (!(error instanceof TokenError) || !error.isLost) throw error
      await this.#drop()
      if (isFresh) throw error
    }
    return this.#attempt(work)
  }

  async #open(): Promise<Session> {
    if (this.#refused !== null) throw this.#refused
    const cryptoki = await loadCryptoki(this.#address.module)
    const slot = await this.#slot(cryptoki)
    const handle = ulong()
    await cryptoki.call('C_OpenSession', slot, SERIAL_RW_SESSION, null, null, handle)
    const session = { cryptoki, handle: readUlong(handle) }
    try {
      await this.#login(session)
      return session
    } catch (error) {
      await cryptoki.call('C_CloseSession', session.handle).catch(() => undefined)
      throw error
    }
  }

  async #login({ cryptoki, handle }: Session): Promise<void> {
    const pin = await this.#readPin()
    try {
      await cryptoki.call('C_Login', handle, USER, pin, pin.length)
    } catch (error) {
      // The login is the process's: another session of it may have made it.
      if (error instanceof TokenError && error.rv === CKR.USER_ALREADY_LOGGED_IN) return
      if (error instanceof TokenError && error.code === 'KEYSTORE_DENIED') this.#refused = error
      throw error
    } finally {
      pin.fill(0)
    }
  }

  async #slot(cryptoki: Cryptoki): Promise<bigint> {
    const { token, serial } = this.#address
    const found: bigint[] = []
    for (const slot of await slotsOf(cryptoki)) {
      const info = new Uint8Array(TOKEN_INFO_SIZE)
      try {
        await cryptoki.call('C_GetTokenInfo', slot, info)
      } catch (error) {
        // Another reader's trouble is none of ours.
        if (error instanceof TokenError) continue
        throw error
      }
      const names = tokenNames(info)
      if (names.label === token && (serial === undefined || names.serial === serial)) found.push(slot)
    }
    const [slot] = found
    if (slot !== undefined && found.length === 1) return slot
    const many =
      found.length > 1 ? `${found.length} tokens have the label "${token}": name the serial number` : `no token "${token}" is present`
    throw new AttestError('KEYSTORE_UNAVAILABLE', many, { at: 'pkcs11.C_GetSlotList' })
  }

  async #drop(): Promise<void> {
    const session = this.#session
    this.#session = null
    if (session !== null) await session.cryptoki.call('C_CloseSession', session.handle).catch(() => undefined)
  }
}

async function slotsOf(cryptoki: Cryptoki): Promise<readonly bigint[]> {
  const list = new Uint8Array(MAX_SLOTS * 8)
  const count = ulong(MAX_SLOTS)
  try {
    await cryptoki.call('C_GetSlotList', 1, list, count)
  } catch (error) {
    if (!(error instanceof TokenError) || error.rv !== CKR.CRYPTOKI_NOT_INITIALIZED) throw error
    await initialize(cryptoki)
    count.set(ulong(MAX_SLOTS))
    await cryptoki.call('C_GetSlotList', 1, list, count)
  }
  return Array.from({ length: Number(readUlong(count)) }, (_, i) => readUlong(list, i * 8))
}

/** The one object that has these attributes; null for none. @throws AttestError `KEYSTORE_CORRUPT` for several. */
export async function findObject({ cryptoki, handle }: Session, attributes: readonly Attribute[]): Promise<bigint | null> {
  await cryptoki.call('C_FindObjectsInit', handle, attributesOf(cryptoki, attributes), attributes.length)
  const [found, count] = [new Uint8Array(MAX_FOUND * 8), ulong()]
  try {
    await cryptoki.call('C_FindObjects', handle, found, MAX_FOUND, count)
  } finally {
    await cryptoki.call('C_FindObjectsFinal', handle)
  }
  if (readUlong(count) > 1n) throw new AttestError('KEYSTORE_CORRUPT', 'two keys of the token have one id', { at: 'pkcs11' })
  return readUlong(count) === 0n ? null : readUlong(found)
}

/** Whether each of these boolean attributes is as it should be. */
export async function hasFlags(
  { cryptoki, handle }: Session,
  object: bigint,
  flags: readonly (readonly [number, boolean])[],
): Promise<boolean> {
  const template = attributesOf(
    cryptoki,
    flags.map(([type]) => [type, Uint8Array.of(0xff)] as const),
  )
  await cryptoki.call('C_GetAttributeValue', handle, object, template, flags.length)
  return flags.every(([, want], i) => template.holds[i]?.[0] === (want ? 1 : 0))
}
