import { createHash } from 'node:crypto'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type * as Seal from '../../src/seal/index.ts'
import {
  createDatasetHeader,
  encodeFileHead,
  openArchive,
  openStream,
  parseKemKey,
  readContents,
  readSealedFile,
  Secret,
  sealStream,
  unwrapFromKeyring,
} from '../../src/seal/index.ts'
import { concat, fromBase64, toBase64, utf8 } from '../../src/verify/bytes/bytes.ts'
import { archiveOf } from '../support/archive.ts'
import { testBytes } from '../support/keys.ts'
import { collect, fixedRandom, flipped, LEGAL } from '../unit/seal/support.ts'
import { type Bundle, bundleRoom, chromiumPath } from './bundle.ts'

const executablePath = chromiumPath()
/** Three segments; some bytes more than two of them. */
const PLAINTEXT = new Uint8Array(Buffer.alloc(2_500_000, testBytes('pattern', 9973)))
const owner = Buffer.from(testBytes('owner', 32)).toString('base64url')
let bundle: Bundle

beforeAll(async () => {
  bundle = await bundleRoom('seal')
  console.info(`sealgate/seal for browsers: ${bundle.sizeBytes} bytes, ${bundle.gzipBytes} gzipped`)
})

describe('sealgate/seal for browsers', () => {
  it('holds nothing of Node, and no package that it does not need', () => {
    const allowed = /^(dist\/(seal|verify)|node_modules\/(zod|jose|hpke|@panva\/hpke-noble|@noble\/[a-z-]+))\//
    expect(bundle.inputs.filter((path) => !allowed.test(path))).toEqual([])
    expect(bundle.inputs).toContain('dist/verify/crypto/web.js')
    expect(bundle.inputs).not.toContain('dist/verify/crypto/node.js')
    expect(bundle.script).not.toMatch(/["']node:|\brequire\(/)
  })
})

/** Bytes are base64 on their way into the page and out of it. */
interface Opened {
  readonly code: string | null
  readonly plaintext: string
}

describe.skipIf(executablePath === null)('in a page', () => {
  let browser: Browser
  let page: Page

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox'] })
    page = await browser.newPage()
    await page.route('https://owner.test/**', (route) => {
      const isScript = route.request().url().endsWith('.js')
      const [contentType, body] = isScript
        ? ['text/javascript', bundle.script]
        : ['text/html', '<!doctype html><script src="/seal.js"></script>']
      return route.fulfill({ contentType, body, headers: { 'content-security-policy': "default-src 'none'; script-src 'self'" } })
    })
    await page.goto('https://owner.test/')
  })
  afterAll(async () => {
    await browser?.close()
  })

  it('opens what Node sealed, through Web Streams', async () => {
    const { file, dek } = await sealInNode(PLAINTEXT, 'file')
    const opened = await page.evaluate(openInPage, { file: toBase64(file), dek: toBase64(dek) })
    expect(opened.code).toBeNull()
    expect(Buffer.compare(fromBase64(opened.plaintext), PLAINTEXT)).toBe(0)
  })

  it('seals what Node opens', async () => {
    const sealed = await page.evaluate(sealInPage, { plaintext: toBase64(PLAINTEXT), owner, legal: LEGAL })
    const { headerBytes, stream } = await readSealedFile([fromBase64(sealed.file)])
    const opened = await collect(openStream(stream, { header: headerBytes, dek: new Secret(fromBase64(sealed.dek)) }))
    expect(Buffer.compare(opened, PLAINTEXT)).toBe(0)
  })

  it('gives out nothing of a segment that was changed', async () => {
    const { file, dek } = await sealInNode(PLAINTEXT, 'file')
    const changed = toBase64(flipped(file, 1_600_000))
    const opened = await page.evaluate(openInPage, { file: changed, dek: toBase64(dek) })
    expect(opened.code).toBe('SEGMENT_INVALID')
    expect(fromBase64(opened.plaintext).length).toBe(1_048_520)
  })

  it('refuses another key', async () => {
    const { file } = await sealInNode(utf8('x'), 'file')
    const opened = await page.evaluate(openInPage, { file: toBase64(file), dek: toBase64(new Uint8Array(32)) })
    expect(opened).toEqual({ code: 'KEY_COMMITMENT_MISMATCH', plaintext: '' })
  })

  it('reads an archive that Node packed, and refuses one whose file is another', async () => {
    const archive = await archiveOf({ a: null, 'a/ä': 'umlaut', b: 'beta' })
    const files = await page.evaluate(readArchiveInPage, toBase64(archive))
    expect(files).toEqual(['a', 'a/ä umlaut', 'b beta'])
    expect(await page.evaluate(readArchiveInPage, toBase64(flipped(archive, archive.length - 1)))).toEqual([
      'a',
      'a/ä umlaut',
      'ARCHIVE_INVALID',
    ])
    const names: string[] = []
    for await (const { entry } of readContents(await openArchive([archive], archive.length), () => createHash('sha256')))
      names.push(entry.path)
    expect(names).toEqual(['a', 'a/ä', 'b'])
  })

  it('wraps a key for the keyring that Node unwraps', async () => {
    const { suite, enc, ciphertext, header, key, dek } = await page.evaluate(keyringInPage, { owner, legal: LEGAL })
    const wrapped = { suite, enc: fromBase64(enc), ciphertext: fromBase64(ciphertext) }
    const unwrapped = await unwrapFromKeyring(parseKemKey(fromBase64(key)), fromBase64(header), wrapped)
    expect(toBase64(unwrapped.expose())).toBe(dek)
  })
})

async function sealInNode(plaintext: Uint8Array, content: 'file' | 'archive'): Promise<{ file: Uint8Array; dek: Uint8Array }> {
  const random = fixedRandom('browser')
  const { bytes, dek } = await createDatasetHeader({ content, plaintextSize: plaintext.length, owner, legal: LEGAL, random })
  const stream = await collect(sealStream([plaintext], { header: bytes, dek, random }))
  return { file: concat(encodeFileHead(bytes), stream), dek: dek.expose() }
}

/** Runs in the page. */
async function openInPage(task: { file: string; dek: string }): Promise<Opened> {
  const { sealgate } = globalThis as unknown as { sealgate: typeof Seal }
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
  const file = bytes(task.file)
  const headerSize = new DataView(file.buffer).getUint32(0)
  const header = file.slice(4, 4 + headerSize)
  const given: Uint8Array[] = []
  const base64 = (): string => {
    let text = ''
    for (const part of given) for (let at = 0; at < part.length; at += 8192) text += String.fromCharCode(...part.subarray(at, at + 8192))
    return btoa(text)
  }
  const source = new Blob([file.subarray(4 + headerSize) as Uint8Array<ArrayBuffer>]).stream()
  try {
    const dek = new sealgate.Secret(bytes(task.dek))
    const opened = source.pipeThrough(sealgate.openTransform({ header, dek }))
    for await (const part of sealgate.chunksOf(opened)) given.push(part)
    return { code: null, plaintext: base64() }
  } catch (error) {
    return { code: (error as { code: string }).code, plaintext: base64() }
  }
}

/** Runs in the page. */
async function sealInPage(task: {
  plaintext: string
  owner: string
  legal: Seal.NewDataset['legal']
}): Promise<{ file: string; dek: string }> {
  const { sealgate } = globalThis as unknown as { sealgate: typeof Seal }
  const plaintext = Uint8Array.from(atob(task.plaintext), (c) => c.charCodeAt(0))
  const random = (size: number): Uint8Array => crypto.getRandomValues(new Uint8Array(size))
  const { owner, legal } = task
  const { bytes, dek } = await sealgate.createDatasetHeader({ content: 'file', plaintextSize: plaintext.length, owner, legal, random })
  const transform = sealgate.sealTransform({ header: bytes, dek, random }) as ReadableWritablePair<Uint8Array, Uint8Array<ArrayBuffer>>
  const parts: Uint8Array[] = [sealgate.encodeFileHead(bytes)]
  for await (const part of sealgate.chunksOf(new Blob([plaintext]).stream().pipeThrough(transform))) parts.push(part)
  let text = ''
  for (const part of parts) for (let at = 0; at < part.length; at += 8192) text += String.fromCharCode(...part.subarray(at, at + 8192))
  return { file: btoa(text), dek: btoa(String.fromCharCode(...dek.expose())) }
}

/** Runs in the page. WebCrypto hashes in one piece, so the files are held until their digest is wanted. */
async function readArchiveInPage(archive: string): Promise<readonly string[]> {
  const { sealgate } = globalThis as unknown as { sealgate: typeof Seal }
  const bytes = Uint8Array.from(atob(archive), (c) => c.charCodeAt(0))
  const createHash = (): Seal.RunningHash => {
    const parts: Uint8Array<ArrayBuffer>[] = []
    return {
      update: (data) => parts.push(data as Uint8Array<ArrayBuffer>),
      digest: async () => new Uint8Array(await crypto.subtle.digest('SHA-256', await new Blob(parts).arrayBuffer())),
    }
  }
  const found: string[] = []
  try {
    for await (const item of sealgate.readContents(await sealgate.openArchive([bytes], bytes.length), createHash)) {
      const parts: Uint8Array<ArrayBuffer>[] = []
      if ('content' in item) for await (const part of item.content) parts.push(part as Uint8Array<ArrayBuffer>)
      found.push('content' in item ? `${item.entry.path} ${await new Blob(parts).text()}` : item.entry.path)
    }
  } catch (error) {
    found.push((error as { code: string }).code)
  }
  return found
}

/** Runs in the page. */
async function keyringInPage(task: { owner: string; legal: Seal.NewDataset['legal'] }): Promise<{
  suite: Seal.Wrapped['suite']
  enc: string
  ciphertext: string
  header: string
  key: string
  dek: string
}> {
  const { sealgate } = globalThis as unknown as { sealgate: typeof Seal }
  const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes))
  const random = (size: number): Uint8Array => crypto.getRandomValues(new Uint8Array(size))
  const key = await sealgate.generateKemKey('MLKEM768-X25519,HKDF-SHA256,AES-256-GCM', random)
  const { bytes, dek } = await sealgate.createDatasetHeader({ content: 'file', plaintextSize: 1, ...task, random })
  const { suite, enc, ciphertext } = await sealgate.wrapForKeyring(key.publicKey, bytes, dek)
  const wrapped = { suite, enc: base64(enc), ciphertext: base64(ciphertext) }
  return { ...wrapped, header: base64(bytes), key: base64(sealgate.encodeKemKey(key)), dek: base64(dek.expose()) }
}
