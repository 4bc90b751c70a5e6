import { constants, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseTrustFile, verifyReceiptFile } from '../../../dist/verify/index.js'
import { interleave, interleaveOnce, STEADY } from '../interleave.mjs'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const golden = (name) => new Uint8Array(readFileSync(`${ROOT}/test/vectors/documents/029-receipt-file/${name}`))
const [FILE, TRUST] = [golden('receipt.golden.json'), golden('trust.golden.json')]
const CHROMIUM = process.env.SEALGATE_CHROMIUM ?? '/usr/bin/chromium'
const BATCH = 50
const ROUNDS = 9

function assertAccepted(decision) {
  if (decision !== 'accept') throw new Error(`the receipt was not accepted: ${decision}`)
}

async function verifyOnce() {
  assertAccepted((await verifyReceiptFile(FILE, { trust: parseTrustFile(TRUST) })).decision)
  return 1
}

/** A signature of this kind with its key imported, and how often it occurs. */
function bare(times, type, options, data, algorithm, padding) {
  const { privateKey } = generateKeyPairSync(type, options)
  const more = padding ?? {}
  const signature = sign(algorithm, data, { key: createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })), ...more })
  const key = { key: createPublicKey(privateKey), ...more }
  return () => {
    for (let i = 0; i < times; i++) if (!verify(algorithm, data, key, signature)) throw new Error('does not verify')
  }
}

/**
 * The signatures of the golden receipt file: report; VEK, ASK, ARK and CRL; contract, grant, intent, two of the receipt;
 * log key and cosignature of three checkpoints.
 */
function bareSignatures() {
  const data = randomBytes(1000)
  const all = [
    bare(1, 'ec', { namedCurve: 'P-384' }, data, 'sha384', { dsaEncoding: 'ieee-p1363' }),
    bare(4, 'rsa', { modulusLength: 4096 }, data, 'sha384', { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }),
    bare(5 + 6, 'ed25519', {}, data, null),
  ]
  return () => {
    for (const one of all) one()
    return 1
  }
}

/** From a rate to milliseconds for one. */
function inMs({ value, reference, ratio, spread }) {
  return { value: 1000 / value, reference: 1000 / reference, ratio: 1 / ratio, spread: [1 / spread[1], 1 / spread[0]] }
}

export async function node() {
  return inMs(await interleave(verifyOnce, bareSignatures(), STEADY))
}

async function msInNode() {
  const start = performance.now()
  for (let i = 0; i < BATCH; i++) await verifyOnce()
  return (performance.now() - start) / BATCH
}

/** Runs in the page. */
async function msInPage({ file, trust, batch }) {
  const { sealgate } = globalThis
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const [input, trusted] = [bytes(file), sealgate.parseTrustFile(bytes(trust))]
  const start = performance.now()
  for (let i = 0; i < batch; i++) {
    const { decision } = await sealgate.verifyReceiptFile(input, { trust: trusted })
    if (decision !== 'accept') throw new Error(decision)
  }
  return (performance.now() - start) / batch
}

async function bundle() {
  const { build } = await import('esbuild')
  const { outputFiles } = await build({
    stdin: { contents: "export * from 'sealgate/verify'", resolveDir: ROOT },
    ...{ absWorkingDir: ROOT, bundle: true, minify: true, format: 'iife', globalName: 'sealgate', platform: 'browser' },
    ...{ conditions: ['browser'], target: 'es2023', write: false, logLevel: 'silent' },
  })
  return outputFiles[0].text
}

export async function browser() {
  if (!existsSync(CHROMIUM)) throw new Error(`skipped: no browser at ${CHROMIUM}; on Debian: apt-get install chromium`)
  const { chromium } = await import('playwright-core')
  const running = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
  try {
    const page = await running.newPage()
    const script = await bundle()
    // WebCrypto is for secure origins alone.
    await page.route('https://auditor.test/**', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html>' }))
    await page.goto('https://auditor.test/')
    await page.evaluate(script)
    const base64 = (bytes) => Buffer.from(bytes).toString('base64')
    const task = { file: base64(FILE), trust: base64(TRUST), batch: BATCH }
    for (let i = 0; i < 20; i++) await Promise.all([msInNode(), page.evaluate(msInPage, task)])
    return await interleaveOnce(() => page.evaluate(msInPage, task), msInNode, ROUNDS)
  } finally {
    await running.close()
  }
}
