import { expect } from 'vitest'
import { attestDevices, createSimulatedDevices, createSimulatedNvidia, endorseDevices } from '../../src/sim/index.ts'
import { fromHex } from '../../src/verify/bytes/bytes.ts'
import { ANSWERED, AT, evidenceList, MADE, NONCE } from '../support/nvidia.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'
import { cases, read, evidenceList as realList } from '../vectors/nvidia-gpu/cases.ts'

/** How a case must end. */
function expecting(id: string, decision: 'accept' | 'reject', parts: Pick<EvidenceCase, 'input' | 'options'>): EvidenceCase {
  return {
    id,
    ...parts,
    check: (verdict) => {
      expect(verdict.decision).toBe(decision)
      return verdict.decision
    },
  }
}

/** A GPU with all that vouches for it, and the same with one thing missing or another. */
export async function simulatedNvidiaCases(): Promise<readonly EvidenceCase[]> {
  const nvidia = await createSimulatedNvidia({ at: MADE })
  const devices = await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'SPT' })
  const list = attestDevices(devices, [NONCE])
  const collateral = endorseDevices(nvidia, devices, ANSWERED)
  const trustAnchors = [nvidia.deviceRoot.certificate, nvidia.rimRoot.certificate]
  const options = { format: 'nvidia-gpu', collateral, trustAnchors, at: AT, nonce: NONCE, allowUnknown: [] } as const
  const input = evidenceList(list)
  return [
    expecting('simulated GPU', 'accept', { input, options }),
    expecting('simulated GPU, old nonce', 'reject', { input, options: { ...options, nonce: new Uint8Array(32) } }),
    expecting('simulated GPU, no manifests', 'reject', { input, options: { ...options, collateral: collateral.slice(2) } }),
    expecting('simulated GPU, no answers', 'reject', { input, options: { ...options, collateral: collateral.slice(0, 2) } }),
    expecting('simulated GPU, no roots', 'reject', { input, options: { ...options, trustAnchors: [] } }),
  ]
}

/** Every real report and every set of the vectors. Empty without them. */
export function realNvidiaCases(): readonly EvidenceCase[] {
  const common = { trustAnchors: [], allowUnknown: ['revocation', 'reference-values'] } as const
  const reports = cases.filter((c) => c.kind === 'gpu-report' || c.kind === 'nvswitch-report')
  const single = reports.map(({ id, evidence_files: files, verify_at, expected, kind }) => {
    const genuine = Object.values(expected.checks ?? {}).every((holds) => holds !== false)
    const format = kind === 'gpu-report' ? 'nvidia-gpu' : 'nvidia-switch'
    const options = {
      ...common,
      format,
      collateral: [read(files.cert_chain)],
      at: new Date(verify_at ?? 0),
      nonce: fromHex(expected.expected_nonce),
    } as const
    return expecting(id, genuine ? 'accept' : 'reject', { input: read(files.report), options })
  })
  const sets = cases.filter((c) => c.kind === 'multi-device')
  const several = sets.map(({ id, evidence_files: { gpus = [], switches = [] }, verify_at, expected }) => {
    const devices = [...gpus, ...switches].map((d) => ({ report: read(d.report), chain: read(d.cert_chain) }))
    const options = { ...common, collateral: [], at: new Date(verify_at ?? 0), nonce: fromHex(expected.expected_nonce) }
    return expecting(id, expected.verdict === 'pass' ? 'accept' : 'reject', { input: realList(devices, 'HOPPER'), options })
  })
  return [...single, ...several]
}
