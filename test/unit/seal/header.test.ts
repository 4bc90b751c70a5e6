import { inspect } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  checkKeyCommitment,
  createDatasetHeader,
  createResultHeader,
  generateKemKey,
  headerDigest,
  type KemKey,
  type KeyedHeader,
  openResultKey,
  Secret,
  unwrapFromKeyring,
  wrapForKeyring,
} from '../../../src/seal/index.ts'
import { toBase64Url } from '../../../src/verify/bytes/bytes.ts'
import { parseHeader, type ResultHeader } from '../../../src/verify/documents/header.ts'
import { DEFAULT_HPKE_SUITE, HPKE_SUITES, hpkeKeyDigest } from '../../../src/verify/documents/keys.ts'
import { testBytes } from '../../support/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { fixedRandom, LEGAL } from './support.ts'

const owner = toBase64Url(testBytes('owner', 32))
const job = toBase64Url(testBytes('job', 32))

describe('a dataset header', () => {
  it('is canonical, commits to its key and is named by its digest', async () => {
    const { header, bytes, digest, dek } = await createDatasetHeader({
      content: 'file',
      plaintextSize: 5,
      owner,
      legal: LEGAL,
      random: fixedRandom('a'),
    })
    expect(parseHeader(bytes)).toEqual(header)
    expect(digest).toBe(await headerDigest(bytes))
    expect(dek.expose().length).toBe(32)
    await checkKeyCommitment(header, dek)
    expect(await outcomeOf(() => checkKeyCommitment(header, new Secret(new Uint8Array(32))))).toBe('KEY_COMMITMENT_MISMATCH')
    expect(await outcomeOf(() => checkKeyCommitment({ ...header, salt: job }, dek))).toBe('KEY_COMMITMENT_MISMATCH')
  })

  it('shares nothing with the next one', async () => {
    const random = fixedRandom('b')
    const [a, b] = [
      await createDatasetHeader({ content: 'file', plaintextSize: 5, owner, legal: LEGAL, random }),
      await createDatasetHeader({ content: 'file', plaintextSize: 5, owner, legal: LEGAL, random }),
    ]
    expect(a.header.datasetId).not.toBe(b.header.datasetId)
    expect(a.header.salt).not.toBe(b.header.salt)
    expect(a.dek.expose()).not.toEqual(b.dek.expose())
  })

  it('is not made from a random source that runs short', async () => {
    const short = (size: number): Uint8Array => new Uint8Array(size - 1)
    const made = createDatasetHeader({ content: 'file', plaintextSize: 5, owner, legal: LEGAL, random: short })
    await expect(made).rejects.toMatchObject({ code: 'INTERNAL' })
    await expect(generateKemKey(DEFAULT_HPKE_SUITE, short)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  it('is refused when it would not be read back', async () => {
    const make = (plaintextSize: number, who: string) =>
      outcomeOf(() => createDatasetHeader({ content: 'file', plaintextSize, owner: who, legal: LEGAL, random: fixedRandom('c') }))
    expect(await make(-1, owner)).toBe('DOCUMENT_INVALID')
    expect(await make(1.5, owner)).toBe('DOCUMENT_INVALID')
    expect(await make(1, 'me')).toBe('DOCUMENT_INVALID')
  })
})

describe('a result header', () => {
  let recipients: KemKey[]
  let result: KeyedHeader<ResultHeader>
  beforeAll(async () => {
    recipients = await Promise.all(HPKE_SUITES.map((suite) => generateKemKey(suite, fixedRandom(suite))))
    result = await createResultHeader({ plaintextSize: 9, job, recipients: recipients.map((r) => r.publicKey), random: fixedRandom('r') })
  })

  it('gives its key to every recipient', async () => {
    for (const key of recipients) {
      expect((await openResultKey(parseHeader(result.bytes) as ResultHeader, key)).expose()).toEqual(result.dek.expose())
    }
  })

  it('gives its key to nobody else', async () => {
    const stranger = await generateKemKey(DEFAULT_HPKE_SUITE, fixedRandom('stranger'))
    expect(await outcomeOf(() => openResultKey(result.header, stranger))).toBe('UNWRAP_FAILED')
    const mine = await hpkeKeyDigest(stranger.publicKey)
    const claimed = { ...result.header, recipients: result.header.recipients.map((r) => ({ ...r, recipient: mine })) }
    expect(await outcomeOf(() => openResultKey(claimed, stranger))).toBe('UNWRAP_FAILED')
  })

  it('does not give its key for another job, nor a key that it does not commit to', async () => {
    for (const key of recipients) {
      expect(await outcomeOf(() => openResultKey({ ...result.header, job: owner }, key))).toBe('UNWRAP_FAILED')
      expect(await outcomeOf(() => openResultKey({ ...result.header, keyCommitment: owner }, key))).toBe('KEY_COMMITMENT_MISMATCH')
    }
  })
})

describe('the keyring', () => {
  it('keeps the key of a dataset for its owner alone', async () => {
    const [mine, other] = [
      await generateKemKey(DEFAULT_HPKE_SUITE, fixedRandom('m')),
      await generateKemKey(DEFAULT_HPKE_SUITE, fixedRandom('o')),
    ]
    const dataset = await createDatasetHeader({ content: 'file', plaintextSize: 5, owner, legal: LEGAL, random: fixedRandom('d') })
    const second = await createDatasetHeader({ content: 'file', plaintextSize: 5, owner, legal: LEGAL, random: fixedRandom('e') })
    const kept = await wrapForKeyring(mine.publicKey, dataset.bytes, dataset.dek)
    expect((await unwrapFromKeyring(mine, dataset.bytes, kept)).expose()).toEqual(dataset.dek.expose())
    expect(await outcomeOf(() => unwrapFromKeyring(other, dataset.bytes, kept))).toBe('UNWRAP_FAILED')
    expect(await outcomeOf(() => unwrapFromKeyring(mine, second.bytes, kept))).toBe('UNWRAP_FAILED')
    expect(await outcomeOf(() => wrapForKeyring(mine.publicKey, dataset.bytes, second.dek))).toBe('KEY_COMMITMENT_MISMATCH')
  })
})

describe('a secret', () => {
  it('shows itself in no text', () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i)
    const secret = new Secret(bytes)
    for (const text of [
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true, depth: 9 }),
      inspect(structuredClone(secret)),
    ]) {
      for (const b of bytes) expect(text).not.toMatch(new RegExp(`\\b${b}\\b|${b.toString(16)}`))
    }
  })

  it('is gone after it was wiped', () => {
    const bytes = new Uint8Array(4).fill(9)
    const secret = new Secret(bytes)
    expect(secret.expose()).toBe(bytes)
    secret.wipe()
    expect(bytes).toEqual(new Uint8Array(4))
    expect(() => secret.expose()).toThrow('destroyed')
  })
})
