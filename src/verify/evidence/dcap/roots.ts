import type { Anchor } from '../../trust/anchor.ts'
import { INTEL_SGX_ROOT } from '../../trust/intel.ts'

/** A key that PCK certificates, TCB signers and CRLs may lead to. */
export interface DcapRoot {
  readonly anchor: Anchor
  /** True: named by the caller, not Intel's. */
  readonly simulated: boolean
}

const VENDOR_ROOTS: readonly DcapRoot[] = [{ anchor: INTEL_SGX_ROOT, simulated: false }]

/** Intel's root and those that the caller named. Intel's own key stays Intel's, whoever names it. */
export function dcapRoots(trustAnchors: readonly Anchor[]): readonly DcapRoot[] {
  if (trustAnchors.length === 0) return VENDOR_ROOTS
  const named = trustAnchors.filter((a) => a.spkiSha256 !== INTEL_SGX_ROOT.spkiSha256)
  return [...VENDOR_ROOTS, ...named.map((anchor) => ({ anchor, simulated: true }))]
}
