import type { Command } from 'commander'
import { action, type Context, examples, jsonOption } from '../action.ts'
import { folderOption } from '../options.ts'
import type { Output } from '../output.ts'

interface WatchOptions {
  readonly folder: string
  readonly once: boolean
}

export function register(program: Command): void {
  const release = program.command('release').description('releases: let jobs of others use your data, as your grants allow')
  release
    .command('watch')
    .description('release to every job that your grants allow: checks evidence and log, seals the keys; the grant is the permission')
    .option('--once', 'handle the jobs that wait now, and end', false)
    .addOption(folderOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('sealgate release watch --folder alice', 'sealgate release watch --once --json --folder alice'))
    .action(action<WatchOptions, []>(watch))
}

async function watch({ output, signal }: Context, { folder, once }: WatchOptions): Promise<number> {
  const { ownerKeys, Slots, watchReleases } = await import('../../client/index.ts')
  const { withSession } = await import('../session.ts')
  const { ERROR_CODES } = await import('../../verify/errors.ts')
  return withSession(folder, async ({ client, owner, trust, memory }) => {
    const keys = ownerKeys(owner)
    const means = { client, keys, slots: new Slots(keys), trust, memory, signal, now: () => new Date() }
    let exit = 0
    output.line(`Releasing under the grants of owner ${keys.thumbprint}. Every job that they allow gets its keys; nobody is asked.`)
    if (output.json) output.artefact(`${JSON.stringify({ kind: 'watching', releaser: keys.thumbprint })}\n`)
    await watchReleases(means, {
      once,
      onDecision: (decision) => {
        tell(output, decision)
        if (decision.kind === 'refused' || decision.kind === 'failed') exit = ERROR_CODES[decision.code].exit
      },
    })
    return exit
  })
}

type Decision = Parameters<Parameters<typeof import('../../client/index.ts')['watchReleases']>[1]['onDecision']>[0]

/** Lines for people, or one JSON document a line. */
export function tell(output: Output, decision: Decision): void {
  if (output.json) {
    output.artefact(`${JSON.stringify(documentOf(decision))}\n`)
    return
  }
  const { paint } = output
  const job = decision.jobId === null ? '' : `job ${decision.jobId}: `
  switch (decision.kind) {
    case 'joined': {
      const { contract, submitter } = decision.terms
      output.line(`${job}joined; submitter ${submitter}, ${contract.image.runner} ${contract.image.digest}, for ${contract.purpose}`)
      break
    }
    case 'step':
      if (decision.event.kind === 'attested') {
        const { checks, measurement, simulated } = decision.event.enclave
        output.line(`${job}evidence verified here, ${checks.length} checks, measurement ${measurement ?? 'none'}`)
        if (simulated) output.line(paint.warn(`${job}the evidence is SIMULATED: it proves nothing about hardware`))
      }
      break
    case 'released':
      output.line(paint.good(`${job}RELEASED; intent in the log as entry ${decision.entries.join(', ')}`))
      break
    case 'refused':
      output.line(paint.bad(`${job}REFUSED, ${decision.code}: ${decision.reason}`))
      break
    case 'passed':
      output.line(`${job}not released here; it is ${decision.state}: ${decision.reason}`)
      break
    case 'failed':
      output.line(paint.warn(`${job}${decision.code}: ${decision.reason}; trying again`))
      break
  }
}

/** What of a decision is for programs: digests, never whole documents. */
function documentOf(decision: Decision): object {
  const { kind, jobId } = decision
  switch (decision.kind) {
    case 'joined':
    case 'released': {
      const { terms } = decision
      const entries = decision.kind === 'released' ? { entries: decision.entries } : {}
      const { image, purpose } = terms.contract
      return { kind, jobId, jobDigest: terms.jobDigest, submitter: terms.submitter, image, purpose, ...entries }
    }
    case 'step':
      return { kind: decision.event.kind, jobId }
    case 'refused':
    case 'failed':
      return { kind, jobId, code: decision.code, reason: decision.reason }
    case 'passed':
      return { kind, jobId, state: decision.state, reason: decision.reason }
  }
}
