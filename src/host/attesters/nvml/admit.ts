import { randomBytes } from 'node:crypto'
import { AttestError } from '../../../verify/errors.ts'
import type { DeviceEvidence } from '../attester.ts'
import type { NvmlGpus } from './gpus.ts'
import { isConfidential } from './layout.ts'

/** Says whether this evidence, in the order of its nonces, is what it should be. */
export type VerifyDevices = (devices: readonly DeviceEvidence[], nonces: readonly Uint8Array[]) => Promise<boolean>

/**
 * Lets the GPUs take work (ready state), if `verify` accepts a fresh report of each. In confidential-computing mode a GPU
 * refuses all work until then, so this belongs into measured code. Whatever goes wrong leaves the GPUs not ready, also when
 * somebody else had made them so.
 * @throws AttestError `ATTESTER_UNAVAILABLE` in developer tools mode or without confidential GPUs; `EVIDENCE_REJECTED`.
 */
export async function admitGpus(gpus: NvmlGpus, verify: VerifyDevices): Promise<void> {
  try {
    await assertFit(gpus)
    const nonces = Array.from({ length: await gpus.count() }, () => new Uint8Array(randomBytes(32)))
    const devices = await gpus.attestDevices(nonces)
    if ((await verify(devices, nonces)) !== true) {
      throw new AttestError('EVIDENCE_REJECTED', 'the evidence of the GPUs was rejected: they stay locked', { at: 'nvml' })
    }
    // What was verified must still be what there is.
    await assertFit(gpus)
    if ((await gpus.count()) !== nonces.length) throw new AttestError('ATTESTER_UNAVAILABLE', 'the GPUs have changed', { at: 'nvml' })
    await gpus.dangerouslySetReady(true)
    if (!(await gpus.isReady())) throw new AttestError('ATTESTER_UNAVAILABLE', 'the GPUs did not become ready', { at: 'nvml' })
  } catch (error) {
    await gpus.dangerouslySetReady(false).catch(() => undefined)
    throw error
  }
}

async function assertFit(gpus: NvmlGpus): Promise<void> {
  const state = await gpus.state()
  if (!isConfidential(state) || (await gpus.count()) === 0) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'no GPU in confidential-computing mode', { at: 'nvml.ccFeature' })
  }
  if (state.devToolsMode) {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the GPUs are in developer tools mode and can be debugged', { at: 'nvml.devToolsMode' })
  }
  if (state.environment === 'simulated') {
    throw new AttestError('ATTESTER_UNAVAILABLE', 'the GPUs are in a simulated environment', { at: 'nvml.environment' })
  }
}
