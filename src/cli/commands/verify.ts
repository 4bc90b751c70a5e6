import { type Command, InvalidArgumentError, Option } from 'commander'
import { ALLOWABLE_GROUPS } from '../../verify/evidence/conclude.ts'
import { FORMATS, type Format } from '../../verify/evidence/types.ts'
import type { Group } from '../../verify/verdict.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collect, parseInstant } from '../options.ts'

/** The options of `sealgate verify`, as commander hands them over. */
export interface VerifyCommand {
  readonly format: Format | 'auto'
  readonly collateral: readonly string[]
  readonly early: readonly string[]
  readonly trustAnchor: readonly string[]
  readonly nonce?: Uint8Array
  readonly measurement?: Uint8Array
  readonly eventLog?: string
  readonly at?: Date
  readonly policy?: string
  readonly allowUnknown: readonly Group[]
}

export function register(program: Command): void {
  program
    .command('verify')
    .description('verify evidence of a TEE: what it proves, what it does not')
    .argument('<file>', 'evidence: raw bytes, hex, base64, configfs-tsm JSON or folder, or an evidence bundle')
    .addOption(new Option('--format <format>', 'what FILE holds').choices(['auto', ...FORMATS]).default('auto'))
    .addOption(
      repeated(
        '--collateral <path>',
        'file or folder of certificates, CRLs, manifests, documents and companions; adds no trust; may be repeated',
        collect,
      ),
    )
    .addOption(
      repeated(
        '--early <path>',
        'file or folder with Intel’s early TCB info, for the forecast alone: never decides; may be repeated',
        collect,
      ),
    )
    .addOption(
      repeated(
        '--trust-anchor <file>',
        'root of a simulator, key of an Arm platform or a TPM, or key set of a token service, that you choose to trust; may be repeated',
        collect,
      ),
    )
    .option('--nonce <hex>', 'report data, challenge or nonce that is wanted; report data is zero-padded on the right', parseBytes)
    .option('--measurement <hex>', 'launch measurement that is wanted', parseBytes)
    .option('--event-log <file>', 'event log to replay (TDX: CCEL or run-time log; TPM: firmware log)')
    .option('--at <time>', 'instant to verify at, RFC 3339 (default: now)', parseInstant)
    .option('--policy <file>', 'policy to appraise by')
    .option(
      '--allow-unknown <group>',
      `accept an unknown of this group (${ALLOWABLE_GROUPS.join(', ')}); may be repeated`,
      collectGroup,
      [],
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate verify report.bin --collateral vcek.der --collateral ark-genoa.crl',
        'sealgate verify report.bin --collateral certs/ --at 2026-05-06T12:00:00Z --allow-unknown revocation --json',
      ),
    )
    .action(action<VerifyCommand, [string]>(verify))
}

async function verify({ output }: Context, options: VerifyCommand, file: string): Promise<number> {
  const { verifyFile } = await import('../verify-evidence.ts')
  return verifyFile(output, file, options)
}

function repeated<T>(flags: string, description: string, parse: (text: string, list: readonly T[]) => readonly T[]): Option {
  return new Option(flags, description).argParser(parse).default([], 'none')
}

function parseBytes(text: string): Uint8Array {
  if (!/^([0-9a-fA-F]{2}){1,64}$/.test(text)) throw new InvalidArgumentError('Want 1 to 64 bytes in hexadecimal.')
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
}

function collectGroup(text: string, list: readonly Group[]): readonly Group[] {
  const group = ALLOWABLE_GROUPS.find((g) => g === text)
  if (group === undefined) throw new InvalidArgumentError(`Want one of ${ALLOWABLE_GROUPS.join(', ')}.`)
  return [...list, group]
}
