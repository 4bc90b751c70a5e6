import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'

export function register(program: Command): void {
  const keys = program.command('keys').description('the public names of keys')
  keys
    .command('show')
    .description('show by what names grants and headers know the keys of a folder; never shows a private key')
    .argument('<folder>', 'owner, gateway or witness folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate keys show alice'))
    .action(action<object, [string]>(show))
}

async function show({ output }: Context, _: object, folder: string): Promise<void> {
  const { exists } = await import('../../client/index.ts')
  const { GATEWAY_FILES } = await import('../../gateway/config/config.ts')
  const { WITNESS_FILES } = await import('../../witness/index.ts')
  const has = (file: string): Promise<boolean> => exists(`${folder}/${file}`)
  const names = (await has(GATEWAY_FILES.config))
    ? await gatewayNames(folder)
    : (await has(WITNESS_FILES.key))
      ? await witnessNames(folder)
      : await ownerNames(folder)
  const width = Math.max(...Object.keys(names).map((k) => k.length))
  output.answer(
    names,
    Object.entries(names).map(([key, value]) => `${key.padEnd(width)}  ${value}`),
  )
}

async function witnessNames(folder: string): Promise<Record<string, string>> {
  const { cosignerKeyOf, loadWitnessKey } = await import('../../witness/index.ts')
  return { witness: await cosignerKeyOf(loadWitnessKey(folder)) }
}

async function ownerNames(folder: string): Promise<Record<string, string>> {
  const { loadOwner } = await import('../../client/index.ts')
  const { grantThumbprint, submitThumbprint, recipientDigest, recipient } = await loadOwner(folder)
  return { owner: grantThumbprint, submitter: submitThumbprint, recipient: recipientDigest, suite: recipient.publicKey.suite }
}

async function gatewayNames(folder: string): Promise<Record<string, string>> {
  const { loadTrustFile } = await import('../../client/index.ts')
  const { thumbprint } = await import('../../verify/documents/keys.ts')
  const { logs, gateways } = await loadTrustFile(`${folder}/trust.json`)
  const signer = gateways[0] === undefined ? 'none' : await thumbprint(gateways[0])
  return { gateway: signer, log: logs[0]?.key ?? 'none' }
}
