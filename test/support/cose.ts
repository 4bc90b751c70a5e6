import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { concat } from '../../src/verify/bytes/bytes.ts'
import { cbor, type Writable } from './cbor-writer.ts'

/** A throwaway key of one curve, as COSE and JOSE use it. */
export interface EcKey {
  readonly privateKey: KeyObject
  readonly curve: 'P-256' | 'P-384'
  readonly spki: Uint8Array
  readonly pem: Uint8Array
  /** x‖y */
  readonly point: Uint8Array
  readonly jwk: { readonly kty: string; readonly crv: string; readonly x: string; readonly y: string }
}

export function ecKey(curve: EcKey['curve']): EcKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
  const pem = new TextEncoder().encode(publicKey.export({ format: 'pem', type: 'spki' }) as string)
  const jwk = publicKey.export({ format: 'jwk' }) as unknown as EcKey['jwk']
  return { privateKey, curve, spki, pem, jwk, point: spki.slice(curve === 'P-256' ? -64 : -96) }
}

/** A COSE_Key with both coordinates. */
export function coseKey({ curve, point }: EcKey): Uint8Array {
  const [x, y] = [point.slice(0, point.length / 2), point.slice(point.length / 2)]
  return cbor(
    new Map<number, Writable>([
      [1, 2],
      [-1, curve === 'P-256' ? 1 : 2],
      [-2, x],
      [-3, y],
    ]),
  )
}

/** What a message may be made to say instead. */
export interface Sign1Change {
  readonly protectedBytes?: Uint8Array
  readonly unprotected?: Writable
  readonly tag?: number | null
  readonly signature?: Uint8Array
  readonly signed?: Uint8Array
}

const TAG_18 = Uint8Array.of(0xd2)

export function sign1(payload: Uint8Array, { privateKey, curve }: EcKey, change: Sign1Change = {}): Uint8Array {
  const alg = curve === 'P-256' ? -7 : -35
  const protectedBytes = change.protectedBytes ?? cbor(new Map([[1, alg]]))
  const toSign = cbor(['Signature1', protectedBytes, new Uint8Array(), change.signed ?? payload])
  const hash = curve === 'P-256' ? 'sha256' : 'sha384'
  const signature = change.signature ?? new Uint8Array(sign(hash, toSign, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
  const message = cbor([protectedBytes, change.unprotected ?? new Map(), payload, signature])
  return change.tag === null ? message : concat(TAG_18, message)
}
