import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeEvidence } from '../../../../src/cli/make-evidence.ts'
import { openDevices } from '../../../../src/host/attesters/devices.ts'
import { simulatedAttester } from '../../../../src/host/attesters/sim.ts'
import { createSimulatedGpus, parseSimulatedGpus, type SimulatedGpus, sevSnpTee } from '../../../../src/sim/index.ts'
import type { EvidenceBundle } from '../../../../src/verify/documents/evidence-bundle.ts'
import { type BundleVerdict, verifyBundle } from '../../../../src/verify/verify-bundle.ts'
import { defined } from '../../../support/defined.ts'
import { T0 } from '../../../support/job-documents.ts'
import { testBytes } from '../../../support/keys.ts'
import { outcomeOf } from '../../../support/outcome.ts'
import { platform } from '../../../support/receipt-builder.ts'

const nonce = testBytes('nonce', 32)
const tee = sevSnpTee(platform)
let folder: string
let file: string
let gpus: SimulatedGpus

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sealgate-gpus-'))
  file = join(folder, 'sim-gpus.json')
  gpus = await createSimulatedGpus(2, new Date((T0 - 3600) * 1000))
  await writeFile(file, gpus.file)
}, 120_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

async function evidence(): Promise<EvidenceBundle> {
  const attester = simulatedAttester(tee, testBytes('measurement', 48))
  const devices = await openDevices('auto', { driver: join(folder, 'none'), simulatedFile: file })
  return (await makeEvidence({ attester, devices, role: 'host', nonce })).bundle
}

function look(bundle: EvidenceBundle): Promise<BundleVerdict> {
  const trustAnchors = [tee.root, ...gpus.roots]
  return verifyBundle(bundle, { collateral: [], trustAnchors, at: new Date(T0 * 1000), role: 'host', nonce, allowUnknown: [] })
}

describe('a simulated host with simulated GPUs', () => {
  it('gives evidence that verifies with nothing but its roots', async () => {
    const verdict = await look(await evidence())
    expect(verdict.checks.filter((c) => c.outcome !== 'pass')).toEqual([])
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({ bindingGrade: 'committed', simulated: true })
    expect(verdict.parsed?.devices).toHaveLength(2)
  })

  it('keeps its GPUs in a file of one spelling', () => {
    expect(parseSimulatedGpus(gpus.file).file).toEqual(gpus.file)
  })

  it('has none where there is no file, and none for other nonces than GPUs', async () => {
    expect(await openDevices('auto', { driver: join(folder, 'none'), simulatedFile: join(folder, 'absent') })).toBeNull()
    expect(await openDevices('none', { simulatedFile: file })).toBeNull()
    expect(await outcomeOf(() => openDevices('sim', {}))).toBe('ATTESTER_UNAVAILABLE')
    const devices = defined(await openDevices('sim', { simulatedFile: file }))
    expect(await outcomeOf(() => devices.attestDevices([nonce]))).toBe('ATTESTER_UNAVAILABLE')
  })
})

describe('endorsements of a bundle with GPUs', () => {
  it('are refused with a changed byte, wherever it stands', async () => {
    const bundle = await evidence()
    for (const [i, item] of bundle.endorsements.entries()) {
      for (let at = i % 97; at < item.length; at += 997) {
        const changed = item.map((b, j) => (j === at ? b ^ (1 << (at % 7)) : b))
        const endorsements = bundle.endorsements.map((e) => (e === item ? changed : e))
        expect((await look({ ...bundle, endorsements })).decision, `endorsement ${i}, byte ${at}`).toBe('reject')
      }
    }
  })

  it('are refused when a manifest has white space that nobody signed', async () => {
    const bundle = await evidence()
    const rim = defined(bundle.endorsements.find((e) => e[0] === 0x3c))
    const text = new TextDecoder().decode(rim)
    for (const spaced of [
      `${text}\n`,
      ` ${text}`,
      text.replace('</ds:SignatureValue>', '</ds:SignatureValue>\n'),
      text.replace('<ds:KeyInfo>', '<ds:KeyInfo >'),
    ]) {
      expect(spaced).not.toBe(text)
      const endorsements = bundle.endorsements.map((e) => (e === rim ? new TextEncoder().encode(spaced) : e))
      expect(await look({ ...bundle, endorsements })).toMatchObject({ decision: 'reject', error: { code: 'ENCODING_INVALID' } })
    }
  })

  it('are refused when a manifest or an answer of somebody else lies among them', async () => {
    const bundle = await evidence()
    const stranger = await createSimulatedGpus(1, new Date((T0 - 3600) * 1000))
    for (const item of [defined(stranger.endorsements[0]), defined(stranger.endorsements.at(-1))]) {
      const verdict = await look({ ...bundle, endorsements: [...bundle.endorsements, item] })
      expect(verdict.checks.find((c) => c.rule === 'signature.endorsements')?.outcome).toBe('fail')
    }
  })
})
