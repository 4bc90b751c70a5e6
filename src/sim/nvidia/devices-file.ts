import { z } from 'zod'
import { fromBase64Url, toBase64Url } from '../../verify/bytes/bytes.ts'
import { blobField, bytesField, encodeDocument, parseDocument } from '../../verify/documents/fields.ts'
import { createVerifyCache } from '../../verify/evidence/cache.ts'
import { loadCollateral } from '../../verify/evidence/collateral.ts'
import { MODES, type Mode } from '../../verify/evidence/nvidia/layout.ts'
import { encodeRim } from '../../verify/evidence/nvidia/rim/encode.ts'
import { type AttestedDevices, attestDevices, createSimulatedDevices, type DeviceEvidence, endorseDevices } from './attest.ts'
import { createSimulatedNvidia } from './authority.ts'

/** The simulated GPUs of one host, with everything that vouches for them. What they sign proves nothing about hardware. */
export interface SimulatedGpus {
  /** Root certificates, DER: of devices and of manifests. */
  readonly roots: readonly Uint8Array[]
  /** Manifests and OCSP responses in the form that endorsements have. */
  readonly endorsements: readonly Uint8Array[]
  /** What {@link parseSimulatedGpus} reads. */
  readonly file: Uint8Array
  readonly count: number
  /** @param nonces - 32 bytes for each GPU. */
  readonly attest: (nonces: readonly Uint8Array[]) => readonly DeviceEvidence[]
}

/** OCSP responses of a simulated host stay good this long: nobody answers again. Certificates of manifests' signers do, too. */
const DAYS = 730
const MAX_GPUS = 8
const MAX_FILE_SIZE = 1024 * 1024

interface GpuJson {
  readonly pdi: string
  readonly fwid: string
  readonly leaf: string
  readonly chain: readonly string[]
}

interface GpusJson {
  readonly v: 1
  readonly type: 'sealgate/simulated-gpus/v1'
  readonly mode: Mode
  readonly gpus: readonly GpuJson[]
  readonly roots: readonly string[]
  readonly endorsements: readonly string[]
}

const blob = blobField(8192)
const schema: z.ZodType<GpusJson> = z.strictObject({
  v: z.literal(1),
  type: z.literal('sealgate/simulated-gpus/v1'),
  mode: z.enum(MODES),
  gpus: z
    .array(z.strictObject({ pdi: bytesField(8), fwid: bytesField(48), leaf: blob, chain: z.array(blob).min(2).max(8) }))
    .min(1)
    .max(MAX_GPUS),
  roots: z.array(blob).length(2),
  endorsements: z.array(blobField(128 * 1024)).max(128),
})

/** Makes simulated Hopper GPUs and the authorities above them. @param count - 1 to 8. @param at - Start of everything's validity. */
export async function createSimulatedGpus(count: number, at: Date): Promise<SimulatedGpus> {
  const nvidia = await createSimulatedNvidia({ at })
  const mode = count === 1 ? 'SPT' : 'MPT'
  const made = await createSimulatedDevices(nvidia, { architecture: 'GH100', mode, gpus: count, switches: 0 })
  const items = endorseDevices(nvidia, made, at, DAYS).map((bytes, i) => ({ name: `endorsements[${i}]`, bytes }))
  const { rims, ocsp } = await loadCollateral(items, createVerifyCache())
  const file = encodeDocument('simulated-gpus', schema, {
    v: 1,
    type: 'sealgate/simulated-gpus/v1',
    mode,
    gpus: made.gpus.map(({ pdi, fwid, leaf, chain }) => {
      return { pdi: toBase64Url(pdi), fwid: toBase64Url(fwid), leaf: toBase64Url(leaf.key), chain: chain.map(toBase64Url) }
    }),
    roots: [nvidia.deviceRoot, nvidia.rimRoot].map(({ certificate }) => toBase64Url(certificate)),
    endorsements: [...rims.map(encodeRim), ...ocsp.map((o) => o.raw)].map(toBase64Url),
  })
  return parseSimulatedGpus(file)
}

/** Reads the file of a host's simulated GPUs. @throws AttestError `JSON_*`, `DOCUMENT_INVALID`. */
export function parseSimulatedGpus(file: Uint8Array): SimulatedGpus {
  const { mode, gpus, roots, endorsements } = parseDocument('simulated-gpus', schema, file, MAX_FILE_SIZE)
  const devices: AttestedDevices = {
    mode,
    switches: [],
    gpus: gpus.map(({ pdi, fwid, leaf, chain }) => ({
      architecture: 'GH100',
      pdi: fromBase64Url(pdi),
      fwid: fromBase64Url(fwid),
      leaf: { key: fromBase64Url(leaf) },
      chain: chain.map(fromBase64Url),
    })),
  }
  return {
    roots: roots.map(fromBase64Url),
    endorsements: endorsements.map(fromBase64Url),
    file,
    count: gpus.length,
    attest: (nonces) => attestDevices(devices, nonces),
  }
}
