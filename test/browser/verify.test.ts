import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeEvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import { verifyBundle } from '../../src/verify/verify-bundle.ts'
import { verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { bundleOptions, deviceBundle, deviceMachine } from '../support/device-bundle.ts'
import { dcapCases, type EvidenceCase } from '../support/vector-cases.ts'
import { evidenceCases as snpCases } from '../vectors/sev-snp/cases.ts'
import { type Bundle, bundleVerify, chromiumPath } from './bundle.ts'
import { realNvidiaCases, simulatedNvidiaCases } from './nvidia-cases.ts'
import { openVerifierPage, type VerifierPage } from './page.ts'
import { simulatedIntelCases, simulatedSnpCases } from './simulated-cases.ts'
import { realTokenCases, simulatedTokenCases } from './token-cases.ts'
import { realTpmCases, simulatedTpmCases } from './tpm-cases.ts'

const executablePath = chromiumPath()
const cache = createVerifyCache()
let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleVerify()
  console.info(`sealgate/verify for browsers: ${bundle.sizeBytes} bytes, ${bundle.gzipBytes} gzipped`)
})

describe('sealgate/verify for browsers', () => {
  it('holds nothing of Node, and no package that it does not need', () => {
    expect(
      bundle.inputs.filter(
        (path) => !/^(dist\/verify|node_modules\/(zod|jose|cbor2|@cto\.af|saxes|xmlchars|@noble\/post-quantum))\//.test(path),
      ),
    ).toEqual([])
    expect(bundle.inputs).toContain('dist/verify/crypto/web.js')
    expect(bundle.inputs).not.toContain('dist/verify/crypto/node.js')
    expect(bundle.script).not.toMatch(/["']node:|\brequire\(/)
  })
})

const ROOMS: Readonly<Record<string, readonly EvidenceCase[]>> = {
  'SEV-SNP, simulated': simulatedSnpCases(),
  'TDX, simulated': await simulatedIntelCases('tdx'),
  'SGX, simulated': await simulatedIntelCases('sgx'),
  'Nitro, Arm, tokens, simulated': simulatedTokenCases(),
  'TPM, simulated': simulatedTpmCases(),
  'NVIDIA, simulated': await simulatedNvidiaCases(),
  'SEV-SNP': snpCases(),
  TDX: dcapCases('tdx'),
  SGX: dcapCases('sgx'),
  'Nitro, Arm, tokens': realTokenCases(),
  'TPM, Azure': realTpmCases(),
  NVIDIA: realNvidiaCases(),
}

describe.skipIf(executablePath === null)('in a page', () => {
  let page: VerifierPage
  const counts = Object.fromEntries(Object.keys(ROOMS).map((room): [string, Record<string, number>] => [room, {}]))

  beforeAll(async () => {
    page = await openVerifierPage(executablePath ?? '', bundle.script)
  })
  afterAll(async () => {
    await page?.close()
    console.info('Evidence in Chromium, by what it is and how it ended:')
    console.table(counts)
  })

  it('a bundle with a GPU is judged as in Node to the last word, and refused with the GPU of another', async () => {
    const machine = await deviceMachine()
    const options = bundleOptions(machine)
    const honest = await deviceBundle(machine)
    const lying = { ...honest, devices: (await deviceBundle(machine)).devices }
    for (const [given, decision] of [
      [honest, 'accept'],
      [lying, 'reject'],
    ] as const) {
      const inPage = await page.verifyBundle(encodeEvidenceBundle(given), options)
      expect(inPage.decision).toBe(decision)
      expect(inPage).toEqual(JSON.parse(JSON.stringify(await verifyBundle(given, options))))
    }
  })

  describe.each(Object.entries(ROOMS).filter(([, cases]) => cases.length > 0))('%s', (room, cases) => {
    it.each(cases)('$id is judged as expected, and as in Node to the last word', async (one) => {
      const inPage = await page.verify(one)
      const ending = one.check(inPage)
      const row = counts[room] ?? {}
      row[ending] = (row[ending] ?? 0) + 1
      const inNode = await verifyEvidence(one.input, { ...one.options, cache })
      expect(inPage).toEqual(JSON.parse(JSON.stringify(inNode)))
    })
  })
})
