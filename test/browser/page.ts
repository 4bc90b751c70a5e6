import { type Browser, chromium, type Page } from 'playwright-core'
import { toBase64 } from '../../src/verify/bytes/bytes.ts'
import type { parseEvidenceBundle } from '../../src/verify/documents/evidence-bundle.ts'
import type { parseTrustFile } from '../../src/verify/documents/trust.ts'
import type { VerifyOptions } from '../../src/verify/evidence/types.ts'
import type { ReceiptVerdict, verifyReceiptFile } from '../../src/verify/receipt/index.ts'
import type { BundleOptions, BundleVerdict, verifyBundle } from '../../src/verify/verify-bundle.ts'
import type { EvidenceVerdict, verifyEvidence } from '../../src/verify/verify-evidence.ts'
import type { EvidenceCase } from '../support/vector-cases.ts'

/** One verification, in a form that crosses into the page. Bytes are base64. */
interface Task {
  readonly input: string
  readonly collateral: readonly string[]
  readonly trustAnchors: readonly string[]
  readonly eventLogs: readonly string[]
  readonly at: string
  readonly nonce: string | null
  readonly rest: Pick<VerifyOptions, 'format' | 'allowUnknown' | 'sevSnp'>
}

/** A page of an auditor: the verifier is its only script, and its policy allows no connection. */
export interface VerifierPage {
  verify(one: EvidenceCase): Promise<EvidenceVerdict>
  /** @param bundle - JSON form. */
  verifyBundle(bundle: Uint8Array, options: BundleOptions): Promise<BundleVerdict>
  /** @param trust - the bytes of a trust file; null: none. */
  verifyReceipt(file: Uint8Array, trust: Uint8Array | null): Promise<ReceiptVerdict>
  /** Whether the browser's own WebCrypto takes ML-DSA-65 keys. */
  hasMlDsa(): Promise<boolean>
  /** Makes it as one that does not. */
  loseMlDsa(): Promise<void>
  close(): Promise<void>
}

const PAGE = 'https://auditor.test/'
const CSP = "default-src 'none'; script-src 'self'"

export async function openVerifierPage(executablePath: string, script: string): Promise<VerifierPage> {
  const browser: Browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page: Page = await browser.newPage()
  await page.route(`${PAGE}**`, (route) => {
    const isScript = route.request().url().endsWith('.js')
    const [contentType, body] = isScript ? ['text/javascript', script] : ['text/html', '<!doctype html><script src="/verify.js"></script>']
    return route.fulfill({ contentType, body, headers: { 'content-security-policy': CSP } })
  })
  await page.goto(PAGE)
  return {
    verify: async (one) => JSON.parse(await page.evaluate(verifyInPage, taskOf(one))) as EvidenceVerdict,
    verifyBundle: async (bundle, options) => {
      const { nonce, role, allowUnknown, at } = options
      const rest = { role, allowUnknown, nonce: nonce === undefined ? null : toBase64(nonce) }
      const bytes = { bundle: toBase64(bundle), trustAnchors: options.trustAnchors.map(toBase64) }
      return JSON.parse(await page.evaluate(verifyBundleInPage, { ...bytes, ...rest, at: at.toISOString() })) as BundleVerdict
    },
    verifyReceipt: async (file, trust) =>
      JSON.parse(
        await page.evaluate(verifyReceiptInPage, { file: toBase64(file), trust: trust === null ? null : toBase64(trust) }),
      ) as ReceiptVerdict,
    hasMlDsa: () => page.evaluate(hasMlDsaInPage),
    loseMlDsa: () => page.evaluate(loseMlDsaInPage),
    close: () => browser.close(),
  }
}

function taskOf({ input, options }: EvidenceCase): Task {
  const { collateral, trustAnchors, eventLogs = [], at, nonce, ...rest } = options
  if (!('map' in trustAnchors)) throw new Error('roots cross to the page as bytes')
  const texts = { collateral: collateral.map(toBase64), trustAnchors: trustAnchors.map(toBase64), eventLogs: eventLogs.map(toBase64) }
  return { input: toBase64(input), ...texts, at: at.toISOString(), nonce: nonce === undefined ? null : toBase64(nonce), rest }
}

/** Runs in the page. */
async function verifyInPage({ input, collateral, trustAnchors, eventLogs, at, nonce, rest }: Task): Promise<string> {
  const { sealgate } = globalThis as unknown as { sealgate: { verifyEvidence: typeof verifyEvidence } }
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const verdict = await sealgate.verifyEvidence(bytes(input), {
    ...rest,
    ...(nonce === null ? {} : { nonce: bytes(nonce) }),
    collateral: collateral.map(bytes),
    trustAnchors: trustAnchors.map(bytes),
    eventLogs: eventLogs.map(bytes),
    at: new Date(at),
  })
  return JSON.stringify(verdict)
}

interface BundleTask extends Pick<BundleOptions, 'role' | 'allowUnknown'> {
  readonly bundle: string
  readonly trustAnchors: readonly string[]
  readonly nonce: string | null
  readonly at: string
}

/** Runs in the page. */
async function verifyBundleInPage({ bundle, trustAnchors, nonce, at, ...rest }: BundleTask): Promise<string> {
  const { sealgate } = globalThis as unknown as {
    sealgate: { verifyBundle: typeof verifyBundle; parseEvidenceBundle: typeof parseEvidenceBundle }
  }
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const verdict = await sealgate.verifyBundle(sealgate.parseEvidenceBundle(bytes(bundle)), {
    ...rest,
    ...(nonce === null ? {} : { nonce: bytes(nonce) }),
    collateral: [],
    trustAnchors: trustAnchors.map(bytes),
    at: new Date(at),
  })
  return JSON.stringify(verdict)
}

/** Runs in the page. */
async function verifyReceiptInPage({ file, trust }: { readonly file: string; readonly trust: string | null }): Promise<string> {
  const { sealgate } = globalThis as unknown as {
    sealgate: { verifyReceiptFile: typeof verifyReceiptFile; parseTrustFile: typeof parseTrustFile }
  }
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  return JSON.stringify(
    await sealgate.verifyReceiptFile(bytes(file), { trust: trust === null ? null : sealgate.parseTrustFile(bytes(trust)) }),
  )
}

/** Runs in the page. */
async function hasMlDsaInPage(): Promise<boolean> {
  const spki = new Uint8Array(22 + 1952)
  spki.set([
    0x30, 0x82, 0x07, 0xb2, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12, 0x03, 0x82, 0x07, 0xa1, 0x00,
  ])
  return crypto.subtle.importKey('spki', spki, { name: 'ML-DSA-65' }, false, ['verify']).then(
    () => true,
    () => false,
  )
}

/** Runs in the page. */
function loseMlDsaInPage(): void {
  const { subtle } = crypto
  const importKey = subtle.importKey.bind(subtle) as (...args: readonly unknown[]) => Promise<CryptoKey>
  const poorer = (...args: readonly unknown[]): Promise<CryptoKey> =>
    (args[2] as { readonly name?: string }).name === 'ML-DSA-65'
      ? Promise.reject(new DOMException('', 'NotSupportedError'))
      : importKey(...args)
  Object.defineProperty(subtle, 'importKey', { value: poorer })
}
