import type { HostServiceDefinition, sealgate } from '../../rpc/index.ts'
import { parseAppraisal } from '../appraiser.ts'
import { HostSession, type SessionMeans } from '../hosts/session.ts'
import { ON_HOST } from '../jobs/states.ts'
import { duplex, type Methods, unary } from '../server/methods.ts'

export function hostService(means: SessionMeans): Methods<HostServiceDefinition> {
  return {
    connect: duplex((stream, { caller, signal }) => new HostSession(means, caller, stream).run(signal)),
    listHosts: unary(async () => ({ hosts: await listHosts(means) })),
  }
}

async function listHosts({ db, registry }: SessionMeans): Promise<sealgate.v1.IHost[]> {
  const rows = await db.selectFrom('hosts').selectAll().orderBy('name').execute()
  const taken = await db.selectFrom('jobs').select('host').where('state', 'in', ON_HOST).execute()
  const busy = new Set(taken.map((row) => row.host))
  return rows.map(({ name, runners, appraisal }) => {
    const online = registry.get(name)
    const proven = appraisal === null ? null : parseAppraisal(appraisal)
    return {
      name,
      online: online !== null,
      attested: online?.claims != null,
      busy: busy.has(name),
      runners: JSON.parse(runners) as string[],
      tee: proven?.tee ?? '',
      simulated: proven?.simulated ?? false,
      measurement: proven?.measurement ?? '',
    }
  })
}
