import { type Command, Option } from 'commander'
import type { AttesterKind, DeviceAttester, DevicesKind, MemoryLeak, NvmlGpus } from '../../host/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collect, type LogLevel, logLevelOption, parseCount, parseSize } from '../options.ts'

interface AttesterChoice {
  readonly attester: AttesterKind
  readonly devices: DevicesKind
  readonly dangerouslyClaimMeasurement?: string
}

interface StartOptions extends AttesterChoice {
  readonly gateway?: string
  readonly runner: 'auto' | 'docker' | 'wasm'
  readonly region?: string
  readonly images?: string
  readonly registries?: string
  readonly jobs?: number
  readonly memory?: number
  readonly dangerouslyAllow: readonly string[]
  readonly logLevel: LogLevel
}

interface EvidenceOptions extends AttesterChoice {
  readonly out?: string
  readonly nonce?: string
  readonly role: 'host' | 'broker'
}

export function register(program: Command): void {
  const host = program.command('host').description('the host agent: proves what it is and runs jobs')
  attesterOptions(host.command('start'))
    .description('run the host agent until it is stopped (Ctrl-C lets a running job finish)')
    .argument('<folder>', 'host folder')
    .option('--gateway <host:port>', 'gateway to dial (default: the one that the identity names)')
    .addOption(
      new Option('--runner <runner>', 'auto: containers where there is an engine').choices(['auto', 'docker', 'wasm']).default('auto'),
    )
    .option('--region <code>', 'where this machine stands, such as DE: part of the configuration that its evidence binds')
    .option('--images <folder>', 'recipes of the images that it runs (default: those that come with sealgate)')
    .option('--registries <file>', 'registries that images may be pulled from, with credentials (docs/images.md; default: none)')
    .option('--jobs <n>', 'most jobs at a time, of those that share the host (default: 16)', parseCount)
    .option('--memory <size>', 'memory for jobs with their inputs (default: seven eighths of what there is)', parseSize)
    .option(
      '--dangerously-allow <leak>',
      'swap or core-dumps: plaintext may reach a disk; stands in the evidence; may be repeated',
      collect,
      [],
    )
    .addOption(logLevelOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate host start host1', 'sealgate host start host1 --runner docker'))
    .action(action<StartOptions, [string]>(start))
  attesterOptions(host.command('evidence'))
    .description('print evidence of this machine and its devices (a bundle, over throwaway keys), for `sealgate verify`')
    .argument('[folder]', 'host folder: its simulated TEE serves where the machine has none')
    .option('--out <file>', 'write the bundle there instead of printing it')
    .option('--nonce <hex>', 'nonce of 32 bytes (default: random)')
    .addOption(new Option('--role <role>', 'what the keys are for').choices(['host', 'broker']).default('host'))
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate host evidence > evidence.json', 'sealgate host evidence host1 --out evidence.json'))
    .action(action<EvidenceOptions, [string | undefined]>(evidence))
}

function attesterOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--attester <attester>', "auto: the machine's own TEE, else the simulated one of the folder; tpm: only by name")
        .choices(['auto', 'sim', 'configfs-tsm', 'sev-guest', 'nitro', 'tpm'])
        .default('auto'),
    )
    .addOption(
      new Option('--devices <devices>', 'auto: GPUs give evidence where the NVIDIA driver is loaded, else the simulated ones of the folder')
        .choices(['auto', 'none', 'nvml', 'sim'])
        .default('auto'),
    )
    .addOption(
      new Option('--dangerously-claim-measurement <hex>', 'simulated TEE only: lie about what runs, to show that it is noticed').hideHelp(),
    )
}

async function start({ output, signal }: Context, options: StartOptions, folder: string): Promise<void> {
  const { startHost } = await import('../../host/index.ts')
  const { createRunner } = await import('../../host/runner/index.ts')
  const { readRegistries } = await import('../../host/registry/index.ts')
  const { createLogger } = await import('../logger.ts')
  const attester = await openAttester(options, folder)
  const devices = await openDevicesOf(options, folder)
  const runner = await createRunner({
    kind: options.runner,
    ...(options.images === undefined ? {} : { images: options.images }),
    ...(options.registries === undefined ? {} : { registries: await readRegistries(options.registries) }),
  })
  try {
    const logger = createLogger(options.logLevel)
    const gateway = options.gateway === undefined ? {} : { gateway: options.gateway }
    const region = options.region === undefined ? {} : { region: options.region }
    const room = {
      ...(options.jobs === undefined ? {} : { jobs: options.jobs }),
      ...(options.memory === undefined ? {} : { memoryBytes: options.memory }),
    }
    const dangerouslyAllow = options.dangerouslyAllow.map(parseLeak)
    const host = await startHost({ folder, attester, devices, runner, logger, dangerouslyAllow, ...room, ...gateway, ...region })
    const { kind, grade, isolations } = runner
    const facts = { name: host.name, gateway: host.gateway, runner: kind, isolation: grade, isolations, simulated: attester.simulated }
    output.answer(facts, [
      `Host "${host.name}" serves ${host.gateway}; runner ${runner.kind} (${runner.reason}). Ctrl-C stops it.`,
      ...(attester.simulated ? [output.paint.warn('Its evidence is SIMULATED and proves nothing about hardware.')] : []),
    ])
    signal.addEventListener('abort', () => void host.close(), { once: true })
    if (signal.aborted) await host.close()
    await host.ended
  } finally {
    await runner.close()
  }
}

function parseLeak(text: string): MemoryLeak {
  if (text === 'swap' || text === 'core-dumps') return text
  throw new AttestError('USAGE', `--dangerously-allow ${text.slice(0, 20)}: want swap or core-dumps`)
}

async function openAttester(
  { attester, dangerouslyClaimMeasurement }: AttesterChoice,
  folder: string | undefined,
): Promise<Awaited<ReturnType<typeof import('../../host/index.ts')['createAttester']>>> {
  const { createAttester, HOST_FILES } = await import('../../host/index.ts')
  const place = folder === undefined ? {} : { platformFile: `${folder}/${HOST_FILES.simulatedPlatform}` }
  if (dangerouslyClaimMeasurement === undefined) return createAttester(attester, place)
  return createAttester('sim', { ...place, dangerouslyClaimMeasurement: await parseHex(dangerouslyClaimMeasurement, 48) })
}

async function openDevicesOf({ devices }: AttesterChoice, folder: string | undefined): Promise<DeviceAttester | null> {
  const { HOST_FILES, openDevices } = await import('../../host/index.ts')
  return openDevices(devices, folder === undefined ? {} : { simulatedFile: `${folder}/${HOST_FILES.simulatedGpus}` })
}

async function parseHex(text: string, size: number): Promise<Uint8Array> {
  const { fromHex } = await import('../../verify/bytes/bytes.ts')
  const bytes = /^([0-9a-f]{2})*$/i.test(text) ? fromHex(text) : new Uint8Array()
  if (bytes.length !== size) throw new AttestError('USAGE', `want ${size} bytes in hexadecimal`)
  return bytes
}

async function evidence({ output }: Context, options: EvidenceOptions, folder: string | undefined): Promise<void> {
  const { makeEvidence } = await import('../make-evidence.ts')
  const { bundleToJson, encodeEvidenceBundle } = await import('../../verify/documents/evidence-bundle.ts')
  const nonce = options.nonce === undefined ? null : await parseHex(options.nonce, 32)
  const attester = await openAttester(options, folder)
  const devices = await openDevicesOf(options, folder)
  const made = await makeEvidence({ attester, devices, role: options.role, nonce })
  const bytes = encodeEvidenceBundle(made.bundle)
  if (options.out !== undefined) {
    const { PUBLIC, writeNew } = await import('../../client/index.ts')
    await writeNew(options.out, bytes, PUBLIC)
  } else if (!output.json) output.artefact(new TextDecoder().decode(bytes))
  const about = await aboutDevices(devices)
  const { format: tee, simulated } = attester
  const facts = {
    tee,
    measurement: made.measurement,
    simulated,
    role: options.role,
    nonce: made.nonce,
    ...about,
    file: options.out ?? null,
  }
  output.answer(options.out === undefined ? { ...facts, bundle: bundleToJson(made.bundle) } : facts, [
    `${simulated ? output.paint.warn('SIMULATED, proves nothing about hardware: ') : ''}${tee}`,
    ...(made.measurement === null ? [] : [`  measurement  ${made.measurement}`]),
    `  nonce        ${made.nonce}`,
    ...about.gpus.map((g, i) => `  GPU ${i}        ${g.architecture}, vBIOS ${g.vbiosVersion}, driver ${about.driverVersion}, ${g.uuid}`),
    ...(made.bundle.devices.length === 0 ? [] : [`  devices      ${made.bundle.devices.length} reports`]),
    ...about.unattested.map((what) => output.paint.warn(`  no evidence of ${what}`)),
    ...(options.out === undefined ? [] : [`  evidence in  ${options.out}`]),
  ])
}

/** What the driver says of the GPUs: for people, not part of the evidence. */
async function aboutDevices(devices: DeviceAttester | null): Promise<{
  readonly driverVersion: string | null
  readonly gpus: Awaited<ReturnType<NvmlGpus['facts']>>
  readonly unattested: readonly string[]
}> {
  const { NvmlGpus } = await import('../../host/index.ts')
  const unattested = devices?.unattested ?? []
  if (!(devices instanceof NvmlGpus)) return { driverVersion: null, gpus: [], unattested }
  return { driverVersion: await devices.driverVersion(), gpus: await devices.facts(), unattested }
}
