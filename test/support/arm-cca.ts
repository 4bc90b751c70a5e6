import { createHash } from 'node:crypto'
import { concat } from '../../src/verify/bytes/bytes.ts'
import { cbor, type Writable } from './cbor-writer.ts'
import { coseKey, type EcKey, ecKey, type Sign1Change, sign1 } from './cose.ts'

/** A whole token and what to change in it. `undefined` takes a claim out. */
export interface CcaWorld {
  readonly cpak?: EcKey
  readonly rak?: EcKey
  readonly platform?: Readonly<Record<number, Writable | undefined>>
  readonly realm?: Readonly<Record<number, Writable | undefined>>
  /** With a profile the realm's key is a COSE_Key, without one a bare point. */
  readonly legacy?: boolean
  readonly tag?: Uint8Array
  readonly parts?: (parts: Map<number, Writable>) => Map<number, Writable>
  readonly platformCose?: Sign1Change
  readonly realmCose?: Sign1Change
}

export const CHALLENGE: Uint8Array = new Uint8Array(64).fill(0xc1)
export const RIM: Uint8Array = new Uint8Array(32).fill(0x41)
export const PERSONALIZATION: Uint8Array = new Uint8Array(64).fill(0x50)
export const IMPLEMENTATION_ID: Uint8Array = new Uint8Array(32).fill(0x1d)
export const INSTANCE_ID: Uint8Array = Uint8Array.of(1, ...new Uint8Array(32).fill(0x22))
export const rem = (i: number): Uint8Array => new Uint8Array(32).fill(0x60 + i)
export const firmware = (i: number): { type: string; measurement: Uint8Array; signerId: Uint8Array } => ({
  type: `FW${i}`,
  measurement: new Uint8Array(32).fill(0x70 + i),
  signerId: new Uint8Array(32).fill(0x80 + i),
})

const TAG_399 = Uint8Array.of(0xd9, 0x01, 0x8f)

export function component(i: number): Map<number, Writable> {
  const { type, measurement, signerId } = firmware(i)
  return new Map<number, Writable>([
    [1, type],
    [2, measurement],
    [4, '1.0'],
    [5, signerId],
    [6, 'sha-256'],
  ])
}

/** Makes tokens as a CCA platform makes them, with throwaway keys. */
export function ccaToken(world: CcaWorld = {}): { readonly token: Uint8Array; readonly cpak: EcKey } {
  const cpak = world.cpak ?? ecKey('P-384')
  const rak = world.rak ?? ecKey('P-384')
  const publicKey = world.legacy === true ? concat(Uint8Array.of(4), rak.point) : coseKey(rak)
  const challenge = new Uint8Array(createHash('sha256').update(publicKey).digest())
  const realm = claims(
    [
      ...(world.legacy === true ? [] : [[265, 'tag:arm.com,2023:realm#1.0.0'] as const]),
      [10, CHALLENGE],
      [44235, PERSONALIZATION],
      [44236, 'sha-256'],
      [44237, publicKey],
      [44238, RIM],
      [44239, [rem(0), rem(1), rem(2), rem(3)]],
      [44240, 'sha-256'],
    ],
    world.realm,
  )
  const platform = claims(
    [
      [265, world.legacy === true ? 'http://arm.com/CCA-SSD/1.0.0' : 'tag:arm.com,2023:cca_platform#1.0.0'],
      [10, challenge],
      [2396, IMPLEMENTATION_ID],
      [256, INSTANCE_ID],
      [2401, Uint8Array.of(0xcf)],
      [2395, 0x3000],
      [2399, [component(0), component(1)]],
      [2400, 'https://verifier.example'],
      [2402, 'sha-256'],
    ],
    world.platform,
  )
  const parts = new Map<number, Writable>([
    [44234, sign1(cbor(platform), cpak, world.platformCose)],
    [44241, sign1(cbor(realm), rak, world.realmCose)],
  ])
  return { token: concat(world.tag ?? TAG_399, cbor(world.parts?.(parts) ?? parts)), cpak }
}

function claims(
  members: readonly (readonly [number, Writable])[],
  change: Readonly<Record<number, Writable | undefined>> = {},
): Map<number, Writable> {
  const out = new Map<number, Writable>(members)
  for (const [key, value] of Object.entries(change)) {
    if (value === undefined) out.delete(Number(key))
    else out.set(Number(key), value)
  }
  return out
}

/** A PSA token with the labels of RFC 9783. */
export function psaToken(iak: EcKey, change: Readonly<Record<number, Writable | undefined>> = {}): Uint8Array {
  const members = claims(
    [
      [265, 'tag:psacertified.org,2023:psa#tfm'],
      [10, CHALLENGE],
      [2394, -1],
      [256, INSTANCE_ID],
      [2396, IMPLEMENTATION_ID],
      [2395, 0x3001],
      [2397, new Uint8Array(32)],
      [2399, [component(0)]],
    ],
    change,
  )
  return sign1(cbor(members), iak)
}
