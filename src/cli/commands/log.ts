import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption, parseCount } from '../options.ts'

interface FolderOptions {
  readonly folder: string
}

export function register(program: Command): void {
  const log = program.command('log').description('the transparency log: its checkpoint, proofs, and an audit of the whole')
  log
    .command('checkpoint')
    .description('print the newest checkpoint, verified and consistent with what this client saw before')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate log checkpoint --folder alice'))
    .action(action<FolderOptions, []>(checkpoint))
  log
    .command('prove')
    .description('prove that the log holds an entry')
    .argument('<index>', 'number of the entry', parseCount)
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate log prove 3 --folder alice'))
    .action(action<FolderOptions, [number]>(prove))
  log
    .command('verify')
    .description('fetch every entry and check root, double uses and missing endings')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate log verify --folder alice'))
    .action(action<FolderOptions, []>(verify))
}

async function checkpoint({ output, signal }: Context, { folder }: FolderOptions): Promise<void> {
  const { currentCheckpoint } = await import('../audit-log.ts')
  const { note, verified } = await currentCheckpoint(folder, signal)
  const { toBase64 } = await import('../../verify/bytes/bytes.ts')
  const { origin, size, root, time } = verified
  if (output.json) output.answer({ checkpoint: note, origin, size, root: toBase64(root), time }, [])
  else output.artefact(note)
}

async function prove({ output, signal }: Context, { folder }: FolderOptions, index: number): Promise<void> {
  const { proveEntry } = await import('../audit-log.ts')
  const proof = await proveEntry(folder, index, signal)
  output.answer(proof, [
    `Entry ${index} (${proof.leaf.type}) is in the log: proven against the verified checkpoint of ${proof.size} entries.`,
    `  leaf hash  ${proof.leafHash}`,
  ])
}

async function verify({ output, signal }: Context, { folder }: FolderOptions): Promise<number> {
  const { auditLog } = await import('../audit-log.ts')
  const report = await auditLog(folder, signal, (done, total) => output.progress(`Reading entries ${done} of ${total}`))
  const lines = [
    `The log of ${report.size} entries has the root that its checkpoint says.`,
    ...report.findings.map((f) => output.paint.bad(`  ${f}`)),
  ]
  if (report.findings.length === 0) lines.push('No use slot was used twice, and every release that is due has its ending.')
  output.answer(report, lines)
  if (report.findings.length > 0) throw new AttestError('LOG_PROOF_INVALID', `${report.findings.length} findings in the log`)
  return 0
}
