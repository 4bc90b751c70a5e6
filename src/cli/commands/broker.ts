import type { Command } from 'commander'
import type { AuditEvent, Destroyed, Forgotten } from '../../broker/index.ts'
import { AttestError } from '../../verify/errors.ts'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption } from '../options.ts'
import { table } from '../output.ts'

interface FolderOptions {
  readonly folder: string
}

interface StartOptions {
  readonly once: boolean
}

interface RotateOptions {
  readonly destroyOld: boolean
}

interface WithdrawOptions extends FolderOptions {
  readonly grant?: string
  readonly dataset?: string
}

export function register(program: Command): void {
  const broker = program.command('broker').description('a key broker: holds keys for owners who are not online')
  broker
    .command('start')
    .description('release to every job that the entrusted grants allow, until it is stopped: checks evidence and log, seals the keys')
    .argument('<folder>', 'broker folder (sealgate init --role broker)')
    .option('--once', 'handle the jobs that wait now, and end', false)
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker start kb1', 'sealgate broker start kb1 --once --json'))
    .action(action<StartOptions, [string]>(start))
  broker
    .command('show')
    .description('show grants, datasets and epochs of key-encryption keys; opens no key')
    .argument('<folder>', 'broker folder (sealgate init --role broker)')
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker show kb1'))
    .action(action<object, [string]>(show))
  broker
    .command('accept')
    .description("verify what an owner entrusted, and keep its keys; the owner must stand in the folder's trust file")
    .argument('<file>', 'what `dataset entrust` wrote')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker accept clinic.entrusted --folder kb1'))
    .action(action<FolderOptions, [string]>(accept))
  broker
    .command('revoke')
    .description("destroy the keys of a grant on its owner's signed word, for good")
    .argument('<file>', 'what `grant revoke --out` wrote')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker revoke grant.revocation --folder kb1'))
    .action(action<FolderOptions, [string]>(revoke))
  broker
    .command('withdraw')
    .description('destroy the keys of a grant or of a dataset; their owner may entrust them again')
    .option('--grant <id>', 'grant, with the datasets that no other grant here needs')
    .option('--dataset <id>', 'dataset, whatever grants name it')
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker withdraw --grant <id> --folder kb1'))
    .action(action<WithdrawOptions, []>(withdraw))
  broker
    .command('rotate')
    .description('wrap all keys anew under a new key-encryption key; no data is encrypted again; goes on where it stopped')
    .argument('<folder>', 'broker folder')
    .option('--destroy-old', 'then destroy the older key-encryption keys: older copies of the store open no more', false)
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate broker rotate kb1', 'sealgate broker rotate kb1 --destroy-old'))
    .action(action<RotateOptions, [string]>(rotateKeys))
}

async function start({ output, signal }: Context, { once }: StartOptions, folder: string): Promise<number> {
  const { runBroker } = await import('../../broker/index.ts')
  const { tell } = await import('./release.ts')
  const { ERROR_CODES } = await import('../../verify/errors.ts')
  let exit = 0
  await runBroker({
    folder,
    once,
    signal,
    onStart: (releaser) => {
      output.line(`Releasing as broker ${releaser}. Every job that the entrusted grants allow gets its keys; nobody is asked.`)
      if (output.json) output.artefact(`${JSON.stringify({ kind: 'watching', releaser })}\n`)
    },
    onDecision: (decision) => {
      tell(output, decision)
      if (decision.kind === 'refused' || decision.kind === 'failed') exit = ERROR_CODES[decision.code].exit
    },
  })
  return exit
}

async function show({ output }: Context, _: object, folder: string): Promise<void> {
  const { describeBroker } = await import('../../broker/index.ts')
  const facts = await describeBroker(folder)
  const grants = facts.grants.map((g) => [g.grant, `${g.uses - g.slotsUsed}/${g.uses}`, g.expires, g.owner])
  output.answer(facts, [
    `Broker ${facts.broker}`,
    ...facts.epochs.map(({ epoch, kek, keys }) => `  epoch ${epoch}  ${keys} keys under ${kek}`),
    `  ${facts.datasets.length} datasets, ${facts.grants.length} grants, ${facts.revoked} revocations`,
    ...(grants.length === 0 ? [] : table([['GRANT', 'USES LEFT', 'EXPIRES', 'OWNER'], ...grants])),
  ])
}

async function accept({ output }: Context, { folder }: FolderOptions, file: string): Promise<void> {
  const { acceptEntrustment, withBroker } = await import('../../broker/index.ts')
  const { MAX_FILE_SIZE, readBytes } = await import('../../client/index.ts')
  const { thumbprint } = await import('../../verify/documents/keys.ts')
  const { unixSeconds } = await import('../../verify/appraise/index.ts')
  const jws = await readBytes(file, MAX_FILE_SIZE)
  const { digest, owner, entrusted } = await withBroker(folder, async ({ store, trust, audit }) => {
    const broker = await thumbprint(await store.intentKey())
    const accepted = await acceptEntrustment({ store, broker, owners: trust.owners, now: unixSeconds(new Date()) }, jws)
    await audit.append({ event: 'accept', owner: accepted.owner, grant: accepted.digest, datasets: accepted.entrusted })
    return accepted
  })
  output.answer({ grant: digest, owner, datasets: entrusted }, [
    `Keys of ${entrusted.length === 1 ? '1 dataset' : `${entrusted.length} datasets`} are kept.`,
    `  owner  ${owner}`,
    `  grant  ${digest}`,
    ...entrusted.map((dataset) => `  data   ${dataset}`),
  ])
}

async function revoke(context: Context, { folder }: FolderOptions, file: string): Promise<void> {
  const { revokeAtBroker } = await import('../../broker/index.ts')
  const { MAX_FILE_SIZE, readBytes } = await import('../../client/index.ts')
  const jws = await readBytes(file, MAX_FILE_SIZE)
  await forget(context, folder, async (store) => {
    const forgotten = await revokeAtBroker(store, jws)
    return { event: { event: 'revoke', ...forgotten }, words: `Grant ${forgotten.grant} is revoked: nothing is released under it.` }
  })
}

async function withdraw(context: Context, { folder, grant, dataset }: WithdrawOptions): Promise<void> {
  if ((grant === undefined) === (dataset === undefined)) throw new AttestError('USAGE', 'name --grant or --dataset')
  const { withdrawDataset, withdrawGrant } = await import('../../broker/index.ts')
  await forget(context, folder, async (store) => {
    if (dataset !== undefined) {
      await withdrawDataset(store, dataset)
      return { event: { event: 'withdraw-dataset', dataset }, words: `The key of dataset ${dataset} is destroyed.` }
    }
    const forgotten: Forgotten = await withdrawGrant(store, grant ?? '')
    return { event: { event: 'withdraw-grant', ...forgotten }, words: `The keys of grant ${forgotten.grant} are destroyed.` }
  })
}

type Act = (store: import('../../broker/index.ts').BrokerStore) => Promise<{ readonly event: AuditEvent; readonly words: string }>

async function forget({ output }: Context, folder: string, act: Act): Promise<void> {
  const { withBroker } = await import('../../broker/index.ts')
  const { event, words } = await withBroker(folder, async ({ store, audit }) => {
    const done = await act(store)
    await audit.append(done.event)
    return done
  })
  output.answer(event, [
    words,
    `  Copies of the store made before still hold them: sealgate broker rotate ${folder} --destroy-old closes those too.`,
  ])
}

async function rotateKeys({ output }: Context, options: RotateOptions, folder: string): Promise<void> {
  const { destroyOld, rotate, withBroker } = await import('../../broker/index.ts')
  const { rotation, destroyed } = await withBroker(folder, async ({ store, audit }) => {
    const rotation = await rotate(store)
    await audit.append({ event: 'rotate', ...rotation })
    const destroyed: Destroyed = options.destroyOld ? await destroyOld(store) : []
    for (const { epoch, id, destruction } of destroyed) {
      await audit.append({ event: 'destroy-kek', epoch, kek: id, when: destruction.kind === 'done' ? 'now' : destruction.for })
    }
    return { rotation, destroyed }
  })
  const { epoch, rewrapped, resumed } = rotation
  output.answer({ ...rotation, destroyed }, [
    `${rewrapped} keys are under the key-encryption key of epoch ${epoch}${resumed ? ', where an earlier rotation had stopped' : ''}.`,
    ...destroyed.map(({ epoch: old, destruction }) =>
      destruction.kind === 'done'
        ? `  epoch ${old}: destroyed`
        : `  epoch ${old}: the KMS destroys it at ${destruction.for}; until then it can take that back`,
    ),
    ...(options.destroyOld ? [] : ['  Older key-encryption keys are there still: --destroy-old destroys them.']),
  ])
}
