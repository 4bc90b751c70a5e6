import { type AttestationServiceDefinition, bundleFromWire, bytesOf, verdictToWire } from '../../rpc/index.ts'
import type { Leniency } from '../../verify/appraise/index.ts'
import { parseBinding } from '../../verify/documents/binding.ts'
import type { BundleOptions } from '../../verify/verify-bundle.ts'
import type { Appraiser } from '../appraiser.ts'
import { type Methods, unary } from '../server/methods.ts'

/** A second opinion on evidence. Nobody needs to believe it. */
export function attestationService(appraiser: Appraiser, ofHosts: Leniency): Methods<AttestationServiceDefinition> {
  return {
    verifyEvidence: unary(async (request) => {
      const bundle = bundleFromWire(request.evidence)
      const nonce = bytesOf(request.nonce)
      const wanted: Pick<BundleOptions, 'nonce'> = nonce.length === 0 ? {} : { nonce }
      const { role } = parseBinding(bundle.binding)
      const { appraisal } = await appraiser.appraise(bundle, { role, ...wanted, ...ofHosts, policies: [] })
      return { verdict: verdictToWire(appraisal) }
    }),
  }
}
