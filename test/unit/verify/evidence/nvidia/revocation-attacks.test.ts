import { beforeAll, describe, expect, it } from 'vitest'
import {
  answer,
  devicePairs,
  encodeChain,
  issueResponder,
  type NamedKey,
  type OcspFields,
  type OcspPair,
  responderExtensions,
  rimPairs,
  rimsOf,
} from '../../../../../src/sim/index.ts'
import { concat } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import type { VerifyOptions } from '../../../../../src/verify/evidence/types.ts'
import { testBytes } from '../../../../support/keys.ts'
import { ANSWERED, AT, look, MADE, type NvidiaWorld, nvidiaWorld, objections, signedReport } from '../../../../support/nvidia.ts'

const SUBJECTS = ['device-brom', 'device-provisioner', 'device-identity', 'driver-rim-0', 'driver-rim-1', 'driver-rim-2'] as const

let world: NvidiaWorld
let report: Uint8Array
let pairs: readonly OcspPair[]
let others: readonly Uint8Array[]
beforeAll(async () => {
  world = await nvidiaWorld()
  const [device] = world.hopper.gpus
  if (device === undefined) throw new Error('no device')
  report = signedReport(device)
  pairs = [...devicePairs(world.nvidia, device), ...rimPairs(world.nvidia, 'GH100')]
  others = [encodeChain(device.chain), ...rimsOf(world.nvidia, 'GH100')]
})

/** Shared on purpose: nothing that it keeps may let an attack through. */
const cache = createVerifyCache()

/** What objects when the answer about one subject is this one; null: there is none. */
async function rulesWith(
  subject: number,
  made: (pair: OcspPair) => Uint8Array | null,
  more: Partial<VerifyOptions> = {},
): Promise<readonly string[]> {
  const answers = pairs.flatMap((pair, i) => (i === subject ? (made(pair) ?? []) : answer(pair, ANSWERED)))
  return objections(await look(world, report, [...others, ...answers], { cache, ...more }))
}

const changed = (subject: number, change: Partial<OcspFields>, more: Partial<VerifyOptions> = {}): Promise<readonly string[]> =>
  rulesWith(subject, (pair) => answer(pair, ANSWERED, change), more)

function pairOf(subject: number): OcspPair {
  const pair = pairs[subject]
  if (pair === undefined) throw new Error('no such subject')
  return pair
}

const HOLD = { at: MADE, reason: 'certificateHold' } as const
const hours = (n: number): Date => new Date(AT.getTime() + n * 60 * 60 * 1000)

describe.each(SUBJECTS.map((name, i) => [name, i] as const))('the OCSP answer about %s', (name, subject) => {
  const isRim = name.startsWith('driver')

  it('is needed, good and of now', async () => {
    expect(await changed(subject, {})).toEqual([])
    expect(await rulesWith(subject, () => null)).toEqual([`revocation.${name}=unknown`])
    expect(await changed(subject, { status: 'unknown' })).toEqual([`revocation.${name}=unknown`])
    expect(await changed(subject, { thisUpdate: hours(-48), nextUpdate: hours(-1) })).toEqual([`revocation.${name}=unknown`])
    expect(await changed(subject, { thisUpdate: hours(1), nextUpdate: hours(24) })).toEqual([`revocation.${name}=unknown`])
    expect(await changed(subject, { nextUpdate: null })).toEqual([`revocation.${name}=unknown`])
  })

  it('says that the certificate is revoked, and is believed for good', async () => {
    const status = { at: MADE, reason: 'keyCompromise' } as const
    expect(await changed(subject, { status })).toEqual([`revocation.${name}=fail`])
    expect(await changed(subject, { status: { at: MADE, reason: 'unspecified' } })).toEqual([`revocation.${name}=fail`])
    expect(await changed(subject, { status, thisUpdate: hours(-48), nextUpdate: hours(-1) })).toEqual([`revocation.${name}=fail`])
    const pair = pairOf(subject)
    const both = [answer(pair, ANSWERED), answer(pair, new Date(ANSWERED.getTime() - 1000), { status })]
    expect(objections(await look(world, report, [...others, ...pairs.map((p) => answer(p, ANSWERED)), ...both]))).toEqual([
      `revocation.${name}=fail`,
    ])
  })

  it('says that the certificate is on hold: forgiven only to signers of manifests, and only by name', async () => {
    expect(await changed(subject, { status: HOLD })).toEqual([`revocation.${name}=fail`])
    const forgiving = await changed(subject, { status: HOLD }, { nvidia: { allowCertificateHold: true } })
    expect(forgiving).toEqual(isRim ? [] : [`revocation.${name}=fail`])
  })

  it('counts only about this very certificate', async () => {
    const another = pairOf((subject + 1) % SUBJECTS.length)
    expect(await rulesWith(subject, ({ issuer }) => answer({ certificate: another.certificate, issuer }, ANSWERED))).toEqual([
      `revocation.${name}=unknown`,
    ])
    const misnamed = await rulesWith(subject, ({ certificate, issuer }) =>
      answer({ certificate, issuer: another.issuer }, ANSWERED, {}, issuer.responder),
    )
    expect(misnamed).toEqual([`revocation.${name}=unknown`])
    for (const hash of ['sha1', 'sha256'] as const) expect(await changed(subject, { hash })).toEqual([])
  })

  it('counts only from a responder that the certificate’s issuer named', async () => {
    const { issuer } = pairOf(subject)
    const by = (responder: NamedKey): Promise<readonly string[]> => rulesWith(subject, (pair) => answer(pair, ANSWERED, {}, responder))
    const forged = [`signature.ocsp-${name}=fail`, `revocation.${name}=unknown`]
    expect(await by(issuer)).toEqual([])
    expect(await by(world.nvidia.provisioners.GB100.responder)).toEqual(forged)
    expect(await by(await issueResponder(issuer, MADE, { extensions: responderExtensions(['1.3.6.1.5.5.7.3.1']) }))).toEqual(forged)
    expect(await by(await issueResponder(issuer, MADE, { extensions: responderExtensions(['2.5.29.37.0']) }))).toEqual(forged)
    const renamed = await issueResponder(world.nvidia.provisioners.GB100, MADE, { name: issuer.responder.name })
    expect(await by(renamed)).toEqual(forged)
    expect(await by({ ...issuer.responder, certificate: renamed.certificate })).toEqual(forged)
    expect(await by({ ...renamed, certificate: issuer.responder.certificate })).toEqual(forged)
    const expired = await issueResponder(issuer, MADE, { notAfter: hours(-1) })
    expect(await by(expired)).toEqual([`revocation.${name}=unknown`])
  })

  it('counts only as it was signed, whatever bit is changed', async () => {
    const genuine = answer(pairOf(subject), ANSWERED)
    for (let i = 0; i < genuine.length; i += 37) {
      const flipped = genuine.map((b, k) => (k === i ? b ^ (1 << (i % 8)) : b))
      expect(await rulesWith(subject, () => flipped), `byte ${i}`).not.toEqual([])
    }
    expect(await rulesWith(subject, () => concat(genuine, new Uint8Array(1)))).toEqual(['format.well-formed=fail'])
  })
})

describe('a policy about OCSP answers', () => {
  it('may set an age', async () => {
    const ask = (maxAgeSeconds: number): Promise<readonly string[]> => changed(0, {}, { nvidia: { ocsp: { maxAgeSeconds } } })
    expect(await ask(12 * 3600)).toEqual([])
    expect(await ask(12 * 3600 - 1)).toEqual(SUBJECTS.map((name) => `revocation.${name}=unknown`))
  })

  it('may ask for a nonce', async () => {
    const nonce = testBytes('ocsp nonce', 32)
    const answers = (value: Uint8Array | null): readonly Uint8Array[] => pairs.map((pair) => answer(pair, ANSWERED, { nonce: value }))
    const ask = async (value: Uint8Array | null): Promise<readonly string[]> =>
      objections(await look(world, report, [...others, ...answers(value)], { nvidia: { ocsp: { nonce } } }))
    expect(await ask(nonce)).toEqual([])
    expect(await ask(testBytes('another', 32))).toEqual(SUBJECTS.map((name) => `revocation.${name}=unknown`))
    expect(await ask(null)).toEqual(SUBJECTS.map((name) => `revocation.${name}=unknown`))
  })
})
