import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Client, Owner } from '../../../../src/client/index.ts'
import { fetchResults } from '../../../../src/client/index.ts'
import { sealResults } from '../../../../src/host/job/results.ts'
import { toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import type { Predicate } from '../../../../src/verify/documents/statement.ts'
import { testBytes } from '../../../support/keys.ts'
import { freshOwner, temporaryFolder } from '../support.ts'

const root = temporaryFolder()
const JOB = toBase64Url(testBytes('job', 32))
let owner: Owner
let runs = 0
let target: string

/** What the enclave seals, and what the verified receipt says of it. */
interface Sealed {
  readonly bytes: Buffer
  readonly subject: { name: string; digest: { sha256: string } }[]
  readonly predicate: Predicate
}

const FILES = { 'out/a.csv': 'a,b\n1,2\n', 'out/deep/b.txt': 'B', stdout: 'done\n', stderr: '' }

async function seal(files: Readonly<Record<string, string>> = FILES, job: string = JOB, recipient: Owner = owner): Promise<Sealed> {
  const path = join(root, `sealed-${runs++}`)
  const list = Object.entries(files).map(([name, text]) => ({
    path: name,
    size: text.length,
    read: () => [new TextEncoder().encode(text)],
  }))
  const recipients = [recipient.recipient.publicKey]
  const { sha256, commitments } = await sealResults({ job, outcome: 'succeeded', recipients, files: list }, path)
  return {
    bytes: readFileSync(path),
    subject: [{ name: 'results.sealed', digest: { sha256 } }],
    predicate: { jobId: 'id', job: JOB, outputs: commitments.map((commitment) => ({ commitment })) } as unknown as Predicate,
  }
}

/** A gateway that hands out `bytes`. */
function clientWith(bytes: Uint8Array): Client {
  async function* download(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
  }
  return { results: () => Promise.resolve({ blobId: 'blob', sizeBytes: bytes.length }), download } as unknown as Client
}

function fetch({ bytes, subject, predicate }: Sealed): ReturnType<typeof fetchResults> {
  return fetchResults({ client: clientWith(bytes), owner, statement: { subject, predicate }, folder: target })
}

async function expectRefusal(sealed: Sealed, code: string): Promise<void> {
  await expect(fetch(sealed)).rejects.toEqual(expect.objectContaining({ code }))
  expect(existsSync(target)).toBe(false)
  expect(readdirSync(root).filter((n) => n.includes('.part'))).toEqual([])
}

beforeAll(async () => {
  owner = await freshOwner(root)
})
beforeEach(() => {
  target = join(root, `results-${runs++}`)
})

describe('results', () => {
  it('writes what the enclave sealed, for its owner alone', async () => {
    const opened = await fetch(await seal())
    expect(opened?.files.map((f) => f.path)).toEqual(Object.keys(FILES))
    for (const [name, text] of Object.entries(FILES)) expect(readFileSync(join(target, name), 'utf8')).toBe(text)
    expect(statSync(target).mode & 0o777).toBe(0o700)
    expect(statSync(join(target, 'out/a.csv')).mode & 0o777).toBe(0o600)
  })

  it('rejects a changed byte before it opens anything', async () => {
    const sealed = await seal()
    const bytes = Buffer.from(sealed.bytes)
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1
    await expectRefusal({ ...sealed, bytes }, 'RECEIPT_INCONSISTENT')
  })

  it('rejects other results of the same job that the receipt does not name', async () => {
    const [a, b] = [await seal(), await seal()]
    await expectRefusal({ ...a, bytes: b.bytes }, 'RECEIPT_INCONSISTENT')
  })

  it('rejects results of another job, even where the receipt names their digest', async () => {
    await expectRefusal(await seal(FILES, toBase64Url(testBytes('other', 32))), 'RECEIPT_INCONSISTENT')
  })

  it('rejects an output that is not the one committed to', async () => {
    const sealed = await seal()
    const [first, second, ...rest] = sealed.predicate.outputs
    const outputs = [second, first, ...rest] as Predicate['outputs']
    await expectRefusal({ ...sealed, predicate: { ...sealed.predicate, outputs } }, 'RECEIPT_INCONSISTENT')
  })

  it('rejects an archive with fewer or more outputs than the receipt commits to', async () => {
    const sealed = await seal()
    const fewer = sealed.predicate.outputs.slice(1)
    const more = [...sealed.predicate.outputs, { commitment: JOB }]
    for (const outputs of [fewer, more]) {
      await expectRefusal({ ...sealed, predicate: { ...sealed.predicate, outputs } }, 'RECEIPT_INCONSISTENT')
    }
  })

  it.each(['../escape', '/tmp/escape', 'out/../../escape', 'elsewhere/x'])('rejects an output named %s', async (name) => {
    await expectRefusal(await seal({ [name]: 'x' }), 'DOCUMENT_INVALID')
    expect(existsSync(join(root, 'escape'))).toBe(false)
  })

  it('cannot open what was sealed to somebody else', async () => {
    await expectRefusal(await seal(FILES, JOB, await freshOwner(root)), 'UNWRAP_FAILED')
  })

  it('rejects a dataset in place of results', async () => {
    const sealed = await seal()
    await expectRefusal({ ...sealed, bytes: Buffer.from('no sealed file') }, 'RECEIPT_INCONSISTENT')
  })

  describe('of an array job', () => {
    const sealed = async (items: readonly ('succeeded' | 'failed')[] = ['succeeded', 'failed'], job = JOB): Promise<Sealed> => {
      const path = join(root, `sealed-${runs++}`)
      const file = (name: string, text: string) => ({ path: name, size: text.length, read: () => [new TextEncoder().encode(text)] })
      const recipients = [owner.recipient.publicKey]
      const list = items.map((outcome, i) => ({ outcome, files: [file('out/x', `item ${i}`), file('stdout', ''), file('stderr', 'e')] }))
      const { sha256, manifests } = await sealResults({ job, outcome: 'failed', recipients, files: [], items: list }, path)
      const named = manifests.map((m, i) => ({ name: `items/${i}/manifest.json`, digest: { sha256: m } }))
      const outcomes = items.map((kind) => ({ kind, exitCode: kind === 'succeeded' ? 0 : null }))
      return {
        bytes: readFileSync(path),
        subject: [{ name: 'results.sealed', digest: { sha256 } }, ...named],
        predicate: { jobId: 'id', job: JOB, outputs: [], items: outcomes } as unknown as Predicate,
      }
    }

    it('lie in a folder for each item, with the manifest that the receipt names', async () => {
      const results = await sealed()
      const opened = await fetch(results)
      expect(opened?.files.map((f) => f.path)).toEqual([0, 1].flatMap((i) => ['out/x', 'stdout', 'stderr'].map((f) => `items/${i}/${f}`)))
      expect(readFileSync(join(target, 'items/1/out/x'), 'utf8')).toBe('item 1')
      const manifest = createHash('sha256').update(readFileSync(join(target, 'items/1/manifest.json')))
      expect(manifest.digest('hex')).toBe(results.subject[2]?.digest.sha256)
    })

    it.each<[string, (results: Sealed) => Sealed]>([
      ['an item that the receipt does not name', (r) => ({ ...r, subject: r.subject.slice(0, -1) })],
      [
        'an item fewer than the receipt names',
        (r) => ({ ...r, subject: [...r.subject, { name: 'items/2/manifest.json', digest: r.subject[1]?.digest ?? { sha256: '' } }] }),
      ],
      ['items in each other’s place', (r) => ({ ...r, subject: [r.subject[0], r.subject[2], r.subject[1]] as Sealed['subject'] })],
      [
        'the output of one item claimed for another',
        (r) => ({
          ...r,
          subject: [...r.subject.slice(0, 2), { name: 'items/1/manifest.json', digest: r.subject[1]?.digest ?? { sha256: '' } }],
        }),
      ],
      [
        'another outcome of an item',
        (r) => ({
          ...r,
          predicate: {
            ...r.predicate,
            items: [
              { kind: 'failed', exitCode: null },
              { kind: 'failed', exitCode: null },
            ],
          },
        }),
      ],
    ])('are refused with %s', async (_, change) => {
      await expectRefusal(change(await sealed()), 'RECEIPT_INCONSISTENT')
    })
  })

  it('overwrites nothing', async () => {
    writeFileSync(target, 'mine')
    await expect(fetch(await seal())).rejects.toEqual(expect.objectContaining({ code: 'ALREADY_EXISTS' }))
    expect(readFileSync(target, 'utf8')).toBe('mine')
  })

  it('answers null where the receipt names no results', async () => {
    const sealed = await seal()
    expect(await fetch({ ...sealed, subject: [{ name: 'contract', digest: { sha256: '0'.repeat(64) } }] })).toBeNull()
  })
})
