import { type Command, Option } from 'commander'
import type { HpkeSuiteName } from '../../verify/documents/keys.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'

interface InitOptions {
  readonly role: 'gateway' | 'owner' | 'host' | 'witness' | 'broker'
  readonly name?: string
  readonly listen?: string
  readonly publicAddress?: string
  readonly logListen?: string
  readonly trust?: string
  readonly suite: 'hybrid' | 'p384'
  readonly simulated?: boolean
  readonly tee: 'sev-snp' | 'tdx'
  readonly gpus?: number
  readonly keyStore?: string
  readonly passphraseFile?: string
}

const SUITES: Record<InitOptions['suite'], HpkeSuiteName> = {
  hybrid: 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM',
  p384: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM',
}

export function register(program: Command): void {
  program
    .command('init')
    .description('make the keys and files of a gateway, an owner, a witness, a key broker or a simulated host; never overwrites')
    .argument('<folder>', 'gateway and witness: folder to make; owner, broker and host: folder made by `sealgate ca issue`')
    .addOption(
      new Option('--role <role>', 'whose folder it is').choices(['gateway', 'owner', 'host', 'witness', 'broker']).makeOptionMandatory(),
    )
    .option('--name <name>', 'gateway: its name (a-z, 0-9, "-"); witness: the name of its key, such as w1.example')
    .option('--listen <host:port>', 'gateway, witness: where to listen (default: 127.0.0.1:7443, 127.0.0.1:7444)')
    .option('--public-address <host:port>', 'gateway: what others dial, where that differs')
    .option('--log-listen <host:port>', 'gateway: where anybody may read the log over HTTP; nowhere unless given')
    .option(
      '--trust <file>',
      'owner, broker: trust file to begin with (the trust.json of the gateway); witness: trust file whose logs it cosigns',
    )
    .addOption(
      new Option('--suite <suite>', 'owner: kind of the recipient key; broker: of the KEM key')
        .choices(['hybrid', 'p384'])
        .default('hybrid'),
    )
    .option('--simulated', 'host: make a simulated TEE; its evidence proves nothing about hardware')
    .addOption(new Option('--tee <tee>', 'host: what the simulated TEE is').choices(['sev-snp', 'tdx']).default('sev-snp'))
    .option('--gpus <n>', 'host: how many simulated GPUs it has, 1 to 8', parseGpus)
    .option('--key-store <file>', 'broker: keystore.json that names a token, a KMS or a key file (docs/broker.md)')
    .option('--passphrase-file <file>', 'broker: keep the key-encryption keys in the folder, under the first line of this file')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate init gw --role gateway --name clinic --listen 127.0.0.1:7443',
        'sealgate init alice --role owner --trust gw/trust.json',
        'sealgate init w1 --role witness --name w1.example --trust gw/trust.json',
        'sealgate init kb1 --role broker --trust gw/trust.json --passphrase-file passphrase.txt',
        'sealgate init kb1 --role broker --trust gw/trust.json --key-store keystore.json',
        'sealgate init host1 --role host --simulated',
        'sealgate init host2 --role host --simulated --tee tdx',
        'sealgate init host3 --role host --simulated --gpus 1',
      ),
    )
    .action(action<InitOptions, [string]>(initFolder))
}

function parseGpus(text: string): number {
  if (!/^[1-8]$/.test(text)) throw new AttestError('USAGE', `--gpus ${text.slice(0, 20)}: want 1 to 8`)
  return Number(text)
}

async function initFolder(context: Context, options: InitOptions, folder: string): Promise<void> {
  if (options.role === 'gateway') await initGateway(context, options, folder)
  else if (options.role === 'owner') await initOwner(context, options, folder)
  else if (options.role === 'witness') await initWitness(context, options, folder)
  else if (options.role === 'broker') await initBroker(context, options, folder)
  else await initHost(context, options, folder)
}

async function initGateway({ output }: Context, options: InitOptions, folder: string): Promise<void> {
  if (options.name === undefined) throw new AttestError('USAGE', '--role gateway needs --name')
  const { createGatewayFolder } = await import('../folders/gateway-folder.ts')
  const { parseAddress } = await import('../../rpc/index.ts')
  const { name, listen = '127.0.0.1:7443', publicAddress, logListen } = options
  if (logListen !== undefined) parseAddress(logListen)
  const trust = await createGatewayFolder({ folder, name, listen, publicAddress: publicAddress ?? null, logListen, at: new Date() })
  output.answer({ role: 'gateway', folder, name, listen, trust }, [
    `Gateway "${name}" is ready in ${folder}.`,
    `  Others need: ${folder}/trust.json, and an identity each (sealgate ca issue --gateway ${folder} …).`,
    `  Keep ${folder}/ca.key away from the running gateway: it makes identities.`,
    `  Start it: sealgate gateway start ${folder}`,
  ])
}

async function initOwner({ output }: Context, options: InitOptions, folder: string): Promise<void> {
  if (options.trust === undefined) throw new AttestError('USAGE', '--role owner needs --trust (the trust.json of the gateway)')
  const { createOwner } = await import('../folders/owner-folder.ts')
  const owner = await createOwner({ folder, trust: options.trust, suite: SUITES[options.suite] })
  output.answer(
    { role: 'owner', folder, owner: owner.grantThumbprint, submitter: owner.submitThumbprint, recipient: owner.recipientDigest },
    [
      `Owner keys are ready in ${folder}; keep a copy of them: without them sealed data and results cannot be opened.`,
      `  owner      ${owner.grantThumbprint}`,
      `  submitter  ${owner.submitThumbprint}`,
      `  recipient  ${owner.recipientDigest}`,
    ],
  )
}

async function initWitness({ output }: Context, options: InitOptions, folder: string): Promise<void> {
  const { name, listen = '127.0.0.1:7444', trust } = options
  if (name === undefined) throw new AttestError('USAGE', '--role witness needs --name')
  const { createWitnessFolder } = await import('../folders/witness-folder.ts')
  const vkey = await createWitnessFolder({ folder, name, listen, trust: trust ?? null })
  output.answer({ role: 'witness', folder, name, listen, witness: vkey }, [
    `Witness "${name}" is ready in ${folder}.`,
    `  verifier key  ${vkey}`,
    '  Policies and trust files name it so. Never restore state.json from a copy: it is what keeps a log to one history.',
    `  Start it: sealgate witness start ${folder}`,
  ])
}

async function initBroker({ output }: Context, options: InitOptions, folder: string): Promise<void> {
  const { trust, keyStore: config, passphraseFile } = options
  if (trust === undefined) throw new AttestError('USAGE', '--role broker needs --trust (the trust.json of the gateway)')
  const keyStore = config !== undefined && passphraseFile === undefined ? { config } : keptHere(config, passphraseFile)
  const { createBrokerFolder } = await import('../folders/broker-folder.ts')
  const broker = await createBrokerFolder({ folder, trust, keyStore, suite: SUITES[options.suite] })
  output.answer({ role: 'broker', folder, broker }, [
    `A key broker is ready in ${folder}. Whoever controls it can read what is entrusted to it, without a log entry.`,
    `  broker  ${broker}`,
    `  Owners need ${folder}/broker.json, and compare this thumbprint with you; then: sealgate grant create --broker, dataset entrust.`,
    `  Name the owners whom it serves: sealgate trust add ${folder} --owner <thumbprint>`,
  ])
}

function keptHere(config: string | undefined, passphraseFile: string | undefined): { readonly passphraseFile: string } {
  if (config === undefined && passphraseFile !== undefined) return { passphraseFile }
  throw new AttestError('USAGE', '--role broker needs either --key-store or --passphrase-file')
}

async function initHost({ output }: Context, options: InitOptions, folder: string): Promise<void> {
  if (options.simulated !== true) {
    throw new AttestError('USAGE', 'a host with a real TEE has nothing to make; for a simulated one say --simulated')
  }
  const { createSimulatedHost } = await import('../folders/host-folder.ts')
  const { createSimulatedGpus, createSimulatedTee } = await import('../../sim/index.ts')
  const at = new Date()
  const gpus = options.gpus === undefined ? null : await createSimulatedGpus(options.gpus, at)
  const tee = await createSimulatedTee(options.tee, at)
  const { rootPath, collateralPath, measurement } = await createSimulatedHost(folder, tee, gpus)
  const facts = {
    role: 'host',
    folder,
    simulated: true,
    tee: options.tee,
    gpus: gpus?.count ?? 0,
    simulatedRoot: rootPath,
    collateral: collateralPath,
    measurement,
  }
  output.answer(facts, [
    `A SIMULATED TEE is ready in ${folder}: its evidence proves nothing about hardware.`,
    `  measurement  ${measurement}`,
    ...(gpus === null ? [] : [`  GPUs         ${gpus.count}, simulated too`]),
    `  root         ${rootPath}: it counts only where it is added, e.g. sealgate trust add gw --simulated-root ${rootPath}`,
    ...(collateralPath === null ? [] : [`  collateral   ${collateralPath}: for sealgate verify --collateral`]),
  ])
}
