import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'

export function register(program: Command): void {
  const keys = program.command('keys').description('the public names of keys, and encrypted copies of them')
  keys
    .command('show')
    .description('show by what names grants and headers know the keys of a folder; never shows a private key')
    .argument('<folder>', 'owner, gateway, witness or broker folder')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate keys show alice'))
    .action(action<object, [string]>(show))
  keys
    .command('backup')
    .description('copy the keys and documents of a folder into one encrypted file')
    .argument('<folder>', 'folder of an owner, gateway, host or witness')
    .requiredOption('--out <file>', 'file to write')
    .requiredOption('--passphrase-file <file>', 'file whose first line is the passphrase, 12 characters or more')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate keys backup alice --out alice.backup --passphrase-file passphrase.txt'))
    .action(action<BackupOptions, [string]>(backup))
  keys
    .command('restore')
    .description('put the keys of an encrypted copy into a folder; overwrites nothing')
    .argument('<file>', 'what keys backup wrote')
    .requiredOption('--folder <folder>', 'folder to fill')
    .requiredOption('--passphrase-file <file>', 'file whose first line is the passphrase')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate keys restore alice.backup --folder alice2 --passphrase-file passphrase.txt'))
    .action(action<RestoreOptions, [string]>(restore))
}

interface BackupOptions {
  readonly out: string
  readonly passphraseFile: string
}

interface RestoreOptions {
  readonly folder: string
  readonly passphraseFile: string
}

async function backup({ output }: Context, { out, passphraseFile }: BackupOptions, folder: string): Promise<void> {
  const { backUp, PRIVATE, writeNew } = await import('../../client/index.ts')
  const { readSecretLine } = await import('../secret-line.ts')
  const { bytes, paths } = await backUp(folder, await readSecretLine(passphraseFile))
  await writeNew(out, bytes, PRIVATE)
  output.answer({ backup: out, sizeBytes: bytes.length, files: paths }, [
    `${paths.length} files of ${folder} are in ${out}, encrypted.`,
    '  Not in it: databases, blobs, and counters that must never go back.',
    '  Keep the passphrase elsewhere: without it the copy is of no use, with it the copy is the keys.',
  ])
}

async function restore({ output }: Context, { folder, passphraseFile }: RestoreOptions, file: string): Promise<void> {
  const { MAX_BACKUP_SIZE, readBytes, restoreBackup } = await import('../../client/index.ts')
  const { readSecretLine } = await import('../secret-line.ts')
  const paths = await restoreBackup(await readBytes(file, MAX_BACKUP_SIZE), await readSecretLine(passphraseFile), folder)
  output.answer({ folder, files: paths }, [`${paths.length} files are in ${folder}.`, ...paths.map((path) => `  ${path}`)])
}

async function show({ output }: Context, _: object, folder: string): Promise<void> {
  const { exists } = await import('../../client/index.ts')
  const { GATEWAY_FILES } = await import('../../gateway/config/config.ts')
  const { WITNESS_FILES } = await import('../../witness/index.ts')
  const has = (file: string): Promise<boolean> => exists(`${folder}/${file}`)
  const { BROKER_FILES } = await import('../../broker/broker-folder.ts')
  const names = (await has(BROKER_FILES.description))
    ? await brokerNames(folder)
    : (await has(GATEWAY_FILES.config))
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

async function brokerNames(folder: string): Promise<Record<string, string>> {
  const { MAX_FILE_SIZE, parseBrokerFile, readBytes } = await import('../../client/index.ts')
  const { hpkeKeyDigest } = await import('../../verify/documents/keys.ts')
  const { BROKER_FILES } = await import('../../broker/broker-folder.ts')
  const { thumbprint, kem } = await parseBrokerFile(await readBytes(`${folder}/${BROKER_FILES.description}`, MAX_FILE_SIZE))
  return { broker: thumbprint, kem: await hpkeKeyDigest(kem), suite: kem.suite }
}

async function ownerNames(folder: string): Promise<Record<string, string>> {
  const { exists, FILES, loadIdentity, loadOwner } = await import('../../client/index.ts')
  const { tlsKeyDigest } = await import('../tls-key.ts')
  const { grantThumbprint, submitThumbprint, recipientDigest, recipient } = await loadOwner(folder)
  const client = (await exists(`${folder}/${FILES.identity}`)) ? tlsKeyDigest((await loadIdentity(folder)).tls.cert) : 'none'
  return { owner: grantThumbprint, submitter: submitThumbprint, recipient: recipientDigest, suite: recipient.publicKey.suite, client }
}

async function gatewayNames(folder: string): Promise<Record<string, string>> {
  const { loadTrustFile } = await import('../../client/index.ts')
  const { thumbprint } = await import('../../verify/documents/keys.ts')
  const { logs, gateways, retired } = await loadTrustFile(`${folder}/trust.json`)
  const gateway = gateways.find((g) => !retired?.some((r) => r.kind === 'gateway' && r.key === g.x))
  const signer = gateway === undefined ? 'none' : await thumbprint(gateway)
  const mlDsa = gateway?.mlDsa === undefined ? 'none' : await thumbprint(gateway.mlDsa)
  return { gateway: signer, 'gateway-ml-dsa': mlDsa, log: logs[0]?.key ?? 'none' }
}
