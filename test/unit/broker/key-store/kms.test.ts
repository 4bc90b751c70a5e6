import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { WrapContext } from '../../../../src/broker/key-store/kek.ts'
import { type KmsAccess, KmsHttp } from '../../../../src/broker/key-store/kms/http-client.ts'
import { KmsKeks } from '../../../../src/broker/key-store/kms/kms-keks.ts'
import { toBase64Url, toHex, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { KMS_TOKEN, TestKms } from '../../../support/kms-server.ts'
import { outcomeOf } from '../../../support/outcome.ts'

const KEY = utf8('0123456789abcdef0123456789abcdef')
const CONTEXT: WrapContext = { purpose: 'dataset-key', subject: toBase64Url(new Uint8Array(32)) }

let kms: TestKms
beforeAll(async () => {
  kms = await TestKms.start()
})
afterAll(() => kms.stop())
beforeEach(() => {
  kms.misbehave = null
  kms.ignoreContext = false
  kms.scheduleFor = null
  kms.asked.length = 0
  kms.received.length = 0
})

function keksWith(changes: Partial<KmsAccess> = {}): { readonly keks: KmsKeks; readonly waits: number[] } {
  const waits: number[] = []
  const access = { url: kms.url, ca: kms.ca, identity: kms.client, token: async () => KMS_TOKEN, timeoutMs: 5000, ...changes }
  const sleep = async (ms: number): Promise<void> => {
    waits.push(ms)
  }
  return { keks: new KmsKeks(new KmsHttp(access, sleep)), waits }
}

describe('access', () => {
  it.each(['http://kms.example', 'https://kms.example/', 'https://kms.example?a=b', 'https://user@kms.example', 'kms'])(
    'refuses the URL %s',
    (url) => {
      expect(() => keksWith({ url })).toThrow(expect.objectContaining({ code: 'USAGE' }))
    },
  )

  it('is not anonymous', () => {
    const access = { url: kms.url, ca: kms.ca, timeoutMs: 1000 }
    expect(() => new KmsHttp(access, async () => undefined)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  it('sends nothing to a server whose certificate another authority signed', async () => {
    const other = await TestKms.start()
    expect(await outcomeOf(() => keksWith({ ca: other.ca }).keks.create(1))).toBe('KEYSTORE_UNAVAILABLE')
    await other.stop()
    expect(kms.asked).toEqual([])
  })

  it('with a stranger’s certificate or token is refused', async () => {
    expect(await outcomeOf(() => keksWith({ identity: kms.stranger }).keks.create(1))).toBe('KEYSTORE_UNAVAILABLE')
    expect(kms.asked).toEqual([])
    expect(await outcomeOf(() => keksWith({ token: async () => 'guessed' }).keks.create(1))).toBe('KEYSTORE_DENIED')
  })
})

describe('a KMS that fails', () => {
  const failing = (times: number, status: number): void => {
    kms.misbehave = () => (times-- > 0 ? [status, { error: 'throttled' }] : false)
  }

  it.each([429, 502, 503, 504])('with %i for a moment is asked again, each time later', async (status) => {
    const { keks, waits } = keksWith()
    const kek = await keks.create(1)
    failing(3, status)
    expect(await kek.unwrap(await kek.wrap(KEY, CONTEXT), CONTEXT)).toEqual(KEY)
    expect(waits).toHaveLength(3)
    waits.forEach((ms, i) => {
      expect(ms).toBeGreaterThanOrEqual(100 * 2 ** i)
      expect(ms).toBeLessThanOrEqual(200 * 2 ** i)
    })
  })

  it('for good is given up', async () => {
    const { keks, waits } = keksWith()
    const kek = await keks.create(1)
    failing(99, 503)
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
    expect(waits).toHaveLength(3)
  })

  it('while it makes a key is not asked again: there might be two', async () => {
    failing(1, 503)
    const { keks, waits } = keksWith()
    expect(await outcomeOf(() => keks.create(1))).toBe('KEYSTORE_UNAVAILABLE')
    expect([kms.asked, waits]).toEqual([['create-key'], []])
  })

  it.each([400, 403, 500])('with %i is not asked again', async (status) => {
    const { keks, waits } = keksWith()
    const kek = await keks.create(1)
    failing(9, status)
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe(status === 403 ? 'KEYSTORE_DENIED' : 'KEYSTORE_UNAVAILABLE')
    expect(waits).toEqual([])
  })

  it('by a broken connection is asked again', async () => {
    const kek = await keksWith().keks.create(1)
    let broken = 2
    kms.misbehave = (_operation, request) => {
      if (broken-- <= 0) return false
      request.socket.destroy()
      return true
    }
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('accepted')
  })

  it('by silence, or by a byte now and then, runs into the time limit', async () => {
    const kek = await keksWith({ timeoutMs: 60 }).keks.create(1)
    kms.misbehave = () => true
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
    kms.misbehave = (_operation, _request, response) => {
      response.writeHead(200)
      const drip = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(drip))
      return true
    }
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
  })
})

describe('a KMS that misbehaves', () => {
  it.each([
    ['too much', [200, `{"ciphertext":"${'A'.repeat(70_000)}"}`]],
    ['no JSON', [200, 'yes']],
    ['another form', [200, { ciphertext: 7 }]],
    ['more than was asked', [200, { ciphertext: 'AAAA', note: 'x' }]],
    ['nothing', [200, {}]],
    ['a redirection', [307, {}]],
  ] as const)('by answering %s is not believed', async (_what, answer) => {
    const kek = await keksWith().keks.create(1)
    kms.misbehave = () => answer
    expect(await outcomeOf(() => kek.wrap(KEY, CONTEXT))).toBe('KEYSTORE_UNAVAILABLE')
  })

  it('by forgetting the context opens no key in another row', async () => {
    kms.ignoreContext = true
    const kek = await keksWith().keks.create(1)
    const wrapped = await kek.wrap(KEY, CONTEXT)
    expect(await kek.unwrap(wrapped, CONTEXT)).toEqual(KEY)
    expect(await outcomeOf(() => kek.unwrap(wrapped, { ...CONTEXT, purpose: 'use-key' }))).toBe('UNWRAP_FAILED')
  })

  it('by quoting what was sent gets nothing of it into an error', async () => {
    const { keks } = keksWith()
    const kek = await keks.create(1)
    for (const status of [200, 400, 422]) {
      kms.misbehave = () => [status, status === 200 ? `oops ${kms.received.at(-1)}` : { error: kms.received.at(-1) }]
      const error: unknown = await kek.wrap(KEY, CONTEXT).catch((cause: unknown) => cause)
      const text = `${String(error)} ${JSON.stringify(error)} ${String((error as Error).cause)}`
      for (const spelling of [toHex(KEY), toBase64Url(KEY), 'oops', KMS_TOKEN]) expect(text).not.toContain(spelling)
      // Neither the key nor the digest before it.
      const sent = (JSON.parse(kms.received.at(-1) ?? '') as { plaintext: string }).plaintext
      expect(text).not.toContain(sent)
    }
  })
})

describe('destroying', () => {
  it('says when a KMS will do it', async () => {
    const kek = await keksWith().keks.create(1)
    kms.scheduleFor = '2026-06-30T00:00:00Z'
    expect(await kek.destroy()).toEqual({ kind: 'scheduled', for: '2026-06-30T00:00:00Z' })
  })
})
