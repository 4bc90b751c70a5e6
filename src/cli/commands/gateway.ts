import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { type LogLevel, logLevelOption, parseDuration } from '../options.ts'

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
    .command('rotate-keys')
    .description('give a gateway that is not running new keys for receipts, and sign whom the old ones hand over to')
    .argument('<folder>', 'gateway folder')
    .option('--overlap <duration>', 'how long witnesses may take to cosign what the old key signed', parseDuration, 3600)
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway rotate-keys gw'))
    .action(action<{ readonly overlap: number }, [string]>(rotate))
  gateway
    .command('doctor')
    .description('check the folder, keys, port, clock and store of a gateway that is not running')
    .argument('<folder>', 'gateway folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway doctor gw'))
    .action(action<object, [string]>(doctor))
  gateway
    .command('renew-head')
    .description('write a lost or damaged head file of the log anew; only with a database that is known to be the newest')
    .argument('<folder>', 'gateway folder')
    .option('--dangerously-trust-database', 'the database is the newest one; with an older copy the log forks')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate gateway renew-head gw --dangerously-trust-database'))
    .action(action<{ readonly dangerouslyTrustDatabase?: boolean }, [string]>(renewHead))
}

async function renewHead({ output }: Context, options: { readonly dangerouslyTrustDatabase?: boolean }, folder: string): Promise<void> {
  const { loadConfig, loadKeys, renewHead: renew } = await import('../../gateway/index.ts')
  if (options.dangerouslyTrustDatabase !== true) {
    throw new AttestError(
      'USAGE',
      'an older database would fork the log: say --dangerously-trust-database if you know that it is the newest',
    )
  }
  const { entries } = await renew(folder, loadConfig(folder), loadKeys(folder).log)
  output.answer({ entries }, [`The head file says now what the database says: ${entries} entries.`])
}

async function rotate({ output }: Context, { overlap }: { readonly overlap: number }, folder: string): Promise<void> {
  const { rotateGatewayKeys } = await import('../folders/rotate-gateway.ts')
  const { from, to, mlDsa, retired, path, resumed } = await rotateGatewayKeys(folder, { at: new Date(), overlapSeconds: overlap })
  output.answer({ from, to, mlDsa, retired, succession: path, resumed }, [
    `${resumed ? 'A rotation that was under way is finished: g' : 'G'}ateway ${to} follows ${from}, which is retired at ${retired}.`,
    `  Give ${path} to everybody who trusts this gateway: sealgate trust add FOLDER --succession FILE`,
  ])
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
  const { name, address, logKey, publicLog } = gateway
  output.answer({ name, address, log: logKey, publicLog, pid: process.pid }, [
    `Gateway "${name}" listens on ${address}. Ctrl-C stops it.`,
    ...(publicLog === null ? [] : [`Anybody may read its log at ${publicLog}.`]),
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
