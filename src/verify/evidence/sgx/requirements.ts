import type { BitDemand } from '../check.ts'
import type { DcapRequirements } from '../dcap/appraise.ts'
import type { SgxFlagName } from './attributes.ts'

/**
 * Rules for enclaves that a caller may add to those for the platform, as data: this is also how a policy writes them down.
 * Byte strings are lower-case hexadecimal in the order of the report; an empty list allows nothing.
 */
export interface SgxRequirements extends DcapRequirements {
  readonly mrEnclave?: readonly string[]
  /** Who signed the enclave, which product of theirs it is and since which version it will do. */
  readonly signer?: { readonly mrSigner: string; readonly isvProdId: number; readonly minimumIsvSvn: number }
  /** CONFIGID and lowest CONFIGSVN, for enclaves with key separation and sharing (KSS). */
  readonly configuration?: { readonly configId: string; readonly minimumConfigSvn: number }
  /** The enclave has no access to the provisioning key, which could track the platform. */
  readonly noProvisionKey?: true
  /** Other ATTRIBUTES.FLAGS. DEBUG is refused and MODE64BIT required whatever stands here. */
  readonly attributes?: BitDemand<SgxFlagName>
  /** Extended features that the enclave may use, as a mask `0x…`: no bit of XFRM beyond these. */
  readonly allowedXfrm?: string
}
