import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attest } from '../../src/sim/index.ts'
import { toBase64 } from '../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../src/verify/evidence/cache.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import { verifyEvidence } from '../../src/verify/verify-evidence.ts'
import { simulatedPlatform } from '../support/simulated-platform.ts'
import { vectorsFolder } from '../support/vectors.ts'
import { collateralOf, evidenceOf, loadCases } from '../vectors/sev-snp/cases.ts'
import { type Bundle, bundleVerify, chromiumPath } from './bundle.ts'

/** One verification, in a form that crosses into the page. Bytes are base64. */
interface Task {
  readonly id: string
  readonly input: string
  readonly collateral: readonly string[]
  readonly trustAnchors: readonly string[]
  readonly at: string
  readonly allowUnknown: VerifyOptions['allowUnknown']
}

const PAGE = 'https://auditor.test/'
const CSP = "default-src 'none'; script-src 'self'"

function simulatedTasks(): readonly Task[] {
  const platform = simulatedPlatform()
  const { report, endorsements } = attest(platform, { reportData: new Uint8Array(64).fill(7), measurement: new Uint8Array(48).fill(9) })
  const common = { collateral: endorsements.map(toBase64), at: '2026-06-01T00:00:00Z', allowUnknown: [] }
  const trustAnchors = [toBase64(platform.root.certificate)]
  const flips = Array.from({ length: 40 }, (_, i) => report.map((b, at) => (at === i * 29 ? b ^ 1 : b)))
  return [
    { ...common, id: 'simulated', input: toBase64(report), trustAnchors },
    { ...common, id: 'simulated without its root', input: toBase64(report), trustAnchors: [] },
    ...flips.map((flip, i) => ({ ...common, id: `simulated, byte ${i * 29} flipped`, input: toBase64(flip), trustAnchors })),
  ]
}

function realTasks(): readonly Task[] {
  const folder = vectorsFolder('sev-snp')
  if (folder === null) return []
  return loadCases(folder)
    .filter((c) => c.kind === 'sev-snp-report' || c.kind === 'configfs-tsm-report')
    .map((vector) => ({
      id: vector.id,
      input: toBase64(evidenceOf(folder, vector)),
      collateral: collateralOf(folder, vector).map(toBase64),
      trustAnchors: [],
      at: vector.verify_at,
      allowUnknown: ['revocation'],
    }))
}

/** Runs in the page. */
async function verifyInPage(task: Task): Promise<string> {
  const { sealgate } = globalThis as unknown as { sealgate: { verifyEvidence: typeof verifyEvidence } }
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const verdict = await sealgate.verifyEvidence(bytes(task.input), {
    collateral: task.collateral.map(bytes),
    trustAnchors: task.trustAnchors.map(bytes),
    at: new Date(task.at),
    allowUnknown: task.allowUnknown,
  })
  return JSON.stringify(verdict)
}

const executablePath = chromiumPath()
const cache = createVerifyCache()
let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleVerify()
  console.info(`sealgate/verify for browsers: ${bundle.sizeBytes} bytes, ${bundle.gzipBytes} gzipped`)
})

describe('sealgate/verify for browsers', () => {
  it('holds nothing of Node, and no package that it does not need', () => {
    expect(bundle.inputs.filter((path) => !/^(dist\/verify|node_modules\/(zod|jose|saxes|xmlchars))\//.test(path))).toEqual([])
    expect(bundle.inputs).toContain('dist/verify/crypto/web.js')
    expect(bundle.inputs).not.toContain('dist/verify/crypto/node.js')
    expect(bundle.script).not.toMatch(/["']node:|\brequire\(/)
  })
})

describe.skipIf(executablePath === null)('in a page', () => {
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] })
    page = await browser.newPage()
    await page.route(`${PAGE}**`, (route) => {
      const isScript = route.request().url().endsWith('.js')
      const [contentType, body] = isScript
        ? ['text/javascript', bundle.script]
        : ['text/html', '<!doctype html><script src="/verify.js"></script>']
      return route.fulfill({ contentType, body, headers: { 'content-security-policy': CSP } })
    })
    await page.goto(PAGE)
  })

  afterAll(() => browser.close())

  it.each([...simulatedTasks(), ...realTasks()])('$id gets the verdict that it gets in Node', async (task) => {
    const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'))
    const options: VerifyOptions = {
      collateral: task.collateral.map(fromBase64),
      trustAnchors: task.trustAnchors.map(fromBase64),
      at: new Date(task.at),
      allowUnknown: task.allowUnknown,
      cache,
    }
    const inNode = await verifyEvidence(fromBase64(task.input), options)
    expect(JSON.parse(await page.evaluate(verifyInPage, task))).toEqual(JSON.parse(JSON.stringify(inNode)))
  })
})
