import { issueFlattenedJws } from '../../seal/index.ts'
import { instantOf } from '../../verify/appraise/index.ts'
import { toBase64Url } from '../../verify/bytes/bytes.ts'
import type { ArrayTerms } from '../../verify/documents/array.ts'
import {
  CONTRACT_TYP,
  type Contract,
  encodeContract,
  type ImageRef,
  type Limits,
  type ReleaseMode,
  type ServiceTerms,
} from '../../verify/documents/contract.ts'
import { DEFAULT_ISOLATION, type IsolationName } from '../../verify/documents/isolation.ts'
import type { HpkePublicKey } from '../../verify/documents/keys.ts'
import { digestOf } from '../grants.ts'
import type { KeptDataset } from '../keyring.ts'
import { type Owner, random } from '../owner.ts'

/** What the machine must prove. */
export interface MachineDemands {
  /** Attested GPUs that the job is given. */
  readonly gpus: number
  /** Chip of these GPUs as NVIDIA's certificates name it, such as `GH100`; null for any. */
  readonly gpuModel: string | null
  /** Kinds of TEE; empty for any that the policies let pass. */
  readonly tees: readonly string[]
  /** Where its operator must have stated that it stands; null for anywhere that the grants allow. */
  readonly region: string | null
}

export const ANY_MACHINE: MachineDemands = { gpus: 0, gpuModel: null, tees: [], region: null }

/** What a submitter chooses; the rest of the contract follows. */
export interface JobTerms {
  readonly image: ImageRef
  /** Where a host may pull it from, `HOST/NAME@sha256:DIGEST`; default: the host has it. */
  readonly imageSource?: string | undefined
  readonly argv: readonly string[]
  readonly env: { readonly [name: string]: string }
  /** Each with its file name under /in. */
  readonly inputs: readonly { readonly name: string; readonly dataset: Pick<KeptDataset, 'digest' | 'root'> }[]
  readonly purpose: string
  readonly limits: Limits
  readonly machine: MachineDemands
  /** Default: the runner's usual one. */
  readonly isolation?: IsolationName | undefined
  /** What it shares its machine with; default: nothing. */
  readonly exclusive?: Contract['exclusive'] | undefined
  /** SHA-256 of each policy that the grants name. */
  readonly policies: readonly string[]
  /** How data may be released to the job, sorted. */
  readonly release: readonly ReleaseMode[]
  /** Empty: the owner's own recipient key. */
  readonly recipients: readonly HpkePublicKey[]
  readonly service: ServiceTerms | null
  /** Absent: the image runs once. */
  readonly array?: ArrayTerms | undefined
}

export const DEFAULT_LIMITS: Limits = {
  timeMs: 60_000,
  memoryBytes: 256 * 1024 * 1024,
  outputBytes: 64 * 1024 * 1024,
  pids: 64,
  cpuMillis: 1000,
}

/** How long a contract may wait for a host and a release; its own time limit comes on top. */
const CONTRACT_WAIT_SECONDS = 3600

export interface SignedContract {
  readonly contract: Contract
  readonly jws: Uint8Array
  /** SHA-256 of the contract: *the* job digest. */
  readonly jobDigest: string
}

/** Signs a job contract with the owner's submit key. @param now - Seconds since the epoch. */
export async function signContract(owner: Owner, terms: JobTerms, now: number): Promise<SignedContract> {
  const contract: Contract = {
    v: 1,
    jobId: toBase64Url(random(16)),
    attempt: 1,
    image: terms.image,
    ...(terms.imageSource === undefined ? {} : { imageSource: terms.imageSource }),
    argv: terms.argv,
    env: terms.env,
    inputs: terms.inputs.map(({ name, dataset }) => ({ name, header: dataset.digest, root: dataset.root })),
    recipients: terms.recipients.length > 0 ? terms.recipients : [owner.recipient.publicKey],
    policies: [...new Set(terms.policies)].sort(),
    purpose: terms.purpose,
    isolation: terms.isolation ?? DEFAULT_ISOLATION[terms.image.runner],
    limits: terms.limits,
    resources: { gpus: terms.machine.gpus },
    constraints: {
      tees: [...new Set(terms.machine.tees)].sort(),
      gpuModel: terms.machine.gpuModel,
      region: terms.machine.region,
      maxLatencyMs: null,
      maxPricePerHour: null,
    },
    exclusive: terms.exclusive ?? 'host',
    service: terms.service,
    ...(terms.array === undefined ? {} : { array: terms.array }),
    release: terms.release,
    notAfter: instantOf(now + CONTRACT_WAIT_SECONDS + Math.ceil(terms.limits.timeMs / 1000)),
  }
  const bytes = encodeContract(contract)
  return { contract, jws: await issueFlattenedJws(bytes, CONTRACT_TYP, owner.submitKey), jobDigest: await digestOf(bytes) }
}
