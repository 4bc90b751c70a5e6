import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { certificatesOf } from '../../../../src/host/attesters/certificate-table.ts'
import { openConfigfsTsm, type TsmFiles } from '../../../../src/host/attesters/configfs-tsm.ts'

const ROOT = '/fake/tsm/report'

interface Entry {
  generation: number
  inblob: Uint8Array
}

/** The kernel's side of configfs-tsm (drivers/virt/coco/tsm.c), in memory. */
class FakeKernel implements TsmFiles {
  readonly entries = new Map<string, Entry>()
  readonly made: string[] = []
  provider = 'sev_guest\n'
  auxblob: Uint8Array | null = new Uint8Array()
  reportSize = 1184
  /** Runs before each read; may write to the entry as another process would. */
  onRead: (attribute: string, entry: Entry) => void = () => {}

  mkdir(path: string): Promise<void> {
    if (!path.startsWith(`${ROOT}/`)) return Promise.reject(errno('ENOENT'))
    this.entries.set(path, { generation: 0, inblob: new Uint8Array() })
    this.made.push(path)
    return Promise.resolve()
  }

  rmdir(path: string): Promise<void> {
    return this.entries.delete(path) ? Promise.resolve() : Promise.reject(errno('ENOENT'))
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    const [entry, attribute] = this.#at(path)
    if (attribute !== 'inblob') return Promise.reject(errno('EACCES'))
    entry.inblob = bytes.slice()
    entry.generation++
    return Promise.resolve()
  }

  async read(path: string): Promise<Uint8Array> {
    const [entry, attribute] = this.#at(path)
    await Promise.resolve()
    this.onRead(attribute, entry)
    if (attribute === 'provider') return Buffer.from(this.provider)
    if (attribute === 'generation') return Buffer.from(`${entry.generation}\n`)
    if (attribute === 'auxblob' && this.auxblob !== null) return this.auxblob
    if (attribute !== 'outblob') throw errno('ENOENT')
    const report = new Uint8Array(this.reportSize)
    if (this.reportSize >= 0x90) report.set(entry.inblob, 0x50)
    return report
  }

  #at(path: string): [Entry, string] {
    const cut = path.lastIndexOf('/')
    const entry = this.entries.get(path.slice(0, cut))
    if (entry === undefined) throw errno('ENOENT')
    return [entry, path.slice(cut + 1)]
  }
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code })
}

const wanted = new Uint8Array(64).fill(7)

describe('configfs-tsm attester', () => {
  it('brings a report that carries our data and leaves no entry behind', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    expect(attester).toMatchObject({ format: 'sev-snp', simulated: false })
    const { report, endorsements } = await attester.attest(wanted)
    expect(report.subarray(0x50, 0x90)).toEqual(wanted)
    expect(endorsements).toEqual([])
    expect(kernel.entries.size).toBe(0)
  })

  it('works on a kernel without an auxblob', async () => {
    const kernel = new FakeKernel()
    kernel.auxblob = null
    const attester = await openConfigfsTsm(ROOT, kernel)
    await expect(attester.attest(wanted)).resolves.toMatchObject({ endorsements: [] })
  })

  it('runs again when another process wrote to the entry between our write and our read', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    let races = 2
    kernel.onRead = (attribute, entry) => {
      if (attribute !== 'outblob' || races-- <= 0) return
      entry.inblob = new Uint8Array(64).fill(0xee)
      entry.generation++
    }
    const { report } = await attester.attest(wanted)
    expect(report.subarray(0x50, 0x90)).toEqual(wanted)
    expect(kernel.made.length).toBe(4)
  })

  it('discards a report whose generation moved after it was read', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    let races = 1
    kernel.onRead = (attribute, entry) => {
      if (attribute === 'auxblob' && races-- > 0) entry.generation++
    }
    await attester.attest(wanted)
    expect(kernel.made.length).toBe(3)
  })

  it('discards a report of other data even when the generation looks right', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.onRead = (attribute, entry) => {
      if (attribute === 'outblob') entry.inblob = new Uint8Array(64).fill(0xee)
    }
    await expect(attester.attest(wanted)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('gives up after a few lost races, leaving no entry behind', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.onRead = (attribute) => {
      if (attribute === 'outblob') throw errno('EAGAIN')
    }
    await expect(attester.attest(wanted)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(kernel.entries.size).toBe(0)
    expect(kernel.made.length).toBe(6)
  })

  it('refuses a report of another size', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.reportSize = 1183
    await expect(attester.attest(wanted)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(kernel.entries.size).toBe(0)
  })

  it('refuses another provider and an absent interface', async () => {
    const kernel = new FakeKernel()
    kernel.provider = 'tdx_guest\n'
    await expect(openConfigfsTsm(ROOT, kernel)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(openConfigfsTsm('/nowhere', kernel)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(openConfigfsTsm('/proc/sealgate-no-such-folder')).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })
})

describe('certificate table of SEV-SNP', () => {
  /** GUID of the VCEK entry (AMD 56421 table 5). */
  const VCEK = Buffer.from('63da758de6644564adc5f4b93be8accd', 'hex')

  function table(contents: readonly Uint8Array[]): Uint8Array {
    const head = 24 * (contents.length + 1)
    const entries = Buffer.alloc(head)
    let offset = head
    contents.forEach((content, i) => {
      VCEK.copy(entries, i * 24)
      entries.writeUInt32LE(offset, i * 24 + 16)
      entries.writeUInt32LE(content.length, i * 24 + 20)
      offset += content.length
    })
    return new Uint8Array(Buffer.concat([entries, ...contents]))
  }

  it('gives DER and PEM entries as DER, in order', () => {
    const der = Uint8Array.of(0x30, 1, 2)
    const pem = Buffer.from('-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n')
    expect(certificatesOf(table([der, pem])).map((c) => [...c])).toEqual([
      [0x30, 1, 2],
      [0x30, 3, 2],
    ])
  })

  it('reads nothing out of a table that is damaged, or none at all', () => {
    const broken = table([Uint8Array.of(0x30)])
    broken.fill(0xff, 16, 20)
    const text = new Uint8Array(readFileSync(import.meta.filename))
    for (const bytes of [broken, table([Uint8Array.of(0xff, 0xfe)]), new Uint8Array(), text]) expect(certificatesOf(bytes)).toEqual([])
  })
})
