import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FileKeks } from '../../../../src/broker/key-store/file-keks.ts'
import type { Kek, KekProvider, WrapContext } from '../../../../src/broker/key-store/kek.ts'
import { KmsHttp } from '../../../../src/broker/key-store/kms/http-client.ts'
import { KmsKeks } from '../../../../src/broker/key-store/kms/kms-keks.ts'
import { Pkcs11Keks } from '../../../../src/broker/key-store/pkcs11/pkcs11-keks.ts'
import { Token } from '../../../../src/broker/key-store/pkcs11/token.ts'
import { toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { KMS_TOKEN, TestKms } from '../../../support/kms-server.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { hasSoftHsm, makeToken, PIN, SOFTHSM_MODULE, TOKEN_LABEL } from '../../../support/softhsm.ts'
import { temporaryFolder } from '../../client/support.ts'

const folder = temporaryFolder()
const subject = (label: number): string => toBase64Url(new Uint8Array(32).fill(label))
const CONTEXT: WrapContext = { purpose: 'dataset-key', subject: subject(1) }
const secret = (): Uint8Array => new Uint8Array(randomBytes(32))

interface Place {
  readonly name: string
  readonly skip: boolean
  /** Called again: another provider onto the same keys. */
  readonly open: () => Promise<KekProvider>
}

let kms: TestKms
const hasToken = hasSoftHsm()
const token = hasToken ? makeToken() : null
beforeAll(async () => {
  kms = await TestKms.start()
})
afterAll(async () => {
  token?.end()
  await kms.stop()
})

const fileKey = randomBytes(32)
const places: readonly Place[] = [
  {
    name: 'file under a passphrase',
    skip: false,
    open: async () => new FileKeks(join(folder, 'p'), { passphrase: 'correct horse battery' }),
  },
  { name: 'file under a key file', skip: false, open: async () => new FileKeks(join(folder, 'k'), { key: fileKey }) },
  {
    name: 'PKCS #11 token (SoftHSM2)',
    skip: !hasToken,
    open: async () => new Pkcs11Keks(new Token({ module: SOFTHSM_MODULE, token: TOKEN_LABEL }, async () => utf8(PIN))),
  },
  {
    name: 'KMS over HTTPS',
    skip: false,
    open: async () => {
      const access = { url: kms.url, ca: kms.ca, identity: kms.client, token: async () => KMS_TOKEN, timeoutMs: 5000 }
      return new KmsKeks(new KmsHttp(access, async () => undefined))
    },
  },
]

describe.each(places.filter((p) => !p.skip))('a key-encryption key in a $name', ({ open }) => {
  let provider: KekProvider
  let kek: Kek
  beforeAll(async () => {
    provider = await open()
    kek = await provider.create(1)
  })
  afterAll(() => provider.close())

  it('opens what it wrapped, also after it was opened anew by its id', async () => {
    const key = secret()
    const wrapped = await kek.wrap(key, CONTEXT)
    expect(await kek.unwrap(wrapped, CONTEXT)).toEqual(key)
    const again = await (await open()).open(kek.id, kek.epoch)
    expect(await again.unwrap(wrapped, CONTEXT)).toEqual(key)
  })

  it('wraps keys of one byte and of 256, and nothing that is no key', async () => {
    for (const size of [1, 255, 256]) {
      const key = new Uint8Array(randomBytes(size))
      expect(await kek.unwrap(await kek.wrap(key, CONTEXT), CONTEXT)).toEqual(key)
    }
    for (const size of [0, 257]) await expect(kek.wrap(new Uint8Array(size), CONTEXT)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('never gives the same bytes twice, nor the key itself', async () => {
    const key = secret()
    const [a, b] = [await kek.wrap(key, CONTEXT), await kek.wrap(key, CONTEXT)]
    expect(a).not.toEqual(b)
    expect(Buffer.from(a).includes(Buffer.from(key))).toBe(false)
  })

  it('opens nothing in the row of another dataset, for another purpose, or under another epoch', async () => {
    const wrapped = await kek.wrap(secret(), CONTEXT)
    for (const other of [
      { ...CONTEXT, subject: subject(2) },
      { ...CONTEXT, purpose: 'use-key' },
      { ...CONTEXT, purpose: 'intent-key' },
    ] as const) {
      expect(await outcomeOf(() => kek.unwrap(wrapped, other))).toBe('UNWRAP_FAILED')
    }
    // The file of a key says its epoch itself.
    const relabelled = await outcomeOf(async () => (await provider.open(kek.id, 2)).unwrap(wrapped, CONTEXT))
    expect(['UNWRAP_FAILED', 'KEYSTORE_CORRUPT']).toContain(relabelled)
  })

  it('opens nothing that another key wrapped', async () => {
    const other = await provider.create(1)
    expect(await outcomeOf(async () => kek.unwrap(await other.wrap(secret(), CONTEXT), CONTEXT))).toBe('UNWRAP_FAILED')
  })

  it('opens nothing in which one bit was flipped, whichever byte it is in', async () => {
    const wrapped = await kek.wrap(secret(), CONTEXT)
    for (let i = 0; i < wrapped.length; i++) {
      const flipped = wrapped.slice()
      flipped[i] = (flipped[i] ?? 0) ^ (1 << (i % 8))
      expect(await outcomeOf(() => kek.unwrap(flipped, CONTEXT)), `byte ${i}`).toBe('UNWRAP_FAILED')
    }
  })

  it('opens nothing that was cut or made longer', async () => {
    const wrapped = await kek.wrap(secret(), CONTEXT)
    for (let size = 0; size < wrapped.length; size++) {
      expect(await outcomeOf(() => kek.unwrap(wrapped.slice(0, size), CONTEXT)), `${size} bytes`).toBe('UNWRAP_FAILED')
    }
    expect(await outcomeOf(() => kek.unwrap(new Uint8Array([...wrapped, 0]), CONTEXT))).toBe('UNWRAP_FAILED')
  })

  it('serves 64 callers at a time, each with its own key', async () => {
    const rows = Array.from({ length: 64 }, (_, i) => ({ key: secret(), context: { purpose: 'use-key', subject: subject(i) } as const }))
    const wrapped = await Promise.all(rows.map(({ key, context }) => kek.wrap(key, context)))
    const opened = await Promise.all(rows.map(({ context }, i) => kek.unwrap(wrapped[i] ?? new Uint8Array(), context)))
    expect(opened).toEqual(rows.map(({ key }) => key))
  })

  it('opens nothing once it was destroyed, here and where it is opened anew; to destroy it again does nothing', async () => {
    const doomed = await provider.create(7)
    const wrapped = await doomed.wrap(secret(), CONTEXT)
    const elsewhere = await (await open()).open(doomed.id, 7)
    expect(await doomed.destroy()).toEqual({ kind: 'done' })
    expect(await outcomeOf(() => doomed.unwrap(wrapped, CONTEXT))).toBe('KEK_DESTROYED')
    expect(await outcomeOf(() => doomed.wrap(secret(), CONTEXT))).toBe('KEK_DESTROYED')
    expect(await outcomeOf(async () => (await (await open()).open(doomed.id, 7)).unwrap(wrapped, CONTEXT))).toBe('KEK_DESTROYED')
    expect(await doomed.destroy()).toEqual({ kind: 'done' })
    expect(await elsewhere.destroy()).toEqual({ kind: 'done' })
    expect(await outcomeOf(() => kek.wrap(secret(), CONTEXT))).toBe('accepted')
  })
})
