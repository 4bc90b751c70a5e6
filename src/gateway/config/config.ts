import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { blobField, setField, textField } from '../../verify/documents/fields.ts'
import { GROUPS } from '../../verify/documents/policy.ts'
import { type Requirements, requirementFields } from '../../verify/documents/requirements.ts'
import { AttestError } from '../../verify/errors.ts'
import type { Group } from '../../verify/verdict.ts'
import { type CollateralConfig, collateralSchema } from '../collateral/config.ts'
import { type WitnessConfig, witnessesSchema } from '../witnessing/config.ts'

/** Bounds of one gateway. Times are seconds. */
export interface GatewayLimits {
  /** Largest sealed file, in bytes. */
  readonly blobBytes: number
  /** Unfinished uploads of one caller. */
  readonly openUploads: number
  /** An unfinished upload that nobody touched for so long is dropped at the next start. */
  readonly uploadSeconds: number
  readonly connections: number
  readonly connectionsPerIdentity: number
  /** A host is asked for evidence again before this. */
  readonly attestationSeconds: number
  /** How long a host may take to answer a challenge or an offer. */
  readonly answerSeconds: number
  /** How long a job waits for a host that fits. Where there is one that is only taken, it waits until its contract ends. */
  readonly placementSeconds: number
  /** How long an attested job waits for its owner, keeping the host. */
  readonly releaseSeconds: number
  /** How long a host that went away before the release may take to come back. */
  readonly reconnectSeconds: number
  /** Jobs of one caller that may wait for a host. */
  readonly waitingJobs: number
  /** How long a witness may take to cosign. */
  readonly witnessSeconds: number
}

/** How a gateway keeps and shows its log. */
export interface LogConfig {
  /** The head file, if not `log.head` in the gateway folder: a path, relative to that folder. */
  readonly headFile?: string | undefined
  /** `host:port` where anybody may read the log over HTTP; absent: nobody but callers with a certificate. */
  readonly publicListen?: string | undefined
  /** True: HTTPS with the gateway's certificate, which its own authority signed. False: plain HTTP, which a web server may wrap. */
  readonly publicTls: boolean
  readonly publicConnections: number
}

/** `gateway.json` of a gateway folder. */
export interface GatewayConfig {
  readonly v: 1
  readonly name: string
  /** `host:port` to listen on; port 0 lets the system choose. */
  readonly listen: string
  /** What clients and hosts dial, when that is another address. */
  readonly publicAddress?: string | undefined
  /** Root certificates (DER, base64url) of simulators that count here. Whatever verifies under them is marked simulated. */
  readonly simulatedRoots: readonly string[]
  /** Rule groups whose `unknown` does not keep a host from being onboarded. Jobs follow their policies alone. */
  readonly allowUnknown: readonly Group[]
  /** What is asked of the evidence of hosts beyond the strict default. Jobs follow their policies alone. */
  readonly hostRequirements: Requirements
  /** Where endorsements come from. */
  readonly collateral: CollateralConfig
  readonly log: LogConfig
  /** Who cosigns the log. Policies name those whose cosignatures count for them. */
  readonly witnesses: readonly WitnessConfig[]
  readonly limits: GatewayLimits
}

const GiB = 1024 ** 3
const DAY = 24 * 3600

const atLeastOne = (max: number, fallback: number): z.ZodDefault<z.ZodNumber> => z.number().int().min(1).max(max).default(fallback)

const limitsSchema = z.strictObject({
  blobBytes: atLeastOne(2 ** 42, 256 * GiB),
  openUploads: atLeastOne(1024, 16),
  uploadSeconds: atLeastOne(365 * DAY, 7 * DAY),
  connections: atLeastOne(65_536, 1024),
  connectionsPerIdentity: atLeastOne(65_536, 64),
  attestationSeconds: atLeastOne(30 * DAY, 3600),
  answerSeconds: atLeastOne(3600, 60),
  placementSeconds: atLeastOne(7 * DAY, 60),
  releaseSeconds: atLeastOne(7 * DAY, 600),
  reconnectSeconds: atLeastOne(3600, 30),
  waitingJobs: atLeastOne(65_536, 256),
  witnessSeconds: atLeastOne(60, 5),
})

const logSchema = z.strictObject({
  headFile: textField(4096).optional(),
  publicListen: textField(256).optional(),
  publicTls: z.boolean().default(false),
  publicConnections: atLeastOne(65_536, 256),
})

const schema: z.ZodType<GatewayConfig> = z.strictObject({
  v: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, { error: 'want a-z, 0-9 and "-", at most 63' }),
  listen: textField(256),
  publicAddress: textField(256).optional(),
  simulatedRoots: z.array(blobField(8192)).max(16).default([]),
  allowUnknown: setField(z.enum(GROUPS), 16).default([]),
  hostRequirements: z.strictObject(requirementFields).default({}),
  collateral: collateralSchema.default(collateralSchema.parse({})),
  log: logSchema.default(logSchema.parse({})),
  witnesses: witnessesSchema.default([]),
  limits: limitsSchema.default(limitsSchema.parse({})),
})

/** Names of the files in a gateway folder; keys are readable by their owner alone. */
export const GATEWAY_FILES = {
  config: 'gateway.json',
  tlsKey: 'tls.key',
  tlsCert: 'tls.crt',
  ca: 'ca.crt',
  signingKey: 'signing.key.json',
  /** Optional: receipts are then signed with ML-DSA-65 too. */
  mlDsaKey: 'ml-dsa.key.json',
  /** Only while keys are rotated: those that count from now on, see {@link Rotation}. */
  rotation: 'rotation.key.json',
  logKey: 'log.key.json',
  /** The newest checkpoint that was handed out. Not to be restored from a backup. */
  logHead: 'log.head',
  /** Certificates and CRLs, PEM or DER: what appraisal may use besides what hosts bring. Never an anchor. */
  collateral: 'collateral',
  /** Endorsements that were fetched or imported, by content. */
  collateralCache: 'collateral-cache',
  /** Database and ciphertext. */
  data: 'data',
} as const

/** Where the head file of a gateway lies. */
export function logHeadPath(folder: string, { log }: GatewayConfig): string {
  return resolve(folder, log.headFile ?? GATEWAY_FILES.logHead)
}

export function loadConfig(folder: string): GatewayConfig {
  return readJson(join(folder, GATEWAY_FILES.config), schema)
}

/**
 * Reads a JSON file of ours against its schema.
 * @throws AttestError `FILE_UNREADABLE`, `DOCUMENT_INVALID` naming the file and the member.
 */
export function readJson<T>(path: string, want: z.ZodType<T>): T {
  let value: unknown
  try {
    value = JSON.parse(readText(path))
  } catch (cause) {
    if (cause instanceof AttestError) throw cause
    throw new AttestError('JSON_MALFORMED', `${path} is not JSON`)
  }
  const result = want.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new AttestError('DOCUMENT_INVALID', `${path}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'does not fit'}`, { at: path })
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new AttestError('FILE_UNREADABLE', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown'})`, { cause })
  }
}
