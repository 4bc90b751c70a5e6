import type { Command } from 'commander'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collect, folderOption, parseCount, parseDuration } from '../options.ts'
import { table } from '../output.ts'

interface FolderOptions {
  readonly folder: string
}

interface CreateOptions extends FolderOptions {
  readonly dataset: readonly string[]
  readonly image: readonly string[]
  readonly purpose: readonly string[]
  readonly policy?: string
  readonly uses: number
  readonly expires: number
  readonly argv?: string
  readonly submitter: readonly string[]
  readonly recipient: readonly string[]
  readonly client: readonly string[]
  readonly jurisdiction: readonly string[]
  readonly agreement?: string
}

interface RevokeOptions extends FolderOptions {
  readonly stopJobs: boolean
}

export function register(program: Command): void {
  const grant = program.command('grant').description('grants: what may be done with your datasets')
  grant
    .command('create')
    .description('sign a grant and hand it to the gateway')
    .requiredOption('--dataset <id>', 'dataset that may be used; may be repeated', collect, [])
    .requiredOption('--image <image>', 'image that may be run: a shipped name, or RUNNER:sha256:DIGEST; may be repeated', collect, [])
    .requiredOption('--purpose <iri>', 'purpose that is allowed; may be repeated', collect, [])
    .option('--policy <file>', 'policy that must hold (default: policy.json in the folder)')
    .option('--uses <n>', 'how many jobs', parseCount, 1)
    .option('--expires <duration>', 'for how long: 30m, 24h, 7d', parseDuration, 24 * 3600)
    .option('--argv <json>', 'pin the arguments: a JSON array; needed for general-purpose images')
    .option('--submitter <thumbprint>', 'who may submit (default: you); may be repeated', collect, [])
    .option('--recipient <digest>', 'whose key may receive results (default: yours); may be repeated', collect, [])
    .option(
      '--client <digest>',
      'TLS key that may speak with a service on the data, or self (default: no service); may be repeated',
      collect,
      [],
    )
    .option('--jurisdiction <code>', 'where it may be processed; may be repeated', collect, [])
    .option('--agreement <text>', 'name of the agreement')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate grant create --folder alice --dataset <id> --image tabular-inference --purpose https://w3id.org/dpv#AcademicResearch --uses 3',
      ),
    )
    .action(action<CreateOptions, []>(create))
  grant
    .command('list')
    .description('list your grants at the gateway')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate grant list --folder alice'))
    .action(action<FolderOptions, []>(list))
  grant
    .command('revoke')
    .description('take a grant back, from the next release on')
    .argument('<grant>', 'id of the grant')
    .option('--stop-jobs', 'also stop jobs that have their keys already', false)
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate grant revoke <id> --folder alice', 'sealgate grant revoke <id> --stop-jobs --folder alice'))
    .action(action<RevokeOptions, [string]>(revoke))
}

async function create({ output }: Context, options: CreateOptions): Promise<void> {
  const { FILES, issueGrant, loadPolicyBytes } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { resolveImages } = await import('../images.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  const images = (await Promise.all(options.image.map(resolveImages))).flat()
  const policy = await loadPolicyBytes(options.policy ?? `${options.folder}/${FILES.policy}`)
  const terms = {
    datasets: options.dataset,
    images,
    argv: options.argv === undefined ? null : parseArgv(options.argv),
    env: null,
    submitters: options.submitter,
    recipients: options.recipient,
    clients: await clientDigests(options.folder, options.client),
    purposes: options.purpose,
    uses: options.uses,
    jurisdictions: options.jurisdiction,
    agreement: options.agreement ?? null,
    validForSeconds: options.expires,
  }
  const issued = await withSession(options.folder, ({ client, owner }) => issueGrant(client, owner, terms, policy, unixSeconds(new Date())))
  output.answer(issued, [
    'Grant signed and stored.',
    `  grant    ${issued.grantId}`,
    `  uses     ${issued.grant.uses}`,
    `  expires  ${issued.grant.expires}`,
  ])
}

/** `self`: the TLS key of the folder. */
export async function clientDigests(folder: string, names: readonly string[]): Promise<readonly string[]> {
  const { loadIdentity } = await import('../../client/index.ts')
  const { tlsKeyDigest } = await import('../tls-key.ts')
  return Promise.all(names.map(async (name) => (name === 'self' ? tlsKeyDigest((await loadIdentity(folder)).tls.cert) : name)))
}

export function parseArgv(json: string): readonly string[] {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    value = null
  }
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value
  throw new AttestError('USAGE', '--argv wants a JSON array of strings, such as \'["--verbose"]\'')
}

async function list({ output, signal }: Context, { folder }: FolderOptions): Promise<void> {
  const { checkOwnGrant } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const grants = await withSession(folder, async ({ client, owner }) => {
    const kept = new Set(await owner.keyring.grants())
    const remote = (await client.listGrants({ signal })).filter((g) => kept.has(g.grantId))
    return Promise.all(
      remote.map(async (g) => {
        const { grantId, grant, revoked } = await checkOwnGrant(owner, g)
        return { grantId, revoked, usesLeftHere: grant.uses - (await owner.keyring.grant(grantId)).nextSlot, grant }
      }),
    )
  })
  const rows = grants.map((g) => [g.grantId, `${g.usesLeftHere}/${g.grant.uses}`, g.grant.expires, g.revoked ? 'revoked' : 'valid'])
  output.answer({ grants }, rows.length === 0 ? ['No grants.'] : table([['GRANT', 'USES LEFT', 'EXPIRES', 'STATE'], ...rows]))
}

async function revoke({ output }: Context, { folder, stopJobs }: RevokeOptions, grantId: string): Promise<void> {
  const { loadOwner, revokeGrant } = await import('../../client/index.ts')
  const { withClient } = await import('../session.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  // Before a gateway is asked: one that does not answer, or lies, changes nothing about what this client does from now on.
  const jws = await revokeGrant(await loadOwner(folder), grantId, stopJobs, unixSeconds(new Date()))
  output.line('Remembered here: this folder releases no key under the grant any more. Telling the gateway.')
  await withClient(folder, (client) => client.revokeGrant(jws))
  const rest = stopJobs ? 'jobs that have their keys are told to stop' : 'jobs that have their keys go on (--stop-jobs stops them)'
  output.answer({ grantId, revoked: true, stopJobs }, [`Grant ${grantId} is revoked; ${rest}.`])
}
