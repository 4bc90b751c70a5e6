import * as z from 'zod'
import { type ArrayTerms, arraySchema, MAX_ARGV } from './array.ts'
import {
  bytesField,
  countField,
  encodeDocument,
  fileNameField,
  instantField,
  iriField,
  parseDocument,
  setField,
  sha256Field,
  textField,
} from './fields.ts'
import { imageSourceField } from './image-source.ts'
import { ISOLATION_NAMES, type IsolationName } from './isolation.ts'
import { type HpkePublicKey, hpkePublicKeySchema } from './keys.ts'

/** JWS `typ` of a job contract. */
export const CONTRACT_TYP = 'sealgate-contract-v1+jws'

export type RunnerKind = 'docker' | 'wasm'

/** Who releases: the owner's own client, or a key broker that the owner's grant names. */
export type ReleaseMode = 'brokered' | 'direct'

export const RELEASE_MODES = ['brokered', 'direct'] as const

/** A workload by digest: `sha256:` and 64 lower-case hexadecimal digits. */
export interface ImageRef {
  readonly runner: RunnerKind
  readonly digest: string
}

/** A dataset by what it is: SHA-256 of its header and the root over its ciphertext. `name` is the file under /in. */
export interface ContractInput {
  readonly name: string
  readonly header: string
  readonly root: string
}

export interface Limits {
  readonly timeMs: number
  readonly memoryBytes: number
  readonly outputBytes: number
  readonly pids: number
  readonly cpuMillis: number
}

/** A workload that answers HTTP requests inside the enclave until it is ended (docs/services.md). */
export interface ServiceTerms {
  readonly protocol: 'http'
  /** TCP port that the workload listens on, on its own loopback interface. */
  readonly port: number
  /** SHA-256 of the SPKI of each TLS key that may speak with it. */
  readonly clients: readonly string[]
  /** The job ends when no request was under way for so long; null: only its time limit ends it. */
  readonly idleMs: number | null
}

/** What the submitter asks for (design section 3.3). SHA-256 of the canonical bytes is *the* job digest. */
export interface Contract {
  readonly v: 1
  /** Random, 16 bytes. */
  readonly jobId: string
  readonly attempt: number
  readonly image: ImageRef
  /** Where a host may pull the image from, `HOST/NAME@sha256:DIGEST`. Absent: the host has it. What it must be, `image` says. */
  readonly imageSource?: string | undefined
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  readonly inputs: readonly ContractInput[]
  readonly recipients: readonly HpkePublicKey[]
  /** SHA-256 of each policy that must hold. */
  readonly policies: readonly string[]
  readonly purpose: string
  /** Name of the isolation profile, see docs/formats/isolation.md. */
  readonly isolation: IsolationName
  readonly limits: Limits
  readonly resources: { readonly gpus: number }
  readonly constraints: {
    readonly tees: readonly string[]
    readonly gpuModel: string | null
    readonly region: string | null
    readonly maxLatencyMs: number | null
    readonly maxPricePerHour: string | null
  }
  readonly exclusive: 'host' | 'gpu' | 'none'
  /** Null: a batch job. */
  readonly service: ServiceTerms | null
  /** Absent: the image runs once. */
  readonly array?: ArrayTerms | undefined
  /** How data may be released to the job: what the submitter accepts. Every grant says how its own data is. */
  readonly release: readonly ReleaseMode[]
  readonly notAfter: string
}

export const imageRefSchema: z.ZodType<ImageRef> = z.strictObject({
  runner: z.enum(['docker', 'wasm']),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/, { error: 'want sha256: and 64 hexadecimal digits' }),
})

export const inputSchema: z.ZodType<ContractInput> = z.strictObject({ name: fileNameField, header: sha256Field, root: sha256Field })

export const argvSchema: z.ZodType<readonly string[]> = z.array(z.string().max(4096)).max(MAX_ARGV)

export const envSchema: z.ZodType<{ readonly [name: string]: string }> = z
  .record(z.string().regex(/^[A-Z_][A-Z0-9_]{0,63}$/), z.string().max(4096))
  .refine((env) => Object.keys(env).length <= 64, { error: 'at most 64 variables' })

const GiB = 1024 ** 3

/** Zero would mean "no limit" to a container engine. */
function limitField(max: number): z.ZodType<number> {
  return z.number().int().min(1).max(max)
}

/** Longest that any job may take: seven days. */
const MAX_TIME_MS = 7 * 24 * 3600 * 1000
/** Sessions of a receipt are as many. */
const MAX_SERVICE_CLIENTS = 64

const serviceSchema: z.ZodType<ServiceTerms> = z.strictObject({
  protocol: z.literal('http'),
  port: z.number().int().min(1).max(65535),
  clients: setField(sha256Field, MAX_SERVICE_CLIENTS).refine((c) => c.length >= 1, { error: 'want at least one client key' }),
  idleMs: z.number().int().min(1000).max(MAX_TIME_MS).nullable(),
})

const fields = z.strictObject({
  v: z.literal(1),
  jobId: bytesField(16),
  attempt: countField(1000).refine((n) => n >= 1, { error: 'attempts count from 1' }),
  image: imageRefSchema,
  imageSource: imageSourceField.optional(),
  argv: argvSchema,
  env: envSchema,
  inputs: z
    .array(inputSchema)
    .min(1)
    .max(64)
    .refine((list) => new Set(list.map((i) => i.name)).size === list.length, { error: 'input names must differ' }),
  recipients: z.array(hpkePublicKeySchema).min(1).max(16),
  policies: setField(sha256Field, 16).refine((p) => p.length >= 1, { error: 'want at least one policy' }),
  purpose: iriField,
  isolation: z.enum(ISOLATION_NAMES),
  limits: z.strictObject({
    timeMs: limitField(MAX_TIME_MS),
    memoryBytes: limitField(1024 * GiB),
    outputBytes: limitField(1024 * GiB),
    pids: limitField(4096),
    cpuMillis: limitField(1024_000),
  }),
  resources: z.strictObject({ gpus: countField(64) }),
  constraints: z.strictObject({
    tees: setField(textField(32), 16),
    gpuModel: textField(128).nullable(),
    region: textField(128).nullable(),
    maxLatencyMs: countField().nullable(),
    maxPricePerHour: textField(64).nullable(),
  }),
  exclusive: z.enum(['host', 'gpu', 'none']),
  service: serviceSchema.nullable(),
  array: arraySchema.optional(),
  release: setField(z.enum(RELEASE_MODES), RELEASE_MODES.length).refine((r) => r.length >= 1, { error: 'want at least one mode' }),
  notAfter: instantField,
})

/** A WebAssembly module has no sockets to listen on. */
const schema: z.ZodType<Contract> = fields
  .refine((c) => c.service === null || (c.image.runner === 'docker' && c.isolation === 'sealgate-container-v1'), {
    error: 'a service needs a docker image in sealgate-container-v1',
    path: ['service'],
  })
  .refine((c) => c.imageSource === undefined || c.image.runner === 'docker', {
    error: 'a registry has docker images alone',
    path: ['imageSource'],
  })
  .refine((c) => c.array === undefined || (c.service === null && arrayFits(c.array, c)), {
    error: `want no service, limits of an item within those of the job, and at most ${MAX_ARGV} arguments of a run`,
    path: ['array'],
  })

function arrayFits({ items, itemLimits }: ArrayTerms, { argv, limits }: Pick<Contract, 'argv' | 'limits'>): boolean {
  const within = itemLimits.timeMs <= limits.timeMs && itemLimits.outputBytes <= limits.outputBytes
  return within && items.every((item) => argv.length + item.length <= MAX_ARGV)
}

export function parseContract(bytes: Uint8Array): Contract {
  return parseDocument('contract', schema, bytes)
}

export function encodeContract(contract: Contract): Uint8Array {
  return encodeDocument('contract', schema, contract)
}
