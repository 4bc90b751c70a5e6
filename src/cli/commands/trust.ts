import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'

interface AddOptions {
  readonly from?: string
  readonly simulatedRoot: readonly string[]
  readonly owner: readonly string[]
  readonly witness: readonly string[]
}

const collect = (value: string, list: readonly string[]): readonly string[] => [...list, value]

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
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate trust add gw --simulated-root host1/simulated-root.pem'))
    .action(action<AddOptions, [string]>(add))
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
  const rows = [
    ...trust.logs.map((l) => `log              ${l.key}`),
    ...trust.witnesses.map((w) => `witness          ${w}`),
    ...gateways.flatMap(([key, mlDsa]) => [
      `gateway          ${key}`,
      ...(mlDsa === null ? [] : [`  and ML-DSA-65  ${mlDsa} (its receipts must be signed by this key too)`]),
    ]),
    ...trust.owners.map((o) => `owner            ${o}`),
    ...trust.simulatedRoots.map((r) => `SIMULATED root   ${r.slice(0, 24)}… (proves nothing about hardware)`),
  ]
  output.answer(trust, [path, ...rows.map((r) => `  ${r}`)])
}

async function add({ output }: Context, options: AddOptions, target: string): Promise<void> {
  if (options.from === undefined && options.simulatedRoot.length + options.owner.length + options.witness.length === 0) {
    throw new AttestError('USAGE', 'nothing to add: name --from, --simulated-root, --owner or --witness')
  }
  const { addTrust } = await import('../folders/trust.ts')
  const { checkWitnessKey } = await import('../folders/witness-folder.ts')
  const witnesses = await Promise.all(options.witness.map(checkWitnessKey))
  const additions = { from: options.from ?? null, simulatedRoots: options.simulatedRoot, owners: options.owner, witnesses }
  const changed = await addTrust(target, additions)
  output.answer(
    { changed },
    changed.map((path) => `Added to ${path}.`),
  )
}
