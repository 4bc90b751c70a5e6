import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Client, type JobReport, loadIdentity } from '../../client/index.ts'
import type { PeerIdentity, TlsIdentity } from '../../rpc/index.ts'
import { fromUtf8 } from '../../verify/bytes/bytes.ts'
import type { ImageRef } from '../../verify/documents/contract.ts'
import { AttestError, type ErrorCode } from '../../verify/errors.ts'
import { issueIdentity } from '../folders/authority.ts'
import { CA_KEY } from '../folders/gateway-folder.ts'
import { flipStoredBit } from './flip-stored-bit.ts'
import { verifyOffline } from './offline.ts'
import { startRelay, type Tamper } from './relay.ts'
import { exchangeKey, forgeInclusion, pretendToLog, replayEvidence } from './tampering.ts'
import { imageFor, PURPOSE, runDemoJob, type Scene, startHostProcess } from './world.ts'

/** How an attack was noticed. */
interface Refusal {
  /** Who refused, for people. */
  readonly by: string
  readonly code: ErrorCode
  /** In the words of the code that refused. */
  readonly reason: string
}

export interface Attack {
  readonly title: string
  /** What counts as having noticed exactly this. Any other end of the attack fails the demonstration. */
  readonly expected: { readonly codes: readonly ErrorCode[]; readonly reason: RegExp }
  readonly run: (stage: Stage) => Promise<Refusal>
}

/** The honest job, whose leavings the attacks use. */
export interface Stage {
  readonly scene: Scene
  readonly image: ImageRef
  readonly dataset: string
  readonly grant: string
  /** Id of a job that ended well. */
  readonly jobId: string
  readonly receipt: Uint8Array
  readonly trustFile: string
}

/** Each is a real attempt against the real programs. In this order: the last ones exchange the host. */
export const ATTACKS: readonly Attack[] = [
  {
    title: 'a use that the grant does not allow (marketing)',
    expected: { codes: ['GRANT_DENIED', 'POLICY_DENIED'], reason: /policy\.grant-purpose/ },
    run: (stage) => attempt(stage, { purpose: 'https://w3id.org/dpv#Marketing' }, 'gateway'),
  },
  {
    title: 'evidence replayed with an old nonce',
    expected: { codes: ['EVIDENCE_REJECTED'], reason: /freshness\.binding-nonce/ },
    run: async (stage) => throughRelay(stage, replayEvidence(await stage.scene.client.jobEvidence(stage.jobId))),
  },
  {
    title: 'evidence of another key (the gateway puts in its own)',
    expected: { codes: ['EVIDENCE_REJECTED'], reason: /binding\.report-data/ },
    run: (stage) => throughRelay(stage, exchangeKey),
  },
  {
    title: 'a release without log entry, told to the owner',
    expected: { codes: ['LOG_PROOF_INVALID'], reason: /inclusion proof/ },
    run: (stage) => throughRelay(stage, pretendToLog(stage.scene.client)),
  },
  {
    title: "one bit of ciphertext changed in the gateway's store",
    expected: { codes: ['ROOT_MISMATCH', 'SEGMENT_INVALID'], reason: /./ },
    run: async (stage) => {
      const restore = await flipStoredBit(stage.scene.folders.gateway, stage.dataset)
      try {
        return await attempt(stage, {}, 'owner')
      } finally {
        await restore()
      }
    },
  },
  {
    title: 'one byte of the receipt changed',
    expected: { codes: ['SIGNATURE_INVALID'], reason: /signature/ },
    run: changeReceipt,
  },
  {
    title: 'a release without log entry, handed to the enclave',
    expected: { codes: ['LOG_PROOF_INVALID'], reason: /inclusion proof/ },
    run: forgeTowardsHost,
  },
  {
    title: 'wrong measurement (a host that runs something else)',
    expected: { codes: ['EVIDENCE_REJECTED', 'NO_HOST'], reason: /reference-values\.measurement/ },
    run: async (stage) => {
      const { scene } = stage
      await scene.processes.stop('host')
      await startHostProcess(scene, 'host', ['--dangerously-claim-measurement', 'ba'.repeat(48)])
      return attempt(stage, {}, 'owner')
    },
  },
]

/** Tries to get a job through. Whoever refuses it says so in a receipt, or as an error to the client. */
async function attempt(stage: Stage, choice: { readonly client?: Client; readonly purpose?: string }, refuser: string): Promise<Refusal> {
  const { scene, image, dataset, grant } = stage
  const { client = scene.client, purpose = PURPOSE } = choice
  let report: JobReport
  try {
    report = await runDemoJob(scene, { client, image, dataset, grant, purpose, folder: null })
  } catch (error) {
    if (!(error instanceof AttestError)) throw error
    return { by: `the ${refuser}`, code: error.code, reason: error.message }
  }
  const { outcome } = report.receipt.statement.predicate
  if (outcome.kind !== 'refused' || outcome.code === null) throw new AttestError('INTERNAL', `the attack succeeded: job ${outcome.kind}`)
  const signer = report.receipt.signedByEnclave ? 'the enclave' : 'the gateway'
  return { by: `${signer}, in a signed and logged receipt`, code: outcome.code, reason: outcome.reason }
}

/** Puts a dishonest gateway, which holds all of the gateway's own keys, between the owner and the gateway. */
async function throughRelay(stage: Stage, tamper: Tamper): Promise<Refusal> {
  const { folders } = stage.scene
  const identity = await gatewayIdentity(folders.gateway)
  const relay = await startRelay({ identity, upstream: folders.address, impersonate: impersonator(folders.gateway), tamper })
  const client = new Client(relay.address, (await loadIdentity(folders.owner)).tls)
  try {
    return await attempt(stage, { client }, 'owner')
  } finally {
    client.close()
    await relay.close()
  }
}

/** The same dishonest gateway between host and gateway, here even with the host's own TLS key. */
async function forgeTowardsHost(stage: Stage): Promise<Refusal> {
  const { scene } = stage
  const { folders, processes } = scene
  const host = (await loadIdentity(folders.host)).tls
  const relay = await startRelay({
    identity: await gatewayIdentity(folders.gateway),
    upstream: folders.address,
    impersonate: () => Promise.resolve(host),
    tamper: forgeInclusion,
  })
  try {
    await processes.stop('host')
    const { runner } = await startHostProcess(scene, 'host', ['--gateway', relay.address])
    return await attempt({ ...stage, image: await imageFor(runner) }, {}, 'owner')
  } finally {
    await processes.stop('host')
    await relay.close()
  }
}

async function changeReceipt({ scene, receipt, trustFile }: Stage): Promise<Refusal> {
  const file = JSON.parse(fromUtf8(receipt)) as { receipt: string }
  const signed = Buffer.from(file.receipt, 'base64url')
  const at = signed.indexOf('"payload":"') + 1000
  signed[at] = signed[at] === 0x41 ? 0x42 : 0x41
  const path = join(scene.folders.root, 'changed.sealgate-receipt.json')
  await writeFile(path, JSON.stringify({ ...file, receipt: signed.toString('base64url') }))
  const verdict = await verifyOffline(scene.processes, path, trustFile)
  if (verdict.accepted || verdict.error === null) throw new AttestError('INTERNAL', 'the attack succeeded: the receipt verifies')
  return { by: 'the auditor, with no network', code: verdict.error.code, reason: verdict.error.message }
}

export async function gatewayIdentity(folder: string): Promise<TlsIdentity> {
  const text = async (name: string): Promise<string> => fromUtf8(await readFile(join(folder, name)))
  return { ca: await text('ca.crt'), cert: await text('tls.crt'), key: await text('tls.key') }
}

/** Issues an identity in anybody's name: that is in the power of whoever holds the authority's key. */
export function impersonator(gatewayFolder: string): (caller: PeerIdentity) => Promise<TlsIdentity> {
  return async ({ role, name }) => {
    const cert = fromUtf8(await readFile(join(gatewayFolder, 'ca.crt')))
    const key = fromUtf8(await readFile(join(gatewayFolder, CA_KEY)))
    const issued = await issueIdentity({ cert, key }, { role, name, addresses: [], rsa: false }, new Date())
    return { ca: cert, ...issued }
  }
}
