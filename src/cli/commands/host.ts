import { type Command, Option } from 'commander'
import type { AttesterKind } from '../../host/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { type LogLevel, logLevelOption } from '../options.ts'

interface AttesterChoice {
  readonly attester: AttesterKind
  readonly dangerouslyClaimMeasurement?: string
}

interface StartOptions extends AttesterChoice {
  readonly gateway?: string
  readonly runner: 'auto' | 'docker' | 'wasm'
  readonly logLevel: LogLevel
}

interface EvidenceOptions extends AttesterChoice {
  readonly out?: string
  readonly nonce?: string
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
    .addOption(logLevelOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate host start host1', 'sealgate host start host1 --runner docker'))
    .action(action<StartOptions, [string]>(start))
  attesterOptions(host.command('evidence'))
    .description('make evidence of this machine, for a look at it with `sealgate verify`')
    .argument('<folder>', 'host folder')
    .option('--out <file>', 'evidence bundle to make (default: only its measurement is shown)')
    .option('--nonce <hex>', 'nonce of 32 bytes (default: random)')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate host evidence host1 --out evidence.json'))
    .action(action<EvidenceOptions, [string]>(evidence))
}

function attesterOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--attester <attester>', "auto: the machine's own TEE, else the simulated one of the folder")
        .choices(['auto', 'sim', 'configfs-tsm'])
        .default('auto'),
    )
    .addOption(
      new Option('--dangerously-claim-measurement <hex>', 'simulated TEE only: lie about what runs, to show that it is noticed').hideHelp(),
    )
}

async function start({ output, signal }: Context, options: StartOptions, folder: string): Promise<void> {
  const { startHost } = await import('../../host/index.ts')
  const { createRunner } = await import('../../host/runner/index.ts')
  const { createLogger } = await import('../logger.ts')
  const attester = await openAttester(options, folder)
  const runner = await createRunner({ kind: options.runner })
  try {
    const logger = createLogger(options.logLevel)
    const gateway = options.gateway === undefined ? {} : { gateway: options.gateway }
    const host = await startHost({ folder, attester, runner, logger, ...gateway })
    const facts = { name: host.name, gateway: host.gateway, runner: runner.kind, isolation: runner.grade, simulated: attester.simulated }
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

async function openAttester(
  { attester, dangerouslyClaimMeasurement }: AttesterChoice,
  folder: string,
): Promise<Awaited<ReturnType<typeof import('../../host/index.ts')['createAttester']>>> {
  const { createAttester, HOST_FILES } = await import('../../host/index.ts')
  const platformFile = `${folder}/${HOST_FILES.simulatedPlatform}`
  if (dangerouslyClaimMeasurement === undefined) return createAttester(attester, { platformFile })
  return createAttester('sim', { platformFile, dangerouslyClaimMeasurement: await parseHex(dangerouslyClaimMeasurement, 48) })
}

async function parseHex(text: string, size: number): Promise<Uint8Array> {
  const { fromHex } = await import('../../verify/bytes/bytes.ts')
  const bytes = /^([0-9a-f]{2})*$/i.test(text) ? fromHex(text) : new Uint8Array()
  if (bytes.length !== size) throw new AttestError('USAGE', `want ${size} bytes in hexadecimal`)
  return bytes
}

async function evidence({ output }: Context, options: EvidenceOptions, folder: string): Promise<void> {
  const { makeEvidence } = await import('../make-evidence.ts')
  const nonce = options.nonce === undefined ? null : await parseHex(options.nonce, 32)
  const made = await makeEvidence(await openAttester(options, folder), nonce)
  if (options.out !== undefined) {
    const { PUBLIC, writeNew } = await import('../../client/index.ts')
    await writeNew(options.out, made.bundle, PUBLIC)
  }
  const { tee, measurement, simulated } = made
  output.answer({ tee, measurement, simulated, nonce: made.nonce, file: options.out ?? null }, [
    `${simulated ? output.paint.warn('SIMULATED ') : ''}${tee}`,
    `  measurement  ${measurement}`,
    ...(options.out === undefined ? [] : [`  evidence in  ${options.out}, nonce ${made.nonce}`]),
  ])
}
