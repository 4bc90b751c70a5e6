import type { Anchor } from '../../trust/anchor.ts'
import { NVIDIA_DEVICE_ROOT, NVIDIA_RIM_ROOT } from '../../trust/nvidia.ts'

/** A key that device or manifest chains may lead to. */
export interface NvidiaRoot {
  readonly anchor: Anchor
  /** True: named by the caller, not NVIDIA's. */
  readonly simulated: boolean
}

/** NVIDIA keeps one root for devices and another for manifests; a caller’s root may stand over both, which the names in a chain keep apart. */
export interface NvidiaRoots {
  readonly device: readonly NvidiaRoot[]
  readonly rim: readonly NvidiaRoot[]
}

const VENDOR: NvidiaRoots = {
  device: [{ anchor: NVIDIA_DEVICE_ROOT, simulated: false }],
  rim: [{ anchor: NVIDIA_RIM_ROOT, simulated: false }],
}

/** Names roots by what is true of them: a caller's by its certificate, since another of the same key may have another window. */
export function rootsKey(roots: readonly NvidiaRoot[]): string {
  return roots.map(({ anchor }) => anchor.certificateSha256 ?? anchor.spkiSha256).join()
}

/** NVIDIA's roots and those that the caller named. NVIDIA's own keys stay what they are, whoever names them. */
export function nvidiaRoots(trustAnchors: readonly Anchor[]): NvidiaRoots {
  if (trustAnchors.length === 0) return VENDOR
  const vendor = new Set([NVIDIA_DEVICE_ROOT.spkiSha256, NVIDIA_RIM_ROOT.spkiSha256])
  const named = trustAnchors.filter((a) => !vendor.has(a.spkiSha256)).map((anchor) => ({ anchor, simulated: true }))
  return { device: [...VENDOR.device, ...named], rim: [...VENDOR.rim, ...named] }
}
