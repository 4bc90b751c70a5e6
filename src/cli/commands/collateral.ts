import { type Command, Option } from 'commander'
import { action, examples, jsonOption } from '../action.ts'
import { collect } from '../options.ts'

/** What every command here works on. */
export interface FolderChoice {
  readonly trustAnchor: readonly string[]
}

export interface FetchOptions extends FolderChoice {
  readonly amdKds?: string
  readonly intelPcs?: string
  readonly intelRootCrl?: string
  readonly ca?: string
  readonly early?: true
  readonly all?: true
}

const FOLDER = 'gateway folder, or a folder of collateral (made where there is none)'

export function register(program: Command): void {
  const collateral = program
    .command('collateral')
    .description('endorsements of evidence: vendors’ certificates, CRLs and TCB documents, fetched, kept and carried offline')
  collateral
    .command('fetch')
    .description('fetch what evidence needs, and renew what the folder holds and is getting old')
    .argument('<folder>', FOLDER)
    .argument('[evidence...]', 'files with evidence')
    .addOption(new Option('--early', 'also fetch Intel’s early TCB info, which only looks ahead'))
    .addOption(new Option('--all', 'renew everything that the folder holds'))
    .addOption(new Option('--amd-kds <url>', 'AMD’s key distribution service or one that speaks like it'))
    .addOption(new Option('--intel-pcs <url>', 'Intel’s provisioning certification service, or a PCCS'))
    .addOption(new Option('--intel-root-crl <url>', 'CRL of Intel’s root'))
    .addOption(new Option('--ca <file>', 'authorities (PEM) of these servers instead of the public ones'))
    .addOption(trustAnchorOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate collateral fetch certs report.bin && sealgate verify report.bin --collateral certs'))
    .action(
      action<FetchOptions, [string, readonly string[]]>(async ({ output }, options, folder, evidence) => {
        const { fetchCollateral } = await import('../collateral.ts')
        return fetchCollateral(output, options, folder, evidence)
      }),
    )
  collateral
    .command('export')
    .description('write everything that still holds into one file')
    .argument('<folder>', FOLDER)
    .argument('<file>', 'file to write; must not exist')
    .addOption(trustAnchorOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate collateral export gw collateral.json'))
    .action(
      action<FolderChoice, [string, string]>(async ({ output }, options, folder, file) => {
        const { exportCollateral } = await import('../collateral.ts')
        await exportCollateral(output, options, folder, file)
      }),
    )
  collateral
    .command('import')
    .description('take over exported files, or loose certificates, CRLs and documents; each is verified first')
    .argument('<folder>', FOLDER)
    .argument('<file...>', 'exported files, loose ones, or folders of them')
    .addOption(trustAnchorOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate collateral import gw collateral.json'))
    .action(
      action<FolderChoice, [string, readonly string[]]>(async ({ output }, options, folder, files) => {
        const { importCollateral } = await import('../collateral.ts')
        await importCollateral(output, options, folder, files)
      }),
    )
  collateral
    .command('show')
    .description('list what the folder holds and until when it is good')
    .argument('<folder>', FOLDER)
    .addOption(trustAnchorOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate collateral show gw'))
    .action(
      action<FolderChoice, [string]>(async ({ output }, options, folder) => {
        const { showCollateral } = await import('../collateral.ts')
        await showCollateral(output, options, folder)
      }),
    )
}

function trustAnchorOption(): Option {
  return new Option('--trust-anchor <file>', 'root certificate of a simulator, besides those that a gateway folder names; may be repeated')
    .argParser(collect)
    .default([], 'none')
}
