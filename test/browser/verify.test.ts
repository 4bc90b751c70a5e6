import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeEvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import { parseTrustFile } from '../../src/verify/documents/trust.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import { verifyReceiptFile } from '../../src/verify/receipt/index.ts'
import { verifyBundle } from '../../src/verify/verify-bundle.ts'
import { verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { bundleOptions, deviceBundle, deviceMachine } from '../support/device-bundle.ts'
import { dcapCases, type EvidenceCase } from '../support/vector-cases.ts'
import { evidenceCases as snpCases } from '../vectors/sev-snp/cases.ts'
import { type Bundle, bundleRoom, chromiumPath } from './bundle.ts'
import { realNvidiaCases, simulatedNvidiaCases } from './nvidia-cases.ts'
import { openVerifierPage, type VerifierPage } from './page.ts'
import { simulatedIntelCases, simulatedSnpCases } from './simulated-cases.ts'
import { realTokenCases, simulatedTokenCases } from './token-cases.ts'
import { realTpmCases, simulatedTpmCases } from './tpm-cases.ts'

const golden = (vector: string, name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../vectors/documents/${vector}/${name}`, import.meta.url)))

const executablePath = chromiumPath()
const cache = createVerifyCache()
let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleRoom('verify')
  console.info(`sealgate/verify for browsers: ${bundle.sizeBytes} bytes, ${bundle.gzipBytes} gzipped`)
})

describe('sealgate/verify for browsers', () => {
  it('holds nothing of Node, and no package that it does not need', () => {
    expect(
      bundle.inputs.filter((path) => !/^(dist\/verify|node_modules\/(zod|jose|cbor2|@cto\.af|saxes|xmlchars|@noble))\//.test(path)),
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

  describe('a receipt with an ML-DSA signature', () => {
    const [plain, signed] = ['029-receipt-file', '029b-receipt-file-ml-dsa'].map((id) => golden(id, 'receipt.golden.json'))
    const [bare, demanding] = ['028-trust-file', '028b-trust-file-ml-dsa'].map((id) => golden(id, 'trust.golden.json'))
    const start = new TextDecoder().decode(signed).indexOf('"receipt":"')
    const forged = signed?.map((b, i) => (i === start + 9000 ? (b === 0x41 ? 0x42 : 0x41) : b))

    async function judgeAll(where: VerifierPage): Promise<void> {
      for (const [file, trust, decision] of [
        [plain, bare, 'accept'],
        [plain, demanding, 'reject'],
        [signed, bare, 'accept'],
        [signed, demanding, 'accept'],
        [signed, null, 'reject'],
        [forged, bare, 'reject'],
      ] as const) {
        if (file === undefined || trust === undefined) throw new Error('a golden file is missing')
        const inPage = await where.verifyReceipt(file, trust)
        expect(inPage.decision).toBe(decision)
        const inNode = await verifyReceiptFile(file, { trust: trust === null ? null : parseTrustFile(trust) })
        expect(inPage).toEqual(JSON.parse(JSON.stringify(inNode)))
      }
    }

    it('is judged as in Node to the last word, and so is one without', async () => {
      console.info(`ML-DSA-65 in this browser: ${(await page.hasMlDsa()) ? 'its own' : 'the script'}`)
      await judgeAll(page)
    })

    it('is judged the same by a browser without ML-DSA', async () => {
      const poorer = await openVerifierPage(executablePath ?? '', bundle.script)
      try {
        await poorer.loseMlDsa()
        expect(await poorer.hasMlDsa()).toBe(false)
        await judgeAll(poorer)
      } finally {
        await poorer.close()
      }
    })
  })

  it.each(['032-erasure-file', '033-revocation-file', '034-onboarding-file'])('%s is judged as in Node to the last word', async (id) => {
    const [file, trust] = [golden(id, 'event.golden.json'), golden('028-trust-file', 'trust.golden.json')]
    for (const [given, known, decision] of [
      [file, trust, 'accept'],
      [file, null, 'reject'],
      [file.map((b, i) => (i === 600 ? b ^ 1 : b)), trust, 'reject'],
    ] as const) {
      const inPage = await page.verifyReceipt(given, known)
      expect(inPage.decision).toBe(decision)
      expect(inPage).toEqual(
        JSON.parse(JSON.stringify(await verifyReceiptFile(given, { trust: known === null ? null : parseTrustFile(known) }))),
      )
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
