import { afterAll, describe, expect, it } from 'vitest'
import { concat, toHex } from '../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../src/verify/evidence/cache.ts'
import { decodeCbor } from '../../../src/verify/formats/cbor.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../src/verify/verify-evidence.ts'
import { cbor, type Writable } from '../../support/cbor-writer.ts'
import { ecKey } from '../../support/cose.ts'
import { readManifest, readVector, vectorsFolder } from '../../support/vectors.ts'

interface Entry {
  readonly id: string
  readonly evidence_files: { readonly token: string }
  readonly collateral_files: { readonly cpak_public: string }
  readonly base: string
  readonly recipes?: readonly { readonly op: string }[]
}

const folder = vectorsFolder('arm-cca')
const AT = new Date('2026-11-26T00:00:00Z')
const TAG_399 = Uint8Array.of(0xd9, 0x01, 0x8f)
const decode = (bytes: Uint8Array): unknown => decodeCbor(bytes, 'x', { maxSize: bytes.length })
const cache = createVerifyCache()

describe.skipIf(folder === null)('changes to an Arm CCA token', () => {
  const all = folder === null ? [] : readManifest<readonly Entry[]>(folder)
  const list = all.find((c) => c.recipes !== undefined)
  const base = all.find((c) => c.id === list?.base)
  const legacy = all.find((c) => c.id === 'cca-tf-rmm-legacy')
  if (list?.recipes === undefined || base === undefined || legacy === undefined) return
  const { recipes } = list
  const read = (path: string): Uint8Array => readVector(folder ?? '', path)
  const token = read(base.evidence_files.token)
  const cpak = read(base.collateral_files.cpak_public)
  const partsOf = (bytes: Uint8Array): Map<number, Uint8Array> => decode(bytes.subarray(3)) as Map<number, Uint8Array>
  const join = (platform: Uint8Array, realm: Uint8Array): Uint8Array =>
    concat(
      TAG_399,
      cbor(
        new Map([
          [44234, platform],
          [44241, realm],
        ]),
      ),
    )
  const parts = partsOf(token)
  const [platform = new Uint8Array(), realm = new Uint8Array()] = [parts.get(44234), parts.get(44241)]
  const changed = (part: Uint8Array, key: number, value: Writable): Uint8Array => {
    const [head, open, payload, signature] = decode(part.subarray(1)) as [Uint8Array, Writable, Uint8Array, Uint8Array]
    const claims = new Map([...(decode(payload) as Map<number, Writable>), [key, value] as const])
    return concat(Uint8Array.of(0xd2), cbor([head, open, cbor(claims), signature]))
  }
  const withHeader = (part: Uint8Array, alg: number): Uint8Array => {
    const [, open, payload, signature] = decode(part.subarray(1)) as [Uint8Array, Writable, Uint8Array, Uint8Array]
    return concat(Uint8Array.of(0xd2), cbor([cbor(new Map([[1, alg]])), open, payload, signature.slice(0, 64)]))
  }

  function look(bytes: Uint8Array, { key = cpak, nonce }: { key?: Uint8Array; nonce?: Uint8Array } = {}): Promise<EvidenceVerdict> {
    const asked = nonce === undefined ? {} : { nonce }
    return verifyEvidence(bytes, { collateral: [], trustAnchors: [key], at: AT, allowUnknown: [], cache, ...asked })
  }

  let refused = 0
  let flips = 0
  afterAll(() => console.log(`Arm CCA: ${refused} of ${recipes.length} recipes refused; ${flips} single-bit flips refused`))

  const [, , realmPayload = realm] = decode(realm.subarray(1)) as Uint8Array[]
  const challenge = (decode(realmPayload) as Map<number, Uint8Array>).get(10)
  const other = challenge?.map((b, i) => (i === 63 ? b ^ 1 : b))
  const changes: Readonly<Record<string, () => Promise<EvidenceVerdict>>> = {
    'realm token of cca-tf-rmm-legacy with the platform token of this one': () =>
      look(join(platform, partsOf(read(legacy.evidence_files.token)).get(44241) ?? realm)),
    'expected challenge differs in one byte': () => look(token, { nonce: other ?? new Uint8Array() }),
    'verify with another CPAK': () => look(token, { key: ecKey('P-384').pem }),
    'alg header -7 with a P-384 key': () => look(join(withHeader(platform, -7), realm)),
    'lifecycle 2395 outside 0x3000-0x30ff (secured) or debug 0x4000..': () => look(join(changed(platform, 2395, 0x4000), realm)),
    'realm alg id 44240 changed to sha-512 while platform challenge is 32 bytes': () =>
      look(join(platform, changed(realm, 44240, 'sha-512'))),
    '44241 swapped with 44234': () => look(join(realm, platform)),
    'outer tag 399 replaced by 907': () => look(concat(Uint8Array.of(0xd9, 0x03, 0x8b), token.subarray(3))),
  }

  it('the token as it is, is accepted with its challenge', async () => {
    const verdict = await look(token, challenge === undefined ? {} : { nonce: challenge })
    expect(verdict.decision === 'accept' && verdict.claims.reportData).toBe(toHex(challenge ?? new Uint8Array()))
  })

  it.each(recipes)('$op', async ({ op }) => {
    const make = changes[op]
    if (make === undefined) throw new Error('no such change here')
    expect((await make()).decision).toBe('reject')
    refused++
  })

  it('every flipped bit of every 32nd byte is refused, and every truncation', async () => {
    for (let i = 0; i < token.length; i += 32) {
      for (let bit = 0; bit < 8; bit++, flips++) {
        const flipped = token.map((b, at) => (at === i ? b ^ (1 << bit) : b))
        expect((await look(flipped)).decision).toBe('reject')
      }
    }
    for (let size = 1; size < token.length; size += 7) expect((await look(token.slice(0, size))).decision).toBe('reject')
  })
})
