import { bytesOf, type GrantServiceDefinition } from '../../rpc/index.ts'
import type { Grants } from '../grants/grants.ts'
import type { Holds } from '../grants/holds.ts'
import type { Revocations } from '../jobs/index.ts'
import type { Parties } from '../parties/parties.ts'
import { type Methods, unary } from '../server/methods.ts'
import { grantToWire } from './wire.ts'

/** What the grant service works with. */
export interface GrantMeans {
  readonly grants: Grants
  readonly holds: Holds
  readonly revocations: Revocations
  readonly parties: Parties
}

export function grantService({ grants, holds, revocations, parties }: GrantMeans): Methods<GrantServiceDefinition> {
  return {
    proveKey: unary(async (request, { caller }) => ({ thumbprint: await parties.prove(caller, bytesOf(request.jws)) })),
    putGrant: unary(async (request, { caller }) => ({ grantId: await grants.put(caller, bytesOf(request.jws), bytesOf(request.policy)) })),
    getGrant: unary(async (request, { caller }) => {
      const grant = await grants.get(caller, request.grantId ?? '')
      const [revoked, held] = [await grants.revoked([grant.digest]), await holds.newest([grant.digest])]
      return { grant: grantToWire(grant, revoked.has(grant.digest), held.get(grant.digest)) }
    }),
    listGrants: unary(async (_request, { caller }) => {
      const list = await grants.list(caller)
      const digests = list.map((g) => g.digest)
      const [revoked, held] = [await grants.revoked(digests), await holds.newest(digests)]
      return { grants: list.map((g) => grantToWire(g, revoked.has(g.digest), held.get(g.digest))) }
    }),
    revokeGrant: unary(async (request) => {
      await revocations.revoke(bytesOf(request.jws))
      return {}
    }),
    holdGrant: unary(async (request) => {
      await revocations.hold(bytesOf(request.jws))
      return {}
    }),
  }
}
