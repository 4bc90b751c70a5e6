import type { Command } from 'commander'
import type { HoldTerms } from '../../client/index.ts'
import type { Grant, GrantRelease } from '../../verify/documents/grant.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { collectTerms, parseTerm } from '../legal-terms.ts'
import { collect, folderOption, parseCount, parseDuration } from '../options.ts'
import { table } from '../output.ts'

const MAX_BROKER_FILE = 64 * 1024

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
  readonly items?: string
  readonly submitter: readonly string[]
  readonly recipient: readonly string[]
  readonly broker?: string
  readonly client: readonly string[]
  readonly jurisdiction: readonly string[]
  readonly agreement?: string
}

interface RevokeOptions extends FolderOptions {
  readonly stopJobs: boolean
  readonly out?: string
}

interface HoldOptions extends RevokeOptions {
  readonly basis?: string
}

export function register(program: Command): void {
  const grant = program.command('grant').description('grants: what may be done with your datasets')
  grant
    .command('create')
    .description('sign a grant and hand it to the gateway')
    .requiredOption('--dataset <id>', 'dataset that may be used; may be repeated', collect, [])
    .requiredOption('--image <image>', 'image that may be run: a shipped name, or RUNNER:sha256:DIGEST; may be repeated', collect, [])
    .requiredOption('--purpose <term>', 'purpose that is allowed, such as dpv:AcademicResearch; may be repeated', collectTerms, [])
    .option('--policy <file>', 'policy that must hold (default: policy.json in the folder)')
    .option('--uses <n>', 'how many jobs', parseCount, 1)
    .option('--expires <duration>', 'for how long: 30m, 24h, 7d', parseDuration, 24 * 3600)
    .option('--argv <json>', 'pin the arguments: a JSON array; needed for general-purpose images')
    .option('--items <file>', 'allow array jobs of these items: a file as of run --array, or any (default: no array job)')
    .option('--submitter <thumbprint>', 'who may submit (default: you); may be repeated', collect, [])
    .option('--recipient <digest>', 'whose key may receive results (default: yours); may be repeated', collect, [])
    .option(
      '--broker <broker>',
      'key broker that releases under the grant, by its broker.json or its thumbprint (default: your own client does)',
    )
    .option(
      '--client <digest>',
      'TLS key that may speak with a service on the data, or self (default: no service); may be repeated',
      collect,
      [],
    )
    .option('--jurisdiction <code>', 'where it may be processed: jobs must then name one with `run --region`; may be repeated', collect, [])
    .option('--agreement <text>', 'name of the agreement')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate grant create --folder alice --dataset <id> --image tabular-inference --purpose https://w3id.org/dpv#AcademicResearch --uses 3',
        'sealgate grant create --folder alice --dataset <id> --image tabular-inference --purpose https://w3id.org/dpv#AcademicResearch --broker kb1/broker.json',
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
    .option('--out <file>', 'also write the signed revocation, for a key broker that holds the keys')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      examples(
        'sealgate grant revoke <id> --folder alice',
        'sealgate grant revoke <id> --stop-jobs --folder alice',
        'sealgate grant revoke <id> --out grant.revocation --folder alice',
      ),
    )
    .action(action<RevokeOptions, [string]>(revoke))
  grant
    .command('hold')
    .description('release nothing under a grant, from the next release on, until you resume it')
    .argument('<grant>', 'id of the grant')
    .option('--stop-jobs', 'also stop jobs that have their keys already', false)
    .option('--basis <term>', 'on what ground, such as eu-gdpr:A18-1-a', parseTerm)
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate grant hold <id> --folder alice', 'sealgate grant hold <id> --stop-jobs --folder alice'))
    .action(action<HoldOptions, [string]>(hold))
  grant
    .command('resume')
    .description('end the hold of a grant, for new jobs')
    .argument('<grant>', 'id of the grant')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate grant resume <id> --folder alice'))
    .action(action<FolderOptions, [string]>(resume))
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
    release: await releaseOf(options),
    jurisdictions: options.jurisdiction,
    agreement: options.agreement ?? null,
    validForSeconds: options.expires,
    ...(options.items === undefined ? {} : { items: await itemsOf(options.items) }),
  }
  const issued = await withSession(options.folder, ({ client, owner }) => issueGrant(client, owner, terms, policy, unixSeconds(new Date())))
  output.answer(issued, [
    'Grant signed and stored.',
    `  grant    ${issued.grantId}`,
    `  uses     ${issued.grant.uses}`,
    `  expires  ${issued.grant.expires}`,
    ...(issued.grant.release === 'direct'
      ? []
      : [`  release  ${issued.grant.release}, once you have entrusted it: sealgate dataset entrust`]),
  ])
}

async function itemsOf(text: string): Promise<Grant['items']> {
  if (text === 'any') return null
  const { readItems } = await import('../items.ts')
  return readItems(text)
}

async function releaseOf({ broker }: CreateOptions): Promise<GrantRelease> {
  if (broker === undefined) return 'direct'
  const { parseBrokerFile, readBytes } = await import('../../client/index.ts')
  const { brokeredBy } = await import('../../verify/documents/grant.ts')
  if (/^[A-Za-z0-9_-]{43}$/.test(broker)) return brokeredBy(broker)
  return brokeredBy((await parseBrokerFile(await readBytes(broker, MAX_BROKER_FILE))).thumbprint)
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
        const { grantId, grant, revoked, held } = await checkOwnGrant(owner, g)
        return { grantId, revoked, held, usesLeftHere: grant.uses - (await owner.keyring.grant(grantId)).nextSlot, grant }
      }),
    )
  })
  const rows = grants.map((g) => [g.grantId, `${g.usesLeftHere}/${g.grant.uses}`, g.grant.expires, stateOf(g)])
  output.answer({ grants }, rows.length === 0 ? ['No grants.'] : table([['GRANT', 'USES LEFT', 'EXPIRES', 'STATE'], ...rows]))
}

function stateOf({ revoked, held }: { readonly revoked: boolean; readonly held: boolean }): string {
  if (revoked) return 'revoked'
  return held ? 'held' : 'valid'
}

async function revoke({ output }: Context, { folder, stopJobs, out }: RevokeOptions, grantId: string): Promise<void> {
  const { loadOwner, PUBLIC, revokeGrant, writeNew } = await import('../../client/index.ts')
  const { withClient } = await import('../session.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  // Before a gateway is asked: one that does not answer, or lies, changes nothing about what this client does from now on.
  const jws = await revokeGrant(await loadOwner(folder), grantId, stopJobs, unixSeconds(new Date()))
  if (out !== undefined) await writeNew(out, jws, PUBLIC)
  output.line('Remembered here: this folder releases no key under the grant any more. Telling the gateway.')
  await withClient(folder, (client) => client.revokeGrant(jws))
  const rest = stopJobs ? 'jobs that have their keys are told to stop' : 'jobs that have their keys go on (--stop-jobs stops them)'
  output.answer({ grantId, revoked: true, stopJobs }, [`Grant ${grantId} is revoked; ${rest}.`])
}

async function hold({ output }: Context, { folder, stopJobs, basis = '' }: HoldOptions, grantId: string): Promise<void> {
  await say(folder, grantId, { held: true, stopJobs, basis: basis === '' ? null : basis }, () =>
    output.line('Remembered here: this folder releases no key under the grant until you resume it. Telling the gateway.'),
  )
  const rest = stopJobs ? 'jobs that have their keys are told to stop' : 'jobs that have their keys go on (--stop-jobs stops them)'
  output.answer({ grantId, held: true, stopJobs }, [`Grant ${grantId} is held; ${rest}.`])
}

async function resume({ output }: Context, { folder }: FolderOptions, grantId: string): Promise<void> {
  await say(folder, grantId, { held: false, stopJobs: false, basis: null }, () => output.line('Remembered here. Telling the gateway.'))
  output.answer({ grantId, held: false }, [`Grant ${grantId} is not held any more; new jobs may go.`])
}

/** Before a gateway is asked, as for a revocation. */
async function say(folder: string, grantId: string, terms: HoldTerms, remembered: () => void): Promise<void> {
  const { holdGrant, loadOwner, sendHold } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  const jws = await holdGrant(await loadOwner(folder), grantId, terms, unixSeconds(new Date()))
  remembered()
  await withSession(folder, ({ client, owner }) => sendHold(client, owner, jws))
}
