import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collect, parseInstant } from '../options.ts'

interface AddOptions {
  readonly from?: string
  readonly simulatedRoot: readonly string[]
  readonly owner: readonly string[]
  readonly witness: readonly string[]
  readonly succession: readonly string[]
}

interface RetireOptions {
  readonly at: Date
  readonly compromised: boolean
}

export function register(program: Command): void {
  const trust = program.command('trust').description('trust files: whose logs, gateways and owners count')
  trust
    .command('show')
    .description('show what a trust file trusts')
    .argument('<file>', 'trust file, or a folder that holds one')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate trust show alice/trust.json'))
    .action(action<object, [string]>(show))
  trust
    .command('add')
    .description('add to a trust file; simulated roots also to the configuration of a gateway folder')
    .argument('<target>', 'trust file, or the folder of a gateway or owner')
    .option('--from <file>', 'everything that another trust file trusts')
    .option('--simulated-root <file>', 'certificate of a simulator (PEM or DER); may be repeated', collect, [])
    .option('--owner <thumbprint>', "thumbprint of an owner's grant key; may be repeated", collect, [])
    .option('--witness <vkey>', 'verifier key of a witness; may be repeated', collect, [])
    .option('--succession <file>', 'the key that succeeds one of a gateway in the file, signed by both; may be repeated', collect, [])
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate trust add gw --simulated-root host1/simulated-root.pem'))
    .action(action<AddOptions, [string]>(add))
  trust
    .command('retire')
    .description('have a key count only for what witnesses prove to be older than a date')
    .argument('<target>', 'trust file, or a folder that holds one')
    .argument('<key>', 'thumbprint of a gateway or owner, verifier key of a log or witness')
    .requiredOption('--at <time>', 'from when on it counts no more, RFC 3339', parseInstant)
    .option('--compromised', 'somebody else may have had it since then', false)
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate trust retire alice 90OvuMt0… --at 2026-06-01T00:00:00Z --compromised'))
    .action(action<RetireOptions, [string, string]>(retireOne))
}

async function show({ output }: Context, _: object, target: string): Promise<void> {
  const { loadTrustFile } = await import('../../client/index.ts')
  const { trustPathOf } = await import('../folders/trust.ts')
  const { thumbprint } = await import('../../verify/documents/keys.ts')
  const path = await trustPathOf(target)
  const trust = await loadTrustFile(path)
  const gateways = await Promise.all(
    trust.gateways.map(async (g) => [await thumbprint(g), g.mlDsa === undefined ? null : await thumbprint(g.mlDsa)] as const),
  )
  const retired = trust.retired ?? []
  const nameOf = (kind: string, key: string): string =>
    kind === 'gateway' ? (gateways[trust.gateways.findIndex((g) => g.x === key)]?.[0] ?? key) : key
  const rows = [
    ...trust.logs.map((l) => `log              ${l.key}`),
    ...trust.witnesses.map((w) => `witness          ${w}`),
    ...gateways.flatMap(([key, mlDsa]) => [
      `gateway          ${key}`,
      ...(mlDsa === null ? [] : [`  and ML-DSA-65  ${mlDsa} (its receipts must be signed by this key too)`]),
    ]),
    ...trust.owners.map((o) => `owner            ${o}`),
    ...retired.map((r) => `${(r.compromised ? 'COMPROMISED' : 'retired').padEnd(17)}${r.at} ${r.kind} ${nameOf(r.kind, r.key)}`),
    ...trust.simulatedRoots.map((r) => `SIMULATED root   ${r.slice(0, 24)}… (proves nothing about hardware)`),
  ]
  output.answer(trust, [path, ...rows.map((r) => `  ${r}`)])
}

async function add({ output }: Context, options: AddOptions, target: string): Promise<void> {
  if (
    options.from === undefined &&
    options.simulatedRoot.length + options.owner.length + options.witness.length + options.succession.length === 0
  ) {
    throw new AttestError('USAGE', 'nothing to add: name --from, --simulated-root, --owner, --witness or --succession')
  }
  const { addTrust } = await import('../folders/trust.ts')
  const { checkWitnessKey } = await import('../folders/witness-folder.ts')
  const witnesses = await Promise.all(options.witness.map(checkWitnessKey))
  const additions = {
    from: options.from ?? null,
    simulatedRoots: options.simulatedRoot,
    owners: options.owner,
    witnesses,
    successions: options.succession,
  }
  const changed = await addTrust(target, additions)
  output.answer(
    { changed },
    changed.map((path) => `Added to ${path}.`),
  )
}

async function retireOne({ output }: Context, { at, compromised }: RetireOptions, target: string, name: string): Promise<void> {
  const { retireKey } = await import('../folders/trust.ts')
  const retired = await retireKey(target, { name, at: `${at.toISOString().slice(0, 19)}Z`, compromised })
  output.answer(retired, [
    `${retired.kind} ${name} is ${retired.compromised ? 'COMPROMISED' : 'retired'} since ${retired.at}.`,
    '  What it signed counts where witnesses prove that it existed before. Where a policy demands no witnesses, nothing proves that.',
    '  Other trust files know nothing of this.',
  ])
}
