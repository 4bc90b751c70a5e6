import { createPrivateKey, createPublicKey } from 'node:crypto'
import { headerDigest, type KemKey, publicOf, Secret, type SigningPrivateKey } from '../../seal/index.ts'
import { checkKeyCommitment } from '../../seal/key-commitment.ts'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { GRANT_TYP, type Grant, parseGrant } from '../../verify/documents/grant.ts'
import { parseHeader } from '../../verify/documents/header.ts'
import { type HpkePublicKey, hpkeKeyDigest, type SigningKey, thumbprint } from '../../verify/documents/keys.ts'
import { useKeyCommitment } from '../../verify/documents/use-slot.ts'
import { AttestError } from '../../verify/errors.ts'
import { verifyFlattenedJws } from '../../verify/formats/jws.ts'
import type { KekProvider, WrapContext } from '../key-store/kek.ts'
import { KeyWrapper } from './key-wrapper.ts'
import { type DiskCalls, RowFolder } from './row-folder.ts'
import { corrupt, digestOfRow, KEY_ROWS, type KeyRow, keyRows, type LedgerRow, ledgerRows, ROWS, revocationRows } from './rows.ts'

/** A grant that the broker holds, as its owner signed it. */
export interface HeldGrant {
  readonly digest: string
  readonly owner: string
  readonly grant: Grant
}

/** The keys that a broker holds for owners, and its own: one file each, every secret wrapped under a key-encryption key. */
export class BrokerStore {
  readonly keks: KeyWrapper
  readonly rows: RowFolder
  /** Writes to one ledger come one after the other. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(folder: string, provider: KekProvider, disk?: DiskCalls) {
    this.rows = new RowFolder(folder, disk)
    this.keks = new KeyWrapper(this.rows, provider)
  }

  /** Makes the store of a new broker with its two keys. */
  async begin(intentKey: SigningPrivateKey, kem: KemKey): Promise<void> {
    await this.rows.make()
    if ((await this.rows.names('')).length > 0) throw new AttestError('ALREADY_EXISTS', `${this.rows.path} holds a store already`)
    await this.keks.begin()
    const publicKey = publicOf(intentKey)
    const seed = fromBase64Url(intentKey.d)
    const intentWrapped = await this.keks.wrap(seed, await intentContext(publicKey))
    seed.fill(0)
    const kemWrapped = await this.keks.wrap(kem.privateKey.expose(), await kemContext(kem.publicKey))
    await this.#put(ROWS.kemKey, { v: 1, type: 'sealgate/broker-kem-key/v1', publicKey: kem.publicKey, wrapped: kemWrapped })
    await this.#put(ROWS.intentKey, { v: 1, type: 'sealgate/broker-intent-key/v1', publicKey, wrapped: intentWrapped })
  }

  async intentKey(): Promise<SigningPrivateKey> {
    const row = await this.keyRow(ROWS.intentKey)
    if (row.type !== 'sealgate/broker-intent-key/v1') throw corrupt(ROWS.intentKey, 'holds another kind of key')
    const seed = await this.open(ROWS.intentKey, row)
    const key = { ...row.publicKey, d: toBase64Url(seed.expose()) }
    seed.wipe()
    return key
  }

  /** The caller wipes it. */
  async kemKey(): Promise<KemKey> {
    const row = await this.keyRow(ROWS.kemKey)
    if (row.type !== 'sealgate/broker-kem-key/v1') throw corrupt(ROWS.kemKey, 'holds another kind of key')
    return { publicKey: row.publicKey, privateKey: await this.open(ROWS.kemKey, row) }
  }

  /** Keeps a dataset's key; one that is there already stays. */
  async putDataset(header: Uint8Array, dek: Secret): Promise<void> {
    const digest = await headerDigest(header)
    if ((await this.rows.get(ROWS.dataset(digest))) !== null) return
    await checkKeyCommitment(parseHeader(header), dek)
    const wrapped = await this.keks.wrap(dek.expose(), { purpose: 'dataset-key', subject: digest })
    await this.#put(ROWS.dataset(digest), { v: 1, type: 'sealgate/broker-dataset/v1', header: toBase64Url(header), wrapped })
  }

  /** Keeps a grant's use key; one that is there already stays. Its ledger begins with the first time that it is kept. */
  async putGrant({ digest, owner, grant }: HeldGrant, jws: Uint8Array, useKey: Secret): Promise<void> {
    if ((await this.ledger(digest)) === null) {
      await this.rows.put(ROWS.ledger(digest), ledgerRows.encode({ v: 1, type: 'sealgate/broker-ledger/v1', owner, nextSlot: 0 }))
    }
    if ((await this.rows.get(ROWS.grant(digest))) !== null) return
    await assertUseKey(ROWS.grant(digest), grant, useKey)
    const wrapped = await this.keks.wrap(useKey.expose(), { purpose: 'use-key', subject: digest })
    await this.#put(ROWS.grant(digest), { v: 1, type: 'sealgate/broker-grant/v1', jws: toBase64Url(jws), wrapped })
  }

  /** Null for a dataset whose key is not here. The caller wipes it. */
  async datasetKey(digest: string): Promise<Secret | null> {
    const row = await this.#key(ROWS.dataset(digest))
    return row === null ? null : this.open(ROWS.dataset(digest), row)
  }

  /** Null for a grant whose use key is not here. The caller wipes it. */
  async useKey(digest: string): Promise<Secret | null> {
    const row = await this.#key(ROWS.grant(digest))
    return row === null ? null : this.open(ROWS.grant(digest), row)
  }

  async ledger(digest: string): Promise<LedgerRow | null> {
    const bytes = await this.rows.get(ROWS.ledger(digest))
    return bytes === null ? null : ledgerRows.parse(ROWS.ledger(digest), bytes)
  }

  /** Remembers that slots below `nextSlot` are spent. Losing this costs a refused attempt per slot: the log knows too. */
  spendSlots(digest: string, nextSlot: number): Promise<void> {
    const turn = (this.#turns.get(digest) ?? Promise.resolve()).then(async () => {
      const row = await this.ledger(digest)
      if (row === null) throw new AttestError('NOT_FOUND', `this broker never held grant ${digest}`)
      if (nextSlot > row.nextSlot) await this.rows.put(ROWS.ledger(digest), ledgerRows.encode({ ...row, nextSlot }))
    })
    this.#turns.set(
      digest,
      turn.catch(() => undefined),
    )
    return turn
  }

  /** Whether the owner took the grant back. That the row is there says so, whatever has become of its content. */
  async isRevoked(digest: string): Promise<boolean> {
    return (await this.rows.get(ROWS.revocation(digest))) !== null
  }

  async putRevocation(digest: string, jws: Uint8Array): Promise<void> {
    await this.rows.put(
      ROWS.revocation(digest),
      revocationRows.encode({ v: 1, type: 'sealgate/broker-revocation/v1', jws: toBase64Url(jws) }),
    )
  }

  async grants(): Promise<readonly HeldGrant[]> {
    const names = await this.rows.names('grant-')
    return Promise.all(names.map(async (name) => heldGrant(name, await this.#key(name))))
  }

  async datasets(): Promise<readonly string[]> {
    return (await this.rows.names('dataset-')).map(digestOfRow)
  }

  /**
   * Destroys the keys of a grant, and of the datasets that no other grant here needs.
   * @returns what was there.
   */
  async forgetGrant(digest: string): Promise<{ readonly grant: boolean; readonly datasets: readonly string[] }> {
    const grant = (await this.rows.get(ROWS.grant(digest))) !== null
    // The grant first: from here on nothing is released under it, whatever happens to the rest.
    if (grant) await this.rows.remove(ROWS.grant(digest))
    const needed = new Set((await this.grants()).flatMap((held) => held.grant.datasets))
    const datasets = (await this.datasets()).filter((dataset) => !needed.has(dataset))
    for (const dataset of datasets) await this.rows.remove(ROWS.dataset(dataset))
    return { grant, datasets }
  }

  /** Destroys a dataset's key, whatever grants name it. @returns whether it was there. */
  async forgetDataset(digest: string): Promise<boolean> {
    const isThere = (await this.rows.get(ROWS.dataset(digest))) !== null
    if (isThere) await this.rows.remove(ROWS.dataset(digest))
    return isThere
  }

  /** Names of all rows that hold a wrapped key. */
  async keyRowNames(): Promise<readonly string[]> {
    return (await Promise.all(KEY_ROWS.map((prefix) => this.rows.names(prefix)))).flat()
  }

  /** @throws AttestError `KEYSTORE_CORRUPT` for a row that is not there. */
  async keyRow(name: string): Promise<KeyRow> {
    const row = await this.#key(name)
    if (row === null) throw corrupt(name, 'is missing')
    return row
  }

  /**
   * Opens a row's key and holds it against what the row says of it. The caller wipes it.
   * @throws AttestError `UNWRAP_FAILED`, `KEYSTORE_*`, `KEK_DESTROYED`.
   */
  async open(name: string, row: KeyRow): Promise<Secret> {
    const secret = new Secret(await this.keks.unwrap(row.wrapped, await contextOf(name, row)))
    try {
      await checkSecret(name, row, secret)
      return secret
    } catch (error) {
      secret.wipe()
      throw error
    }
  }

  /** Wraps a row's key anew, under the current key. */
  async rewrap(name: string): Promise<void> {
    const row = await this.keyRow(name)
    const secret = await this.open(name, row)
    try {
      await this.#put(name, { ...row, wrapped: await this.keks.wrap(secret.expose(), await contextOf(name, row)) })
    } finally {
      secret.wipe()
    }
  }

  close(): Promise<void> {
    return this.keks.close()
  }

  async #key(name: string): Promise<KeyRow | null> {
    const bytes = await this.rows.get(name)
    return bytes === null ? null : keyRows.parse(name, bytes)
  }

  #put(name: string, row: KeyRow): Promise<void> {
    return this.rows.put(name, keyRows.encode(row))
  }
}

async function heldGrant(name: string, row: KeyRow | null): Promise<HeldGrant> {
  if (row?.type !== 'sealgate/broker-grant/v1') throw corrupt(name, 'holds no grant')
  const { payload, digest, signers } = await verifyFlattenedJws(fromBase64Url(row.jws), GRANT_TYP, 'grant')
  if (digest !== digestOfRow(name)) throw corrupt(name, 'holds another grant')
  return { digest, owner: signers[0]?.thumbprint ?? '', grant: parseGrant(payload) }
}

/** The context follows from the row's name where it has one, so that a row under another name does not open. */
async function contextOf(name: string, row: KeyRow): Promise<WrapContext> {
  if (row.type === 'sealgate/broker-dataset/v1') return { purpose: 'dataset-key', subject: digestOfRow(name) }
  if (row.type === 'sealgate/broker-grant/v1') return { purpose: 'use-key', subject: digestOfRow(name) }
  return row.type === 'sealgate/broker-kem-key/v1' ? kemContext(row.publicKey) : intentContext(row.publicKey)
}

async function intentContext(key: SigningKey): Promise<WrapContext> {
  return { purpose: 'intent-key', subject: await thumbprint(key) }
}

async function kemContext(key: HpkePublicKey): Promise<WrapContext> {
  return { purpose: 'kem-key', subject: await hpkeKeyDigest(key) }
}

async function checkSecret(name: string, row: KeyRow, secret: Secret): Promise<void> {
  if (row.type === 'sealgate/broker-dataset/v1') {
    const header = fromBase64Url(row.header)
    if ((await headerDigest(header)) !== digestOfRow(name)) throw corrupt(name, 'holds another header')
    await checkKeyCommitment(parseHeader(header), secret)
  } else if (row.type === 'sealgate/broker-grant/v1') {
    await assertUseKey(name, (await heldGrant(name, row)).grant, secret)
  } else if (row.type === 'sealgate/broker-intent-key/v1') {
    const { x } = row.publicKey
    const key = createPrivateKey({ key: { ...row.publicKey, d: toBase64Url(secret.expose()) }, format: 'jwk' })
    if (createPublicKey(key).export({ format: 'jwk' }).x !== x) throw corrupt(name, 'holds two halves that do not match')
  }
}

async function assertUseKey(name: string, grant: Grant, useKey: Secret): Promise<void> {
  if ((await useKeyCommitment(useKey.expose())) === grant.useKeyCommitment) return
  throw new AttestError('KEY_COMMITMENT_MISMATCH', 'the grant commits to another use key', { at: name })
}
