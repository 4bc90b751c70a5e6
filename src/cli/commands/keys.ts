import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'

export function register(program: Command): void {
  const keys = program.command('keys').description('the public names of keys')
  keys
    .command('show')
    .description('show by what names grants and headers know the keys of a folder; never shows a private key')
    .argument('<folder>', 'owner or gateway folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate keys show alice'))
    .action(action<object, [string]>(show))
}

async function show({ output }: Context, _: object, folder: string): Promise<void> {
  const { exists } = await import('../../client/index.ts')
  const { GATEWAY_FILES } = await import('../../gateway/config/config.ts')
  const names = (await exists(`${folder}/${GATEWAY_FILES.config}`)) ? await gatewayNames(folder) : await ownerNames(folder)
  const width = Math.max(...Object.keys(names).map((k) => k.length))
  output.answer(
    names,
    Object.entries(names).map(([key, value]) => `${key.padEnd(width)}  ${value}`),
  )
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
  const [gateway] = gateways
  const signer = gateway === undefined ? 'none' : await thumbprint(gateway)
  const mlDsa = gateway?.mlDsa === undefined ? 'none' : await thumbprint(gateway.mlDsa)
  return { gateway: signer, 'gateway-ml-dsa': mlDsa, log: logs[0]?.key ?? 'none' }
}
