import { beforeAll, describe, expect, it } from 'vitest'
import { createSimulatedGpus, type SimulatedGpus } from '../../../../src/sim/index.ts'
import { fromBase64Url, toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { encodeReceiptFile, type ReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { defined } from '../../../support/defined.ts'
import { samplePolicy, T0 } from '../../../support/job-documents.ts'
import { type BuiltReceipt, buildReceipt, platform, sampleTrust } from '../../../support/receipt-builder.ts'

let gpus: SimulatedGpus
let built: BuiltReceipt
const { appraisal } = samplePolicy()
const asking = (minimumGpus: number): { readonly appraisal: typeof appraisal } => ({ appraisal: { ...appraisal, nvidia: { minimumGpus } } })

beforeAll(async () => {
  gpus = await createSimulatedGpus(1, new Date((T0 - 3600) * 1000))
  built = await buildReceipt({ gpus, policy: asking(1), contract: { resources: { gpus: 1 } } })
}, 120_000)

function verify(file: ReceiptFile): Promise<ReceiptVerdict> {
  const simulatedRoots = [platform.root.certificate, ...gpus.roots].map(toBase64Url)
  return verifyReceiptFile(encodeReceiptFile(file), { trust: { ...sampleTrust, simulatedRoots } })
}

const failed = ({ checks }: ReceiptVerdict): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)

describe('a receipt of a job with one GPU', () => {
  it('verifies with nothing but the file and the roots', async () => {
    const verdict = await verify(built.file)
    expect(failed(verdict)).toEqual([])
    expect(verdict.checks.find((c) => c.rule === 'policy.contract-gpus')).toMatchObject({ outcome: 'pass', got: '1' })
    expect(verdict.checks.find((c) => c.rule === 'freshness.device-0.nonce')?.outcome).toBe('pass')
  })

  it('is refused for a job that asked for two', async () => {
    const two = await buildReceipt({ gpus, policy: asking(2), contract: { resources: { gpus: 2 } } })
    expect(failed(await verify(two.file))).toEqual(expect.arrayContaining(['policy.gpus', 'policy.contract-gpus']))
  })

  it('is refused when the GPU is left out, or its chain is another one', async () => {
    const evidence = defined(built.file.evidence ?? undefined)
    expect(failed(await verify({ ...built.file, evidence: { ...evidence, devices: [] } }))).toEqual(
      expect.arrayContaining(['signature.evidence', 'binding.devices']),
    )
    const [device] = evidence.devices
    const chain = toBase64Url(fromBase64Url(defined(device).certificateChain).slice(0, -1))
    const changed = { ...evidence, devices: [{ ...defined(device), certificateChain: chain }] }
    expect(failed(await verify({ ...built.file, evidence: changed }))).toContain('signature.evidence')
  })

  it('is refused under a trust file that does not name the simulated NVIDIA', async () => {
    const verdict = await verifyReceiptFile(built.bytes, { trust: sampleTrust })
    expect(verdict.decision).toBe('reject')
    expect(failed(verdict)).toContain('chain.device-0.device')
  })
})
