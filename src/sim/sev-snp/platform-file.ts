import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { blobField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import type { SigningKey } from '../../verify/evidence/sev-snp/layout.ts'
import type { AmdProduct } from '../../verify/trust/amd.ts'
import type { SimulatedKey } from '../keys.ts'
import type { SimulatedPlatform } from './platform.ts'

interface PlatformJson {
  readonly v: 1
  readonly type: 'sealgate/simulated-platform/v1'
  readonly product: AmdProduct
  readonly signingKey: SigningKey
  readonly createdAt: number
  readonly tcb: string
  readonly chipId: string
  readonly root: KeyJson
  readonly intermediate: KeyJson
  readonly vek: KeyJson
  readonly crl: string
}

interface KeyJson {
  readonly key: string
  readonly certificate: string
}

const blob = blobField(8192)
const keySchema: z.ZodType<KeyJson> = z.strictObject({ key: blob, certificate: blob })
const platformSchema: z.ZodType<PlatformJson> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/simulated-platform/v1'),
  product: z.enum(['Milan', 'Genoa', 'Turin']),
  signingKey: z.enum(['VCEK', 'VLEK']),
  createdAt: z.number().int().min(0),
  tcb: blob,
  chipId: blob,
  root: keySchema,
  intermediate: keySchema,
  vek: keySchema,
  crl: blob,
})

/** Canonical JSON, private keys included: they are worth nothing outside of tests and the demo. */
export function encodeSimulatedPlatform(platform: SimulatedPlatform): Uint8Array {
  const keyJson = ({ key, certificate }: SimulatedKey): KeyJson => ({ key: toBase64Url(key), certificate: toBase64Url(certificate) })
  return encodeDocument('simulated-platform', platformSchema, {
    v: 1,
    type: 'sealgate/simulated-platform/v1',
    product: platform.product,
    signingKey: platform.signingKey,
    createdAt: platform.createdAt.getTime(),
    tcb: toBase64Url(platform.tcb),
    chipId: toBase64Url(platform.chipId),
    root: keyJson(platform.root),
    intermediate: keyJson(platform.intermediate),
    vek: keyJson(platform.vek),
    crl: toBase64Url(platform.crl),
  })
}

export function parseSimulatedPlatform(bytes: Uint8Array): SimulatedPlatform {
  const json = parseDocument('simulated-platform', platformSchema, bytes)
  const keyOf = ({ key, certificate }: KeyJson): SimulatedKey => ({ key: fromBase64Url(key), certificate: fromBase64Url(certificate) })
  return {
    product: json.product,
    signingKey: json.signingKey,
    createdAt: new Date(json.createdAt),
    tcb: fromBase64Url(json.tcb),
    chipId: fromBase64Url(json.chipId),
    root: keyOf(json.root),
    intermediate: keyOf(json.intermediate),
    vek: keyOf(json.vek),
    crl: fromBase64Url(json.crl),
  }
}
