import { type Command, Option } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'

interface IssueOptions {
  readonly gateway: string
  readonly role: 'client' | 'host'
  readonly name: string
  readonly out: string
  readonly rsa?: boolean
}

interface ExportOptions {
  readonly folder: string
  readonly p12: string
  readonly passwordFile: string
}

export function register(program: Command): void {
  const ca = program.command('ca').description("the gateway's certificate authority: identities for clients and hosts")
  ca.command('issue')
    .description('issue the identity folder of a client or host')
    .requiredOption('--gateway <folder>', 'folder of the gateway (its ca.key signs)')
    .addOption(new Option('--role <role>', 'what the identity is for').choices(['client', 'host']).makeOptionMandatory())
    .requiredOption('--name <name>', 'name in the certificate (a-z, 0-9, "-")')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--rsa', 'RSA-3072 key instead of P-256, for consumers that read no elliptic curves')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate ca issue --gateway gw --role client --name alice --out alice'))
    .action(action<IssueOptions, []>(issue))
  ca.command('export')
    .description('export an RSA identity as PKCS#12, for Windows and Java consumers')
    .requiredOption('--folder <folder>', 'identity folder, issued with --rsa')
    .requiredOption('--p12 <file>', 'PKCS#12 file to make')
    .requiredOption('--password-file <file>', 'file whose first line is the password')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate ca export --folder alice --p12 alice.p12 --password-file password.txt'))
    .action(action<ExportOptions, []>(exportP12))
}

async function issue({ output }: Context, options: IssueOptions): Promise<void> {
  const { createIdentityFolder } = await import('../folders/identity-folder.ts')
  const { gateway, role, name, out } = options
  await createIdentityFolder({ gateway, folder: out, role, name, rsa: options.rsa === true, at: new Date() })
  output.answer({ role, name, folder: out }, [
    `Identity of ${role} "${name}" is ready in ${out}.`,
    role === 'client'
      ? `  Next: sealgate init ${out} --role owner --trust ${gateway}/trust.json`
      : `  Next: sealgate init ${out} --role host --simulated`,
  ])
}

async function exportP12({ output }: Context, { folder, p12, passwordFile }: ExportOptions): Promise<void> {
  const { exportPkcs12 } = await import('../pkcs12.ts')
  const { loadIdentity, PRIVATE, writeNew } = await import('../../client/index.ts')
  const { readSecretLine } = await import('../secret-line.ts')
  const { file, tls } = await loadIdentity(folder)
  const password = await readSecretLine(passwordFile)
  await writeNew(p12, exportPkcs12(tls, file.name, password), PRIVATE)
  output.answer({ file: p12, name: file.name }, [`${p12} holds the identity of ${file.name} with its private key.`])
}
