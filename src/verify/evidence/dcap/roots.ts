import type { Anchor } from '../../trust/anchor.ts'
import { INTEL_SGX_ROOT } from '../../trust/intel.ts'

/** A key that PCK certificates, TCB signers and CRLs may lead to. */
export interface DcapRoot {
  readonly anchor: Anchor
  /** True: named by the caller, not Intel's. */
  readonly simulated: boolean
  /** Names every fact of the anchor, not its key alone: one key can stand in certificates of other names and other times. */
  readonly id: string
}

const VENDOR_ROOTS: readonly DcapRoot[] = [rootOf(INTEL_SGX_ROOT, false)]

/** Intel's root and those that the caller named. Intel's own key stays Intel's, whoever names it. */
export function dcapRoots(trustAnchors: readonly Anchor[]): readonly DcapRoot[] {
  if (trustAnchors.length === 0) return VENDOR_ROOTS
  const named = trustAnchors.filter((a) => a.spkiSha256 !== INTEL_SGX_ROOT.spkiSha256)
  return [...VENDOR_ROOTS, ...named.map((anchor) => rootOf(anchor, true))]
}

/** No name holds a line end, so what the id says can be read in one way alone. */
function rootOf(anchor: Anchor, simulated: boolean): DcapRoot {
  const { spkiSha256, serial, notBefore, notAfter, subject } = anchor
  return { anchor, simulated, id: [spkiSha256, serial, notBefore, notAfter, subject].join('\n') }
}
