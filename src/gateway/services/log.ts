import { type LogServiceDefinition, toNumber } from '../../rpc/index.ts'
import { AttestError } from '../../verify/errors.ts'
import type { TransparencyLog } from '../log/index.ts'
import { type Methods, unaryForAll } from '../server/methods.ts'
import type { WitnessedLog } from '../witnessing/witnessed-log.ts'

const MAX_LEAVES = 1000

/** The log, for everybody with a certificate. Leaves give nothing away. */
export function logService(log: TransparencyLog, witnessed: WitnessedLog): Methods<LogServiceDefinition> {
  return {
    getCheckpoint: unaryForAll(async () => ({ checkpoint: await witnessed.newest() })),
    getInclusionProof: unaryForAll(async (request) => ({
      hashes: [...(await log.inclusionProof(toNumber(request.index), toNumber(request.treeSize)))],
    })),
    getConsistencyProof: unaryForAll(async (request) => ({
      hashes: [...(await log.consistencyProof(toNumber(request.oldSize), toNumber(request.newSize)))],
    })),
    listLeaves: unaryForAll(async (request) => {
      const count = toNumber(request.count)
      if (count < 1 || count > MAX_LEAVES) throw new AttestError('LIMIT_EXCEEDED', `want 1 to ${MAX_LEAVES} leaves`, { at: 'count' })
      return { leaves: [...(await log.leaves(toNumber(request.start), count))] }
    }),
  }
}
