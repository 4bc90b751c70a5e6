import { describe, expect, it } from 'vitest'
import { cosign } from '../../../../src/seal/note.ts'
import { encodeReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { RetiredKey, TrustFile } from '../../../../src/verify/documents/trust.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { COSIGNATURE_ED25519, encodeVerifierKey } from '../../../../src/verify/tlog/index.ts'
import { exitCodeOf } from '../../../../src/verify/verdict.ts'
import { buildEvent } from '../../../support/event-builder.ts'
import { gateway, log, logKey, ownerThumbprint, T0 } from '../../../support/job-documents.ts'
import { noteSigner } from '../../../support/keys.ts'
import { buildReceipt, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

const witnesses = ['w1.example', 'w2.example', 'w3.example'].map((name) => noteSigner(name))
const [w1, w2, w3] = witnesses as [(typeof witnesses)[0], (typeof witnesses)[0], (typeof witnesses)[0]]
const keyOf = (w: (typeof witnesses)[0]): Promise<string> =>
  encodeVerifierKey({ name: w.name, type: COSIGNATURE_ED25519, publicKey: w.publicKey })
const all = (await Promise.all(witnesses.map(keyOf))).sort()
const policy = { witnessing: { mode: 'quorum', k: 2, keys: all } } as const
const trust: TrustFile = { ...sampleTrust, witnesses: all }
const GATEWAY = gateway.jwk.x

const instant = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
/** The release of the sample job is proven at T0, its ending at T0 + 40. */
const at = (kind: RetiredKey['kind'], key: string, seconds: number, compromised = false): RetiredKey => ({
  kind,
  key,
  at: instant(seconds),
  compromised,
})
const dated = (...retired: readonly RetiredKey[]): TrustFile => ({ ...trust, retired })

async function verify(retired: TrustFile, changes: Partial<Plan> = {}): Promise<ReceiptVerdict> {
  return verifyReceiptFile((await buildReceipt({ policy, cosigners: [w1, w2], ...changes })).bytes, { trust: retired })
}

function failed(verdict: ReceiptVerdict): string[] {
  return [...new Set(verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule))]
}

describe.each([
  ['gateway', GATEWAY, T0 + 40],
  ['log', logKey, T0 + 40],
  ['owner', ownerThumbprint, T0],
] as const)('a %s key with a date', (kind, key, signed) => {
  it('keeps what it signed before', async () => {
    const verdict = await verify(dated(at(kind, key, signed + 1)))
    expect(failed(verdict)).toEqual([])
    expect(verdict.decision).toBe('accept')
    expect(verdict.checks).toContainEqual(expect.objectContaining({ rule: `policy.retired-${kind}`, outcome: 'pass' }))
  })

  it.each([
    [signed, 'at that very second'],
    [signed - 1, 'a second later'],
  ])('counts for nothing that is first proven %#', async (seconds) => {
    const verdict = await verify(dated(at(kind, key, seconds)))
    expect(failed(verdict)).toEqual([`policy.retired-${kind}`])
    expect(verdict).toMatchObject({ decision: 'reject', error: { code: 'KEY_RETIRED' } })
    expect(exitCodeOf(verdict.checks)).toBe(5)
  })

  it('says by its own code that it was in wrong hands', async () => {
    const verdict = await verify(dated(at(kind, key, signed, true)))
    expect(failed(verdict)).toEqual([`policy.compromised-${kind}`])
    expect(verdict).toMatchObject({
      error: { code: 'KEY_COMPROMISED', message: expect.stringMatching(/somebody else may have signed this/) },
    })
    expect((await verify(dated(at(kind, key, signed + 1, true)))).decision).toBe('accept')
  })

  it('proves nothing where no witnesses are demanded, however old the log says that it is', async () => {
    const bytes = (await buildReceipt()).bytes
    expect((await verifyReceiptFile(bytes, { trust: sampleTrust })).decision).toBe('accept')
    const verdict = await verifyReceiptFile(bytes, { trust: { ...sampleTrust, retired: [at(kind, key, T0 + 1_000_000)] } })
    expect(failed(verdict)).toEqual([`policy.retired-${kind}`])
    expect(verdict).toMatchObject({ error: { code: 'KEY_RETIRED', message: expect.stringMatching(/witnessing: none/) } })
  })
})

describe('a backdated receipt of a retired gateway key is refused:', () => {
  it('by its own word older than the date', async () => {
    const predicate = { timing: { notBefore: T0 - 500, notAfter: T0 - 400 } }
    const verdict = await verify(dated(at('gateway', GATEWAY, T0 + 10)), { predicate })
    expect(failed(verdict)).toContain('policy.retired-gateway')
    expect(verdict.decision).toBe('reject')
  })

  it('with the help of one witness of a quorum, who says that it saw it earlier', async () => {
    const { file } = await buildReceipt({ policy, cosigners: [w1, w2] })
    const honest = file.log.ending.checkpoint
    const others = honest
      .split('\n')
      .filter((line) => !line.startsWith(`— ${w2.name} `))
      .join('\n')
    const checkpoint = await cosign(others, w2, T0 + 20)
    const bytes = encodeReceiptFile({ ...file, log: { ...file.log, ending: { ...file.log.ending, checkpoint } } })
    expect((await verifyReceiptFile(bytes, { trust })).decision).toBe('accept')
    const verdict = await verifyReceiptFile(bytes, { trust: dated(at('gateway', GATEWAY, T0 + 30)) })
    expect(failed(verdict)).toEqual(['policy.retired-gateway'])
  })

  it('with the help of a quorum of compromised witnesses, whenever they say that it was', async () => {
    const keys = [await keyOf(w1), await keyOf(w2)]
    const gone = keys.map((key) => at('witness', key, T0 + 1000, true))
    const verdict = await verify(dated(at('gateway', GATEWAY, T0 + 100), ...gone))
    expect(failed(verdict)).toEqual(['policy.compromised-witness'])
    expect(verdict).toMatchObject({ error: { code: 'KEY_COMPROMISED' } })
  })
})

describe('a retired witness', () => {
  it('is not needed where the others are a quorum', async () => {
    const verdict = await verify(dated(at('witness', await keyOf(w3), T0 - 1000)), { cosigners: witnesses })
    expect(failed(verdict)).toEqual([])
    expect(verdict.decision).toBe('accept')
  })

  it('still counts for what the quorum saw in its time', async () => {
    expect((await verify(dated(at('witness', await keyOf(w2), T0 + 41)))).decision).toBe('accept')
  })

  it('does not count for what came later', async () => {
    const verdict = await verify(dated(at('witness', await keyOf(w2), T0 + 40)))
    expect(failed(verdict)).toEqual(['policy.retired-witness'])
    expect(verdict).toMatchObject({ error: { code: 'KEY_RETIRED' } })
  })
})

describe('an event under a retired gateway key', () => {
  it.each(['erasure', 'revocation', 'hold'] as const)('%s is accepted before its date and refused after', async (type) => {
    const { bytes } = await buildEvent(type, { policy, cosigners: [w1, w2] })
    expect((await verifyReceiptFile(bytes, { trust: dated(at('gateway', GATEWAY, T0 + 1)) })).decision).toBe('accept')
    const verdict = await verifyReceiptFile(bytes, { trust: dated(at('gateway', GATEWAY, T0)) })
    expect(failed(verdict)).toEqual(['policy.retired-gateway'])
    expect(verdict).toMatchObject({ error: { code: 'KEY_RETIRED' } })
  })

  it('onboarding is refused: no policy, no witnesses, no time', async () => {
    const { bytes } = await buildEvent('onboard', { cosigners: [log] })
    const verdict = await verifyReceiptFile(bytes, { trust: { ...sampleTrust, retired: [at('gateway', GATEWAY, T0 + 1000)] } })
    expect(failed(verdict)).toEqual(['policy.retired-gateway'])
  })
})
