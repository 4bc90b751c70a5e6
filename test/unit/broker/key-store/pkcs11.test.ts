import { renameSync } from 'node:fs'
import koffi from 'koffi'
import { afterAll, describe, expect, it } from 'vitest'
import type { Kek, WrapContext } from '../../../../src/broker/key-store/kek.ts'
import {
  attributesOf,
  CKA,
  CKK_AES,
  CKM_AES_KEY_GEN,
  CKO_SECRET_KEY,
  mechanism,
  ulong,
} from '../../../../src/broker/key-store/pkcs11/layout.ts'
import { Pkcs11Keks } from '../../../../src/broker/key-store/pkcs11/pkcs11-keks.ts'
import { CKR, TokenError } from '../../../../src/broker/key-store/pkcs11/return-codes.ts'
import { Token } from '../../../../src/broker/key-store/pkcs11/token.ts'
import { toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { hasSoftHsm, makeToken, PIN, SOFTHSM_MODULE, TOKEN_LABEL } from '../../../support/softhsm.ts'

const CONTEXT: WrapContext = { purpose: 'dataset-key', subject: toBase64Url(new Uint8Array(32)) }
const KEY = utf8('0123456789abcdef0123456789abcdef')

const hasToken = hasSoftHsm()
const made = hasToken ? makeToken() : null
afterAll(() => made?.end())

function tokenWith(changes: { module?: string; token?: string; serial?: string; pin?: string } = {}): {
  readonly token: Token
  readonly pins: () => number
} {
  let pins = 0
  const address = { module: SOFTHSM_MODULE, token: TOKEN_LABEL, ...changes }
  const readPin = async (): Promise<Uint8Array> => {
    pins++
    return utf8(changes.pin ?? PIN)
  }
  return { token: new Token(address, readPin), pins: () => pins }
}

/** Another part of the process that uses the same module, without asking us. */
function intruder(): { closeAllSessions(): void; finalize(): void } {
  const library = koffi.load(SOFTHSM_MODULE)
  const slots = new Uint8Array(64)
  const count = ulong(8)
  return {
    closeAllSessions() {
      expect(library.func('C_GetSlotList', 'unsigned long', ['uint8_t', 'void *', 'void *'])(1, slots, count)).toBe(0)
      const slot = new DataView(slots.buffer).getBigUint64(0, true)
      expect(library.func('C_CloseAllSessions', 'unsigned long', ['unsigned long'])(slot)).toBe(0)
    },
    finalize() {
      expect(library.func('C_Finalize', 'unsigned long', ['void *'])(null)).toBe(0)
    },
  }
}

const messageOf = (work: () => Promise<unknown>): Promise<string> =>
  work().then(
    () => 'nothing',
    (error: Error) => error.message,
  )

describe('return codes', () => {
  it.each([
    ['PIN_INCORRECT', 'KEYSTORE_DENIED', false],
    ['PIN_LOCKED', 'KEYSTORE_DENIED', false],
    ['PIN_EXPIRED', 'KEYSTORE_DENIED', false],
    ['TOKEN_NOT_PRESENT', 'KEYSTORE_UNAVAILABLE', true],
    ['DEVICE_REMOVED', 'KEYSTORE_UNAVAILABLE', true],
    ['SESSION_HANDLE_INVALID', 'KEYSTORE_UNAVAILABLE', true],
    ['DEVICE_ERROR', 'KEYSTORE_UNAVAILABLE', false],
  ] as const)('%s is %s', (name, code, isLost) => {
    const error = new TokenError('C_Login', CKR[name])
    expect(error).toMatchObject({ code, isLost, at: 'pkcs11.C_Login' })
    expect(error.message).toContain(`CKR_${name}`)
    expect(new TokenError('C_Login', 0x80000001).message).toContain('0x80000001')
  })
})

describe('a module', () => {
  it.each(['/nowhere/libnone.so', '/usr/lib/x86_64-linux-gnu/libc.so.6'])('that is none is refused: %s', async (module) => {
    expect(await outcomeOf(() => new Pkcs11Keks(tokenWith({ module }).token).create(1))).toBe('KEYSTORE_UNAVAILABLE')
  })
})

describe.runIf(hasToken)('a token', () => {
  const use = async (changes: Parameters<typeof tokenWith>[0], work: (keks: Pkcs11Keks) => Promise<void>): Promise<void> => {
    const keks = new Pkcs11Keks(tokenWith(changes).token)
    await work(keks)
    await keks.close()
  }
  const opensStill = async (kek: Kek, wrapped: Uint8Array): Promise<void> => expect(await kek.unwrap(wrapped, CONTEXT)).toEqual(KEY)

  it('that refuses the PIN is not asked with it again', async () => {
    const { token, pins } = tokenWith({ pin: '000000' })
    const keks = new Pkcs11Keks(token)
    expect(await messageOf(() => keks.create(1))).toContain('CKR_PIN_INCORRECT')
    expect(await outcomeOf(() => keks.create(1))).toBe('KEYSTORE_DENIED')
    expect(pins()).toBe(1)
  })

  it('is found by its label, and by its serial number where one is named', async () => {
    await use({ token: 'another' }, async (keks) => expect(await messageOf(() => keks.create(1))).toContain('no token "another"'))
    await use({ serial: 'ffffffffffffffff' }, async (keks) => expect(await outcomeOf(() => keks.create(1))).toBe('KEYSTORE_UNAVAILABLE'))
  })

  it('whose sessions somebody else closed is opened anew', () =>
    use({}, async (keks) => {
      const kek = await keks.create(1)
      const wrapped = await kek.wrap(KEY, CONTEXT)
      intruder().closeAllSessions()
      await opensStill(kek, wrapped)
      const both = [kek.unwrap(wrapped, CONTEXT), kek.unwrap(wrapped, CONTEXT)]
      expect(await Promise.all(both)).toEqual([KEY, KEY])
    }))

  it('that was taken away fails with a clear word, and serves again when it is back', () =>
    use({}, async (keks) => {
      const kek = await keks.create(1)
      const wrapped = await kek.wrap(KEY, CONTEXT)
      const tokens = made?.tokens ?? ''
      renameSync(tokens, `${tokens}.away`)
      intruder().finalize()
      expect(await outcomeOf(() => kek.unwrap(wrapped, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
      expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
      renameSync(`${tokens}.away`, tokens)
      await opensStill(kek, wrapped)
    }))

  it('gives out a key that it made and keeps, not one that was planted or could be taken out', () =>
    use({}, async (keks) => {
      const kek = await keks.create(1)
      const { token } = tokenWith()
      const plant = (id: string): Promise<void> =>
        token.use(({ cryptoki, handle }) => {
          const template = [
            [CKA.CLASS, CKO_SECRET_KEY],
            [CKA.KEY_TYPE, CKK_AES],
            [CKA.LABEL, utf8(id)],
            [CKA.ID, utf8(id)],
            [CKA.VALUE_LEN, 32],
            [CKA.TOKEN, true],
            [CKA.SENSITIVE, false],
            [CKA.EXTRACTABLE, true],
            [CKA.ENCRYPT, true],
            [CKA.DECRYPT, true],
          ] as const
          return cryptoki.call(
            'C_GenerateKey',
            handle,
            mechanism(CKM_AES_KEY_GEN),
            attributesOf(cryptoki, template),
            template.length,
            ulong(),
          )
        })
      const planted = kek.id.replace(/.{22}$/, 'A'.repeat(22))
      await plant(planted)
      expect(await outcomeOf(() => keks.open(planted, 1))).toBe('KEYSTORE_CORRUPT')
      await plant(kek.id)
      expect(await outcomeOf(() => keks.open(kek.id, 1))).toBe('KEYSTORE_CORRUPT')
      await token.close()
    }))

  it('is asked for ids alone', () =>
    use({}, async (keks) => {
      for (const id of ['', '../../etc/passwd', 'sealgate-kek-1-short']) {
        expect(await outcomeOf(() => keks.open(id, 1))).toBe('KEYSTORE_CORRUPT')
      }
    }))
})
