import * as z from 'zod'
import { ACCEPTABLE_TCB_STATUSES } from '../evidence/dcap/appraise.ts'
import { MASK_PATTERN } from '../evidence/mask.ts'
import { MAX_BLOCKS, MODES } from '../evidence/nvidia/layout.ts'
import type { DeviceRequirements } from '../evidence/nvidia/requirements.ts'
import { SNP_FLOORS, type SnpFloorName } from '../evidence/sev-snp/floors.ts'
import { PLATFORM_INFO_BIT, POLICY_BIT } from '../evidence/sev-snp/layout.ts'
import type { GuestPolicyName, SnpRequirements } from '../evidence/sev-snp/requirements.ts'
import { SGX_FLAG_BIT } from '../evidence/sgx/attributes.ts'
import type { SgxRequirements } from '../evidence/sgx/requirements.ts'
import { TD_ATTRIBUTE_BIT } from '../evidence/tdx/attributes.ts'
import { TD_REFERENCES, type TdReferenceName, type TdxRequirements } from '../evidence/tdx/requirements.ts'
import { checkDocument, countField, setField, textField } from './fields.ts'

/** A policy says it for every TEE in one place: `minimumTcbEvaluationDataNumber`. */
type InPolicy<T> = Omit<T, 'minimumTcbEvaluationDataNumber'>

/** What a policy asks of the evidence of one kind of TEE. A member that is absent is not asked. */
export interface Requirements {
  readonly sevSnp?: SnpRequirements
  readonly tdx?: InPolicy<TdxRequirements>
  readonly sgx?: InPolicy<SgxRequirements>
  /** Of the GPUs and switches beside the CPU. */
  readonly nvidia?: DeviceRequirements
}

const MAX_VALUES = 256

/** The one spelling of so many bytes: lower-case hexadecimal. */
function hexField(size: number): z.ZodType<string> {
  return z
    .string()
    .refine((text) => text.length === 2 * size && /^[0-9a-f]*$/.test(text), { error: `want ${size} bytes in lower-case hexadecimal` })
}

/** An identity of which all zeros means that there is none. */
function identityField(size: number): z.ZodType<string> {
  return hexField(size).refine((text) => !/^0*$/.test(text), { error: 'all zeros name nobody' })
}

function valuesField(size: number): z.ZodType<readonly string[]> {
  return setField(hexField(size), MAX_VALUES)
}

function bitsField<N extends string>(
  names: readonly N[],
): z.ZodType<{ readonly required?: readonly N[]; readonly forbidden?: readonly N[] }> {
  const list = setField(z.enum(names as readonly [N, ...N[]]) as unknown as z.ZodType<N>, names.length)
  return z
    .strictObject({ required: list.exactOptional(), forbidden: list.exactOptional() })
    .refine(({ required = [], forbidden = [] }) => required.length + forbidden.length > 0, { error: 'asks for no bit' })
    .refine(({ required = [], forbidden = [] }) => !required.some((name) => forbidden.includes(name)), {
      error: 'a bit cannot be required and forbidden',
    })
}

const yes = z.literal(true)
const byte = countField(255)
const maskField = z.string().regex(MASK_PATTERN, { error: 'want 0x and up to 16 lower-case hexadecimal digits' })
const versionField = z.strictObject({ major: byte, minor: byte, build: byte })
const levelsField = z.strictObject({
  fmc: byte.exactOptional(),
  bootloader: byte.exactOptional(),
  tee: byte.exactOptional(),
  snp: byte.exactOptional(),
  microcode: byte.exactOptional(),
})
const { fmc: _, ...beforeTurin } = levelsField.shape
const isFloor = (levels: object): boolean => Object.keys(levels).length > 0
const noFloor = { error: 'asks for no level' }
const beforeTurinField = z.strictObject(beforeTurin).refine(isFloor, noFloor)
const floorField = z.strictObject({
  Milan: beforeTurinField.exactOptional(),
  Genoa: beforeTurinField.exactOptional(),
  Turin: levelsField.refine(isFloor, noFloor).exactOptional(),
})

const GUEST_POLICY = Object.keys(POLICY_BIT).filter((name): name is GuestPolicyName => name !== 'reserved1')

const sevSnpField: z.ZodType<SnpRequirements> = z.strictObject({
  products: setField(z.enum(['Genoa', 'Milan', 'Turin']), 3).exactOptional(),
  signingKeys: setField(z.enum(['VCEK', 'VLEK']), 2).exactOptional(),
  vlekCspIds: setField(textField(256), MAX_VALUES).exactOptional(),
  minimumTcb: floorField.exactOptional(),
  minimumLaunchTcb: floorField.exactOptional(),
  floors: setField(z.enum(Object.keys(SNP_FLOORS) as [SnpFloorName]), 64).exactOptional(),
  minimumCurrentVersion: versionField.exactOptional(),
  minimumCommittedVersion: versionField.exactOptional(),
  committedFirmware: yes.exactOptional(),
  guestPolicy: bitsField(GUEST_POLICY).exactOptional(),
  minimumAbi: z.strictObject({ major: byte, minor: byte }).exactOptional(),
  platformInfo: bitsField(Object.keys(PLATFORM_INFO_BIT) as (keyof typeof PLATFORM_INFO_BIT)[]).exactOptional(),
  launchMitigations: maskField.exactOptional(),
  currentMitigations: maskField.exactOptional(),
  vmpl: countField(3).exactOptional(),
  minimumGuestSvn: countField(0xffffffff).exactOptional(),
  measurements: valuesField(48).exactOptional(),
  hostData: valuesField(32).exactOptional(),
  familyIds: valuesField(16).exactOptional(),
  imageIds: valuesField(16).exactOptional(),
  idBlock: z
    .strictObject({
      idKeyDigests: setField(identityField(48), MAX_VALUES),
      authorKeyDigests: setField(identityField(48), MAX_VALUES),
    })
    .exactOptional(),
  chipIds: setField(identityField(64), MAX_VALUES).exactOptional(),
  acceptMaskedChipId: yes.exactOptional(),
})

const tcbFields = {
  acceptedTcbStatuses: setField(z.enum(ACCEPTABLE_TCB_STATUSES), ACCEPTABLE_TCB_STATUSES.length).exactOptional(),
  acceptedAdvisories: setField(
    z.string().regex(/^INTEL-[A-Z]{2,8}-\d{1,8}$/, { error: 'want an advisory such as INTEL-SA-00615' }),
    64,
  ).exactOptional(),
}

const references = Object.fromEntries(
  (Object.keys(TD_REFERENCES) as TdReferenceName[]).map((name) => [name, valuesField(48).exactOptional()]),
)

const tdxField = z.strictObject({
  ...tcbFields,
  septVeDisable: yes.exactOptional(),
  notMigratable: yes.exactOptional(),
  noServiceTd: yes.exactOptional(),
  attributes: bitsField(Object.keys(TD_ATTRIBUTE_BIT) as (keyof typeof TD_ATTRIBUTE_BIT)[]).exactOptional(),
  allowedXfam: maskField.exactOptional(),
  ...references,
}) as unknown as z.ZodType<InPolicy<TdxRequirements>>

const svn = countField(0xffff)

const sgxField: z.ZodType<InPolicy<SgxRequirements>> = z.strictObject({
  ...tcbFields,
  mrEnclave: valuesField(32).exactOptional(),
  signer: z.strictObject({ mrSigner: hexField(32), isvProdId: svn, minimumIsvSvn: svn }).exactOptional(),
  configuration: z.strictObject({ configId: hexField(64), minimumConfigSvn: svn }).exactOptional(),
  noProvisionKey: yes.exactOptional(),
  attributes: bitsField(Object.keys(SGX_FLAG_BIT) as (keyof typeof SGX_FLAG_BIT)[]).exactOptional(),
  allowedXfrm: maskField.exactOptional(),
})

const driverField = z.string().regex(/^\d{1,6}(\.\d{1,6}){1,3}$/, { error: 'want a driver version such as 550.90.07' })
const vbiosField = z.string().regex(/^[0-9A-F]{2}(\.[0-9A-F]{2}){4}$/, { error: 'want a version such as 96.00.9F.00.01' })
/** Ascending, without duplicates. */
const indicesField = z
  .array(countField(MAX_BLOCKS - 1))
  .max(MAX_BLOCKS)
  .refine((list) => list.every((v, i) => i === 0 || (list[i - 1] ?? 0) < v), { error: 'want sorted values without duplicates' })

const nvidiaField: z.ZodType<DeviceRequirements> = z.strictObject({
  minimumDriver: driverField.exactOptional(),
  minimumVbios: vbiosField.exactOptional(),
  deniedVersions: setField(z.union([driverField, vbiosField]), MAX_VALUES).exactOptional(),
  modes: setField(z.enum(MODES), MODES.length).exactOptional(),
  architectures: setField(z.enum(['BLACKWELL', 'HOPPER', 'LS10']), 3).exactOptional(),
  firmwareId: yes.exactOptional(),
  minimumGpus: countField(64).exactOptional(),
  maximumOcspAgeSeconds: countField().exactOptional(),
  allowedMismatches: indicesField.exactOptional(),
  allowCertificateHold: yes.exactOptional(),
})

/** The members of a policy's `appraisal` that hold requirements. */
export const requirementFields: {
  readonly sevSnp: z.ZodExactOptional<typeof sevSnpField>
  readonly tdx: z.ZodExactOptional<typeof tdxField>
  readonly sgx: z.ZodExactOptional<typeof sgxField>
  readonly nvidia: z.ZodExactOptional<typeof nvidiaField>
} = {
  sevSnp: sevSnpField.exactOptional(),
  tdx: tdxField.exactOptional(),
  sgx: sgxField.exactOptional(),
  nvidia: nvidiaField.exactOptional(),
}

const schema: z.ZodType<Requirements> = z.strictObject(requirementFields)

/** Requirements that stand alone, already parsed. @throws AttestError `DOCUMENT_INVALID` naming the first wrong member. */
export function checkRequirements(value: unknown): Requirements {
  return checkDocument('requirements', schema, value)
}
