import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  cryptoProvider,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { concat } from '../../src/verify/bytes/bytes.ts'
import { cbor, entries, type Writable } from './cbor-writer.ts'
import { type Sign1Change, sign1 } from './cose.ts'

cryptoProvider.set(webcrypto as Crypto)

const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' } as const
const ROOT_USAGE = KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign

export const NITRO_AT: Date = new Date('2026-06-15T12:00:00Z')
export const MODULE_ID = 'i-0123456789abcdef0-enc0123456789abcdef'
const LEVELS = ['root', 'regional', 'zonal', 'instance', 'leaf'] as const
type Level = (typeof LEVELS)[number]

/** What one certificate may be made to say instead. */
export interface NitroCertificateChange {
  readonly commonName?: string
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly ca?: boolean
  readonly pathLength?: number
  readonly usage?: number
  readonly curve?: 'P-256' | 'P-384'
  /** Signed by a key that nobody knows. */
  readonly forged?: boolean
  readonly extra?: readonly Extension[]
}

/** A whole document and what to change in it. */
export interface NitroWorld {
  readonly certificates?: Readonly<Partial<Record<Level, NitroCertificateChange>>>
  /** Members to replace; `undefined` takes one out. */
  readonly payload?: Readonly<Record<string, Writable | undefined>>
  readonly bundle?: (bundle: readonly Uint8Array[]) => readonly Uint8Array[]
  readonly indefinite?: boolean
  readonly rawPayload?: (payload: Uint8Array) => Uint8Array
  readonly cose?: Sign1Change
}

export interface NitroCase {
  readonly document: Uint8Array
  /** DER. */
  readonly root: Uint8Array
}

export function pcrValue(index: number): Uint8Array {
  return new Uint8Array(48).fill(0x10 + index)
}

export const PCRS: ReadonlyMap<number, Uint8Array> = new Map(
  Array.from({ length: 16 }, (_, i) => [i, i < 5 || i === 8 ? pcrValue(i) : new Uint8Array(48)] as const),
)

export const NONCE: Uint8Array = new Uint8Array(20).fill(0x4e)
export const USER_DATA: Uint8Array = new Uint8Array(64).fill(0x55)

/** Makes documents as the hypervisor makes them, under a root of its own with throwaway keys. */
export async function nitroDocument(world: NitroWorld = {}): Promise<NitroCase> {
  const chain = await makeChain(world.certificates ?? {})
  const ders = chain.ders
  const [root = new Uint8Array()] = ders
  const bundle = ders.slice(0, -1)
  const members = new Map<string, Writable>([
    ['module_id', MODULE_ID],
    ['digest', 'SHA384'],
    ['timestamp', NITRO_AT.getTime() - 1000],
    ['pcrs', PCRS],
    ['certificate', ders.at(-1) ?? new Uint8Array()],
    ['cabundle', [...(world.bundle?.(bundle) ?? bundle)]],
    ['public_key', null],
    ['user_data', USER_DATA],
    ['nonce', NONCE],
  ])
  for (const [name, value] of Object.entries(world.payload ?? {})) {
    if (value === undefined) members.delete(name)
    else members.set(name, value)
  }
  const whole = world.indefinite === true ? concat(Uint8Array.of(0xbf), entries(members), Uint8Array.of(0xff)) : cbor(members)
  const payload = world.rawPayload?.(whole) ?? whole
  const key = { privateKey: KeyObject.from(chain.leaf), curve: chain.curve, spki: root, pem: root, point: root, jwk: NO_JWK }
  return { document: sign1(payload, key, { tag: null, ...world.cose }), root }
}

const NO_JWK = { kty: '', crv: '', x: '', y: '' }

interface Chain {
  readonly ders: readonly Uint8Array[]
  readonly leaf: webcrypto.CryptoKey
  readonly curve: 'P-256' | 'P-384'
}

async function makeChain(changes: NonNullable<NitroWorld['certificates']>): Promise<Chain> {
  const ders: Uint8Array[] = []
  let issuer: { name: string; key: webcrypto.CryptoKey } | null = null
  let curve: Chain['curve'] = 'P-384'
  for (const [i, level] of LEVELS.entries()) {
    const change = changes[level] ?? {}
    curve = change.curve ?? 'P-384'
    const keys = await webcrypto.subtle.generateKey({ ...P384, namedCurve: curve }, true, ['sign', 'verify'])
    const stranger = change.forged === true ? await webcrypto.subtle.generateKey(P384, true, ['sign', 'verify']) : null
    const isLeaf = level === 'leaf'
    const ca = change.ca ?? !isLeaf
    const name = `C=US, O=SIMULATED by sealgate, OU=AWS, CN=${change.commonName ?? (isLeaf ? `${MODULE_ID}.us-east-1.aws` : `${level}.nitro-enclaves`)}`
    const usage = change.usage ?? (isLeaf ? KeyUsageFlags.digitalSignature : level === 'root' ? ROOT_USAGE : KeyUsageFlags.keyCertSign)
    const certificate = await X509CertificateGenerator.create({
      subject: name,
      issuer: issuer?.name ?? name,
      serialNumber: `${i + 1}`.padStart(16, '4'),
      notBefore: change.notBefore ?? new Date('2026-06-15T11:00:00Z'),
      notAfter: change.notAfter ?? new Date('2026-06-15T14:00:00Z'),
      publicKey: keys.publicKey,
      signingKey: stranger?.privateKey ?? issuer?.key ?? keys.privateKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' },
      extensions: [
        new BasicConstraintsExtension(ca, change.pathLength ?? (ca && level !== 'root' ? Math.max(0, 3 - i) : undefined), true),
        new KeyUsagesExtension(usage, true),
        ...(change.extra ?? []),
      ],
    })
    ders.push(new Uint8Array(certificate.rawData))
    issuer = { name, key: keys.privateKey }
  }
  if (issuer === null) throw new Error('no certificates')
  return { ders, leaf: issuer.key, curve }
}
