import * as z from 'zod'
import { fileNameField } from '../../verify/documents/fields.ts'
import type { Endpoints } from './vendors.ts'

/** `collateral` of `gateway.json`. */
export interface CollateralConfig {
  /** False, the default: no network is ever asked; what was imported, seeded or brought by hosts is all there is. */
  readonly fetch: boolean
  readonly amdKds: string
  readonly intelPcs: string
  /** Default: Intel's own where `intelPcs` is Intel's own, else `/sgx/certification/v4/rootcacrl` there. */
  readonly intelRootCrl?: string | undefined
  /** File in the gateway folder with Intel's subscription key, which PCK certificates need. */
  readonly intelKeyFile?: string | undefined
  /** PEM file in the gateway folder: authorities of TLS servers, instead of the public ones. */
  readonly caFile?: string | undefined
  readonly refreshSeconds: number
  readonly timeoutSeconds: number
}

export const AMD_KDS = 'https://kdsintf.amd.com'
export const INTEL_PCS = 'https://api.trustedservices.intel.com'
/** The CRL distribution point in every certificate of Intel's PCK authorities, in spite of its name. */
const INTEL_ROOT_CRL = 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der'

const DAY = 24 * 3600

/** What is fetched is signed, but who asks for what is nobody's business: plain HTTP goes to this machine alone. */
export const endpointField: z.ZodType<string> = z.string().max(512).refine(isEndpoint, {
  error: 'want https://HOST[:PORT][/PATH] without a slash at the end (http:// for this machine only)',
})

function isEndpoint(text: string): boolean {
  if (!URL.canParse(text) || text.endsWith('/')) return false
  const { protocol, hostname, username, password, search, hash } = new URL(text)
  const isPlain = username === '' && password === '' && search === '' && hash === ''
  return isPlain && (protocol === 'https:' || (protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(hostname)))
}

export const collateralSchema: z.ZodType<CollateralConfig> = z.strictObject({
  fetch: z.boolean().default(false),
  amdKds: endpointField.default(AMD_KDS),
  intelPcs: endpointField.default(INTEL_PCS),
  intelRootCrl: endpointField.optional(),
  intelKeyFile: fileNameField.optional(),
  caFile: fileNameField.optional(),
  refreshSeconds: z
    .number()
    .int()
    .min(60)
    .max(30 * DAY)
    .default(DAY),
  timeoutSeconds: z.number().int().min(1).max(60).default(10),
})

export function endpointsOf({ amdKds, intelPcs, intelRootCrl }: CollateralConfig, intelKey: string | null): Endpoints {
  const ofCache = `${intelPcs}/sgx/certification/v4/rootcacrl`
  return { amdKds, intelPcs, intelRootCrl: intelRootCrl ?? (intelPcs === INTEL_PCS ? INTEL_ROOT_CRL : ofCache), intelKey }
}
