import { z } from 'zod'
import { fromBase64Url, fromHex, fromUtf8, toBase64Url, utf8 } from '../../verify/bytes/bytes.ts'
import { blobField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import { pemText } from '../../verify/evidence/dcap/collateral-json.ts'
import { parseQuote } from '../../verify/evidence/dcap/quote.ts'
import type { IntelDates } from './collateral.ts'
import { attestIntel, createIntelKeys, intelFields, signQuote } from './intel.ts'
import type { TdFields } from './quote.ts'

/** One simulated TDX machine with the collateral that its quotes need. What it signs says SIMULATED and proves nothing. */
export interface SimulatedTdxPlatform {
  readonly createdAt: Date
  /** Root certificate, DER. */
  readonly root: Uint8Array
  /** Keys of the PCK certificate and of the quoting enclave, PKCS #8 DER. */
  readonly leaf: Uint8Array
  readonly attestation: Uint8Array
  /** PCK chain, PEM. */
  readonly chain: string
  /** TCB info, identity and CRLs: JSON, UTF-8. */
  readonly collateral: Uint8Array
}

export interface TdxPlatformOptions {
  /** Start of everything's validity. */
  readonly at: Date
  /** Validity of certificates, CRLs and documents in days. */
  readonly days?: number
}

/** What a simulated TD asks for. Any other field of the report may be set too; it is signed as given. */
export interface TdAttestRequest extends TdFields {
  /** 64 bytes. */
  readonly reportData: Uint8Array
  /** 48 bytes. */
  readonly mrTd: Uint8Array
}

const DAY_MS = 24 * 60 * 60 * 1000
const DEFAULT_DAYS = 3650

export async function createSimulatedTdx({ at, days = DEFAULT_DAYS }: TdxPlatformOptions): Promise<SimulatedTdxPlatform> {
  const keys = createIntelKeys()
  const end = new Date(at.getTime() + days * DAY_MS)
  const dates = datesFrom(at, end)
  const { quote, json, root } = await attestIntel(keys, intelFields('tdx', dates), dates)
  const chain = pemText(parseQuote(quote).certificationData)
  return { createdAt: at, root, leaf: keys.leaf, attestation: keys.attestation, chain, collateral: utf8(JSON.stringify(json)) }
}

function datesFrom(at: Date, end: Date): IntelDates {
  return { notBefore: at, notAfter: end, issued: at, nextUpdate: end }
}

/** Signs a quote as the machine's quoting enclave would. The CRLs come with it; TCB info and identity are `collateral`. */
export function attestTd(
  platform: SimulatedTdxPlatform,
  request: TdAttestRequest,
): { readonly report: Uint8Array; readonly endorsements: readonly Uint8Array[] } {
  const fields = intelFields('tdx', datesFrom(platform.createdAt, platform.createdAt))
  const report = signQuote(platform, { ...fields, td: { ...fields.td, ...request } }, platform.chain)
  const json = JSON.parse(fromUtf8(platform.collateral)) as { readonly root_ca_crl: string; readonly pck_crl: string }
  return { report, endorsements: [fromHex(json.root_ca_crl), fromHex(json.pck_crl)] }
}

/** Type of the file of a simulated TDX machine. */
export const TDX_PLATFORM_TYPE = 'sealgate/simulated-tdx-platform/v1'

interface TdxPlatformJson {
  readonly v: 1
  readonly type: typeof TDX_PLATFORM_TYPE
  readonly createdAt: number
  readonly root: string
  readonly leaf: string
  readonly attestation: string
  readonly chain: string
  readonly collateral: string
}

const blob = blobField(64 * 1024)
const schema: z.ZodType<TdxPlatformJson> = z.strictObject({
  v: z.literal(1),
  type: z.literal(TDX_PLATFORM_TYPE),
  createdAt: z.number().int().min(0),
  root: blob,
  leaf: blob,
  attestation: blob,
  chain: blob,
  collateral: blob,
})

/** Canonical JSON, private keys included: they are worth nothing outside of tests and the demo. */
export function encodeSimulatedTdx(platform: SimulatedTdxPlatform): Uint8Array {
  return encodeDocument('simulated-platform', schema, {
    v: 1,
    type: TDX_PLATFORM_TYPE,
    createdAt: platform.createdAt.getTime(),
    root: toBase64Url(platform.root),
    leaf: toBase64Url(platform.leaf),
    attestation: toBase64Url(platform.attestation),
    chain: toBase64Url(utf8(platform.chain)),
    collateral: toBase64Url(platform.collateral),
  })
}

export function parseSimulatedTdx(bytes: Uint8Array): SimulatedTdxPlatform {
  const { createdAt, root, leaf, attestation, chain, collateral } = parseDocument('simulated-platform', schema, bytes)
  return {
    createdAt: new Date(createdAt),
    root: fromBase64Url(root),
    leaf: fromBase64Url(leaf),
    attestation: fromBase64Url(attestation),
    chain: fromUtf8(fromBase64Url(chain)),
    collateral: fromBase64Url(collateral),
  }
}
