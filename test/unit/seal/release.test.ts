import { beforeAll, describe, expect, it } from 'vitest'
import {
  generateKemKey,
  type KemKey,
  type ReleaseContext,
  type ReleasedKeys,
  Secret,
  unwrapRelease,
  type Wrapped,
  wrap,
  wrapRelease,
} from '../../../src/seal/index.ts'
import { toBase64Url, utf8 } from '../../../src/verify/bytes/bytes.ts'
import { crypto } from '../../../src/verify/crypto/node.ts'
import type { ReleaseIntent } from '../../../src/verify/documents/intent.ts'
import { hpkeKeyDigest } from '../../../src/verify/documents/keys.ts'
import { encodeCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { testBytes } from '../../support/keys.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { fixedRandom } from './support.ts'

const digest = (label: string): string => toBase64Url(testBytes(label, 32))

describe('a release', () => {
  let key: KemKey
  let context: ReleaseContext
  let wrapped: Wrapped
  const keys: ReleasedKeys = {
    dek: new Secret(testBytes('dek', 32)),
    useKeys: new Map([[digest('grant'), new Secret(testBytes('useKey', 32))]]),
  }

  beforeAll(async () => {
    key = await generateKemKey('DHKEM-P384,HKDF-SHA384,AES-256-GCM', fixedRandom('release'))
    const intent: ReleaseIntent = {
      v: 1,
      job: digest('job'),
      binding: digest('binding'),
      evidence: digest('evidence'),
      datasets: [digest('dataset'), digest('second dataset')],
      grants: [digest('grant')],
      policies: [digest('policy')],
      slots: [{ grant: digest('grant'), k: 0, tag: digest('tag') }],
      kem: await hpkeKeyDigest(key.publicKey),
      mode: 'direct',
      deadline: '2026-01-31T12:00:00Z',
    }
    context = { intent, leafHash: digest('leaf'), dataset: digest('dataset') }
    wrapped = await wrapRelease(key.publicKey, context, keys)
  })

  it('opens in the context it was made for', async () => {
    const { dek, useKeys } = await unwrapRelease(key, context, wrapped)
    expect(dek.expose()).toEqual(keys.dek.expose())
    expect([...useKeys].map(([grant, k]) => [grant, k.expose()])).toEqual([[digest('grant'), testBytes('useKey', 32)]])
  })

  it('opens in no other context', async () => {
    const changes: Partial<Record<keyof ReleaseIntent, unknown>> = {
      job: digest('x'),
      binding: digest('x'),
      grants: [digest('x')],
      policies: [],
      slots: [{ grant: digest('grant'), k: 1, tag: digest('tag') }],
      mode: 'brokered',
    }
    for (const [field, value] of Object.entries(changes)) {
      const intent = { ...context.intent, [field]: value } as ReleaseIntent
      expect(await outcomeOf(() => unwrapRelease(key, { ...context, intent }, wrapped)), field).toBe('UNWRAP_FAILED')
    }
    for (const slot of [{ grant: digest('x') }, { tag: digest('x') }, { k: 7 }]) {
      const slots = [{ ...context.intent.slots[0], ...slot }] as ReleaseIntent['slots']
      expect(await outcomeOf(() => unwrapRelease(key, { ...context, intent: { ...context.intent, slots } }, wrapped))).toBe('UNWRAP_FAILED')
    }
    expect(await outcomeOf(() => unwrapRelease(key, { ...context, leafHash: digest('x') }, wrapped))).toBe('UNWRAP_FAILED')
    expect(await outcomeOf(() => unwrapRelease(key, { ...context, dataset: digest('second dataset') }, wrapped))).toBe('UNWRAP_FAILED')
  })

  it('does not open with another key', async () => {
    const other = await generateKemKey('DHKEM-P384,HKDF-SHA384,AES-256-GCM', fixedRandom('another'))
    expect(await outcomeOf(() => unwrapRelease(other, context, wrapped))).toBe('UNWRAP_FAILED')
  })

  it('is not made for a key or dataset that the intent does not name', async () => {
    const other = await generateKemKey('DHKEM-P384,HKDF-SHA384,AES-256-GCM', fixedRandom('another'))
    expect(await outcomeOf(() => wrapRelease(other.publicKey, context, keys))).toBe('DOCUMENT_INVALID')
    expect(await outcomeOf(() => wrapRelease(key.publicKey, { ...context, dataset: digest('x') }, keys))).toBe('DOCUMENT_INVALID')
    expect(await outcomeOf(() => unwrapRelease(key, { ...context, dataset: digest('x') }, wrapped))).toBe('DOCUMENT_INVALID')
  })

  it('is not made of keys of another size', async () => {
    const short = { dek: new Secret(new Uint8Array(16)), useKeys: new Map<string, Secret>() }
    expect(await outcomeOf(() => wrapRelease(key.publicKey, context, short))).toBe('DOCUMENT_INVALID')
  })

  it('is refused when its payload has another form', async () => {
    const { binding, grants, job, mode, policies, slots } = context.intent
    const { leafHash, dataset } = context
    const fields = { binding, dataset, grants, job, leafHash, mode, policies, slots: slots.map((s) => ({ ...s })) }
    const aad = await crypto.digest('SHA-256', encodeCanonical(fields))
    for (const payload of [
      '{}',
      '{"dek":"AA","useKeys":{}}',
      `{"dek":"${digest('d')}","useKeys":{},"x":1}`,
      `{"useKeys":{},"dek":"${digest('d')}"}`,
    ]) {
      const forged = await wrap(key.publicKey, 'sealgate/release/v1', aad, utf8(payload))
      expect(await outcomeOf(() => unwrapRelease(key, context, forged))).toMatch(/^(DOCUMENT_INVALID|JSON_NOT_CANONICAL)$/)
    }
    const proper = await wrap(key.publicKey, 'sealgate/release/v1', aad, utf8(`{"dek":"${digest('d')}","useKeys":{}}`))
    expect((await unwrapRelease(key, context, proper)).dek.expose()).toEqual(testBytes('d', 32))
  })
})
