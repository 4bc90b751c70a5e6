import { bytesOf, type GrantServiceDefinition } from '../../rpc/index.ts'
import type { Grants } from '../grants/grants.ts'
import type { Revocations } from '../jobs/index.ts'
import type { Parties } from '../parties/parties.ts'
import { type Methods, unary } from '../server/methods.ts'
import { grantToWire } from './wire.ts'

export function grantService(grants: Grants, revocations: Revocations, parties: Parties): Methods<GrantServiceDefinition> {
  return {
    proveKey: unary(async (request, { caller }) => ({ thumbprint: await parties.prove(caller, bytesOf(request.jws)) })),
    putGrant: unary(async (request, { caller }) => ({ grantId: await grants.put(caller, bytesOf(request.jws), bytesOf(request.policy)) })),
    getGrant: unary(async (request, { caller }) => {
      const grant = await grants.get(caller, request.grantId ?? '')
      return { grant: grantToWire(grant, (await grants.revoked([grant.digest])).has(grant.digest)) }
    }),
    listGrants: unary(async (_request, { caller }) => {
      const list = await grants.list(caller)
      const revoked = await grants.revoked(list.map((g) => g.digest))
      return { grants: list.map((g) => grantToWire(g, revoked.has(g.digest))) }
    }),
    revokeGrant: unary(async (request) => {
      await revocations.revoke(bytesOf(request.jws))
      return {}
    }),
  }
}
