import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { type LogLevel, logLevelOption } from '../options.ts'

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
    .command('doctor')
    .description('check the folder, keys, port, clock and store of a gateway that is not running')
    .argument('<folder>', 'gateway folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway doctor gw'))
    .action(action<object, [string]>(doctor))
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
