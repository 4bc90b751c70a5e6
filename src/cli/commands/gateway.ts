import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { type LogLevel, logLevelOption } from '../options.ts'

interface WitnessOptions {
  readonly url: string
  readonly vkey: string
}

export function register(program: Command): void {
  const gateway = program.command('gateway').description('the gateway: places jobs, keeps ciphertext and the log, sees no plaintext')
  gateway
    .command('start')
    .description('run the gateway until it is stopped')
    .argument('<folder>', 'gateway folder')
    .addOption(logLevelOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway start gw'))
    .action(action<{ readonly logLevel: LogLevel }, [string]>(start))
  gateway
    .command('add-witness')
    .description('have the gateway ask a witness for cosignatures, and name it in its trust file')
    .argument('<folder>', 'gateway folder')
    .requiredOption('--url <url>', 'where the witness is asked: https://HOST[:PORT][/PATH], or http:// on this machine')
    .requiredOption('--vkey <vkey>', 'verifier key of the witness, as its operator tells it')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway add-witness gw --url https://w1.example --vkey w1.example+…'))
    .action(action<WitnessOptions, [string]>(askWitness))
  gateway
    .command('doctor')
    .description('check the folder, keys, port, clock and store of a gateway that is not running')
    .argument('<folder>', 'gateway folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway doctor gw'))
    .action(action<object, [string]>(doctor))
}

async function askWitness({ output }: Context, { url, vkey }: WitnessOptions, folder: string): Promise<void> {
  const { addWitness, checkWitnessKey } = await import('../folders/witness-folder.ts')
  const changed = await addWitness(folder, url, await checkWitnessKey(vkey))
  output.answer({ changed }, [...changed.map((path) => `Added to ${path}.`), 'It is asked from the next start of the gateway on.'])
}

async function start({ output, signal }: Context, { logLevel }: { readonly logLevel: LogLevel }, folder: string): Promise<void> {
  const { startGateway } = await import('../../gateway/index.ts')
  const { createLogger } = await import('../logger.ts')
  const gateway = await startGateway({ folder, logger: createLogger(logLevel) })
  output.answer({ name: gateway.name, address: gateway.address, log: gateway.logKey, pid: process.pid }, [
    `Gateway "${gateway.name}" listens on ${gateway.address}. Ctrl-C stops it.`,
  ])
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
  await gateway.close()
}

async function doctor({ output }: Context, _: object, folder: string): Promise<number> {
  const { examineGateway } = await import('../gateway-doctor.ts')
  const findings = await examineGateway(folder, new Date())
  const { paint } = output
  const word = { ok: paint.good('ok     '), note: paint.warn('note   '), problem: paint.bad('problem') }
  output.answer(
    { findings },
    findings.map((f) => `${word[f.outcome]}  ${f.check}: ${f.detail}`),
  )
  return findings.some((f) => f.outcome === 'problem') ? 1 : 0
}
