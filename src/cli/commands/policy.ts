import { type Command, Option } from 'commander'
import type { PolicyChoices } from '../../client/index.ts'
import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import { ISOLATION_GRADES, type IsolationGrade, isAtLeast } from '../../verify/documents/isolation.ts'
import type { Policy } from '../../verify/documents/policy.ts'
import type { Requirements } from '../../verify/documents/requirements.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collect, folderOption, parseCount } from '../options.ts'

interface CreateOptions {
  readonly folder: string
  readonly measurement: readonly string[]
  readonly allowSimulated?: boolean
  readonly allowUnknown: Policy['appraisal']['allowUnknown']
  readonly requirements?: string
  readonly witness: readonly string[]
  readonly quorum?: number
  readonly runner: 'any' | 'docker' | 'wasm'
  readonly isolation?: IsolationGrade
  readonly out?: string
}

export function register(program: Command): void {
  const policy = program.command('policy').description('policies: which enclaves may receive data, and which log must know of it')
  policy
    .command('create')
    .description('write a policy that is strict wherever you do not choose')
    .requiredOption('--measurement <tee:hex>', 'launch measurement that may receive data, e.g. sev-snp:…; may be repeated', collect, [])
    .option('--allow-simulated', 'accept simulated evidence: for demonstrations only')
    .option('--allow-unknown <group>', 'accept an unknown of this rule group, e.g. revocation; may be repeated', collect, [])
    .option('--requirements <file>', 'JSON with sevSnp, tdx, sgx or nvidia: what to ask of such evidence, in place of the strict choice')
    .option('--witness <vkey>', 'witness whose cosignature counts (default: all of the trust file); may be repeated', collect, [])
    .option('--quorum <k>', 'how many of them must cosign: more than half; without it nobody must', parseCount)
    .addOption(new Option('--runner <runner>', 'runners that may be used').choices(['any', 'docker', 'wasm']).default('any'))
    .addOption(new Option('--isolation <grade>', 'how well workloads must be kept in, at least').choices(ISOLATION_GRADES))
    .option('--out <file>', 'file to make (default: policy.json in the folder)')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate policy create --folder alice --measurement sev-snp:<96 hex digits>'))
    .action(action<CreateOptions, []>(create))
  policy
    .command('check')
    .description('read a policy and say what it lets through')
    .argument('<file>', 'policy file')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate policy check alice/policy.json'))
    .action(action<object, [string]>(check))
}

async function create({ output }: Context, options: CreateOptions): Promise<void> {
  const { createPolicy, digestOf, FILES, loadTrustFile, PUBLIC, writeNew } = await import('../../client/index.ts')
  const { logs, witnesses } = await loadTrustFile(`${options.folder}/${FILES.trust}`)
  const [log, ...others] = logs
  if (log === undefined || others.length > 0) throw new AttestError('USAGE', `the trust file names ${logs.length} logs; a policy names one`)
  const bytes = createPolicy({
    ...(options.requirements === undefined ? {} : { requirements: await readRequirements(options.requirements) }),
    log,
    ...(await quorumOf(options, witnesses)),
    measurements: options.measurement.map(parseMeasurement),
    allowSimulated: options.allowSimulated === true,
    allowUnknown: options.allowUnknown,
    runners: options.runner === 'any' ? ['docker', 'wasm'] : [options.runner],
    ...(options.isolation === undefined ? {} : { isolation: options.isolation }),
  })
  const file = options.out ?? `${options.folder}/${FILES.policy}`
  await writeNew(file, bytes, PUBLIC)
  const digest = await digestOf(bytes)
  output.answer({ file, digest }, [`Policy written to ${file}.`, `  digest  ${digest}`])
}

/** A majority, so that any two quorums share a witness and two histories cannot both have one. */
async function quorumOf({ quorum, witness }: CreateOptions, trusted: readonly string[]): Promise<Pick<PolicyChoices, 'quorum'>> {
  if (quorum === undefined && witness.length === 0) return {}
  const { checkWitnessKey } = await import('../folders/witness-folder.ts')
  const keys = [...new Set(witness.length === 0 ? trusted : await Promise.all(witness.map(checkWitnessKey)))]
  if (quorum === undefined) throw new AttestError('USAGE', '--witness needs --quorum: how many of them must cosign')
  if (keys.length === 0) throw new AttestError('USAGE', '--quorum needs witnesses: --witness, or a trust file that names some')
  if (quorum <= keys.length / 2 || quorum > keys.length) {
    throw new AttestError('USAGE', `--quorum ${quorum} of ${keys.length} witnesses: want more than half, and no more than there are`)
  }
  return { quorum: { k: quorum, keys } }
}

function parseMeasurement(text: string): Policy['appraisal']['measurements'][number] {
  const match = /^([a-z0-9-]{1,32}):((?:[0-9a-f]{2}){32,64})$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new AttestError('USAGE', `"${text.slice(0, 80)}" is no measurement; want TEE:HEX, such as sev-snp: and 96 hexadecimal digits`)
  }
  return { tee: match[1], value: match[2] }
}

async function readRequirements(file: string): Promise<Requirements> {
  const { MAX_FILE_SIZE, readBytes } = await import('../../client/index.ts')
  const { checkRequirements } = await import('../../verify/documents/requirements.ts')
  const bytes = await readBytes(file, MAX_FILE_SIZE)
  let value: unknown
  try {
    value = JSON.parse(fromUtf8(bytes))
  } catch (cause) {
    throw new AttestError('JSON_MALFORMED', `${file} is not JSON`, { cause })
  }
  return checkRequirements(value)
}

async function check({ output }: Context, _: object, file: string): Promise<void> {
  const { digestOf, loadPolicyBytes } = await import('../../client/index.ts')
  const { parsePolicy } = await import('../../verify/documents/policy.ts')
  const bytes = await loadPolicyBytes(file)
  const policy = parsePolicy(bytes)
  const digest = await digestOf(bytes)
  const warnings = warningsOf(policy)
  output.answer({ file, digest, policy, warnings }, [
    `${file} is a well-formed policy.`,
    `  digest        ${digest}`,
    `  log           ${policy.log.key}`,
    ...policy.appraisal.measurements.map((m) => `  measurement   ${m.tee} ${m.value}`),
    ...witnessLines(policy.witnessing),
    ...requirementLines(policy.appraisal),
    `  runners       ${policy.runners.join(', ')}`,
    ...(policy.minimumGrades.isolation === undefined ? [] : [`  isolation     ${policy.minimumGrades.isolation} or stronger`]),
    ...warnings.map((w) => output.paint.warn(`  note          ${w}`)),
  ])
}

function witnessLines(witnessing: Policy['witnessing']): readonly string[] {
  if (witnessing.mode === 'none') return []
  return [
    `  quorum        ${witnessing.k} of ${witnessing.keys.length} witnesses`,
    ...witnessing.keys.map((key) => `  witness       ${key}`),
  ]
}

function requirementLines({ sevSnp, tdx, sgx, nvidia }: Requirements): readonly string[] {
  const lines = { 'sev-snp': sevSnp, tdx, sgx, nvidia }
  return Object.entries(lines).flatMap(([tee, asked]) => (asked === undefined ? [] : [`  requirements  ${tee} ${JSON.stringify(asked)}`]))
}

/** What a reader should not overlook of what is asked of evidence. */
function looseRequirements({ tees, sevSnp, tdx, sgx, nvidia }: Policy['appraisal']): readonly string[] {
  const snp = tees.includes('sev-snp')
  const statuses = [...new Set([tdx, sgx].flatMap((r) => r?.acceptedTcbStatuses ?? []))].filter((status) => status !== 'UpToDate')
  return [
    ...(snp && sevSnp?.products?.includes('Milan') !== false
      ? ['AMD Milan is accepted: the seed of its keys has been extracted in software (arXiv 2605.12990)']
      : []),
    ...(snp && sevSnp?.minimumTcb === undefined && sevSnp?.floors === undefined ? ['no floor is set for the TCB of AMD processors'] : []),
    ...(sevSnp?.acceptMaskedChipId === true ? ['masked CHIP_IDs are accepted: the certificate alone names the chip'] : []),
    ...statuses.map((status) => `Intel's TCB status ${status} is accepted`),
    ...(nvidia?.allowedMismatches ?? []).map((index) => `measurement ${index} of NVIDIA devices may differ from their manifests`),
    ...(nvidia?.allowCertificateHold === true ? ['signers of NVIDIA manifests may be on hold'] : []),
  ]
}

/** What a reader of the policy should not overlook. */
function warningsOf({ appraisal, witnessing, runners, minimumGrades }: Policy): readonly string[] {
  return [
    ...(appraisal.allowSimulated ? ['SIMULATED evidence is accepted: nothing is proven about hardware'] : []),
    ...(appraisal.measurements.length === 0 ? ['no measurement is listed: no enclave may receive data'] : []),
    ...(witnessing.mode === 'none' ? ["no witnesses: the gateway's operator could show different logs to different people"] : []),
    ...appraisal.allowUnknown.map((group) => `unknown ${group} is accepted`),
    ...looseRequirements(appraisal),
    ...(runners.includes('wasm') && !isAtLeast(minimumGrades.isolation ?? 'wasm-process', 'container')
      ? ['the wasm runner is allowed: weaker isolation between job and agent']
      : []),
  ]
}
