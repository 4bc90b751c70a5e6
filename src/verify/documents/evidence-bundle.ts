import * as z from 'zod'
import { crypto } from '#crypto'
import { fromBase64Url, toBase64Url } from '../bytes/bytes.ts'
import { encodeCanonical } from '../formats/canonical-json.ts'
import { blobField, checkDocument, encodeDocument, parseDocument, textField } from './fields.ts'

/** Evidence of one host, as raw bytes. Never re-serialised: binding and config are kept exactly as received. */
export interface EvidenceBundle {
  readonly binding: Uint8Array
  readonly config: Uint8Array
  readonly cpu: {
    readonly format: string
    readonly report: Uint8Array
    /** TPM and Azure: signature, PCR values, keys, the other half of the evidence. Absent where there are none. */
    readonly companions?: readonly Uint8Array[]
  }
  readonly devices: readonly { readonly type: 'gpu' | 'nvswitch'; readonly report: Uint8Array; readonly certificateChain: Uint8Array }[]
  /** From the host: certificates, CRLs and OCSP responses (DER), documents of Intel and NVIDIA in their one form. Hints, never anchors. */
  readonly endorsements: readonly Uint8Array[]
}

/** JSON form of an {@link EvidenceBundle}; every binary member is base64url of the raw bytes. */
export interface EvidenceBundleJson {
  readonly v: 1
  readonly type: 'sealgate/evidence-bundle/v1'
  readonly binding: string
  readonly config: string
  readonly cpu: { readonly format: string; readonly report: string; readonly companions?: readonly string[] }
  readonly devices: readonly { readonly type: 'gpu' | 'nvswitch'; readonly report: string; readonly certificateChain: string }[]
  readonly endorsements: readonly string[]
}

const MAX_BLOB = 64 * 1024
const blob = blobField(MAX_BLOB)
/** A manifest has up to 128 KiB ({@link MAX_XML_SIZE}). */
const MAX_ENDORSEMENT = 128 * 1024
/** A system of eight GPUs and four switches needs some forty, and its CPU some eight. */
const MAX_ENDORSEMENTS = 128
const MAX_COMPANIONS = 16

export const evidenceBundleSchema: z.ZodType<EvidenceBundleJson> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/evidence-bundle/v1'),
  binding: blob,
  config: blob,
  cpu: z.strictObject({ format: textField(32), report: blob, companions: z.array(blob).min(1).max(MAX_COMPANIONS).exactOptional() }),
  devices: z.array(z.strictObject({ type: z.enum(['gpu', 'nvswitch']), report: blob, certificateChain: blob })).max(64),
  endorsements: z.array(blobField(MAX_ENDORSEMENT)).max(MAX_ENDORSEMENTS),
})

/** Largest JSON form, in bytes. */
export const MAX_BUNDLE_SIZE: number = 8 * 1024 * 1024

export function parseEvidenceBundle(bytes: Uint8Array): EvidenceBundle {
  return bundleFromJson(parseDocument('bundle', evidenceBundleSchema, bytes, MAX_BUNDLE_SIZE))
}

export function encodeEvidenceBundle(bundle: EvidenceBundle): Uint8Array {
  return encodeDocument('bundle', evidenceBundleSchema, bundleToJson(bundle))
}

export function bundleFromJson(value: unknown): EvidenceBundle {
  const json = checkDocument('bundle', evidenceBundleSchema, value)
  return {
    binding: fromBase64Url(json.binding),
    config: fromBase64Url(json.config),
    cpu: {
      format: json.cpu.format,
      report: fromBase64Url(json.cpu.report),
      ...withCompanions(json.cpu.companions?.map(fromBase64Url)),
    },
    devices: json.devices.map((d) => ({
      type: d.type,
      report: fromBase64Url(d.report),
      certificateChain: fromBase64Url(d.certificateChain),
    })),
    endorsements: json.endorsements.map(fromBase64Url),
  }
}

export function bundleToJson(bundle: EvidenceBundle): EvidenceBundleJson {
  return {
    v: 1,
    type: 'sealgate/evidence-bundle/v1',
    binding: toBase64Url(bundle.binding),
    config: toBase64Url(bundle.config),
    cpu: {
      format: bundle.cpu.format,
      report: toBase64Url(bundle.cpu.report),
      ...withCompanions(bundle.cpu.companions?.map(toBase64Url)),
    },
    devices: bundle.devices.map((d) => ({
      type: d.type,
      report: toBase64Url(d.report),
      certificateChain: toBase64Url(d.certificateChain),
    })),
    endorsements: bundle.endorsements.map(toBase64Url),
  }
}

/** The member where there is something to hold, so that none has one spelling. */
export function withCompanions<T>(companions: readonly T[] | undefined): { readonly companions?: readonly T[] } {
  return companions === undefined || companions.length === 0 ? {} : { companions }
}

/**
 * Names evidence without its endorsements: SHA-256 (base64url) of canonical
 * `{"binding":h,"config":h,"cpu":{"companions":[h],"format":…,"report":h},"devices":[{"certificateChain":h,"report":h,"type":…}],"v":1}`,
 * h = base64url SHA-256; `companions` only where there are any.
 */
export async function evidenceDigest(bundle: EvidenceBundle): Promise<string> {
  const hash = async (bytes: Uint8Array): Promise<string> => toBase64Url(await crypto.digest('SHA-256', bytes))
  const devices = bundle.devices.map(async ({ type, report, certificateChain }) => {
    return { certificateChain: await hash(certificateChain), report: await hash(report), type }
  })
  const companions = await Promise.all((bundle.cpu.companions ?? []).map(hash))
  const summary = {
    v: 1,
    binding: await hash(bundle.binding),
    config: await hash(bundle.config),
    cpu: { format: bundle.cpu.format, report: await hash(bundle.cpu.report), ...withCompanions(companions) },
    devices: await Promise.all(devices),
  }
  return hash(encodeCanonical(summary))
}
