import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { certificatesOf } from '../../../../src/host/attesters/certificate-table.ts'
import { openConfigfsTsm, type TsmFiles } from '../../../../src/host/attesters/configfs-tsm.ts'
import { subjectOf } from '../fakes.ts'

const ROOT = '/fake/tsm/report'

interface Entry {
  generation: number
  privlevel: number | null
  inblob: Uint8Array
}

/** The kernel's side of configfs-tsm (drivers/virt/coco/tsm.c), in memory. */
class FakeKernel implements TsmFiles {
  readonly entries = new Map<string, Entry>()
  readonly made: string[] = []
  provider = 'sev_guest\n'
  auxblob: Uint8Array | null = new Uint8Array()
  /** Null: a provider without levels. */
  privlevelFloor: number | null = null
  reportSize = 1184
  /** Runs before each read; may write to the entry as another process would. */
  onRead: (attribute: string, entry: Entry) => void = () => {}

  mkdir(path: string): Promise<void> {
    if (!path.startsWith(`${ROOT}/`)) return Promise.reject(errno('ENOENT'))
    this.entries.set(path, { generation: 0, privlevel: null, inblob: new Uint8Array() })
    this.made.push(path)
    return Promise.resolve()
  }

  rmdir(path: string): Promise<void> {
    return this.entries.delete(path) ? Promise.resolve() : Promise.reject(errno('ENOENT'))
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    const [entry, attribute] = this.#at(path)
    if (attribute === 'privlevel' && this.privlevelFloor !== null) entry.privlevel = Number(Buffer.from(bytes).toString())
    else if (attribute === 'inblob') entry.inblob = bytes.slice()
    else return Promise.reject(errno('EACCES'))
    entry.generation++
    return Promise.resolve()
  }

  async read(path: string): Promise<Uint8Array> {
    const [entry, attribute] = this.#at(path)
    await Promise.resolve()
    this.onRead(attribute, entry)
    if (attribute === 'provider') return Buffer.from(this.provider)
    if (attribute === 'generation') return Buffer.from(`${entry.generation}\n`)
    if (attribute === 'privlevel_floor' && this.privlevelFloor !== null) return Buffer.from(`${this.privlevelFloor}\n`)
    if (attribute === 'auxblob' && this.auxblob !== null) return this.auxblob
    if (attribute !== 'outblob') throw errno('ENOENT')
    // SEV-SNP firmware refuses a level below the guest's own; the driver passes that on.
    if ((entry.privlevel ?? 0) < (this.privlevelFloor ?? 0)) throw errno('EIO')
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
const subject = subjectOf(wanted)

describe('configfs-tsm attester', () => {
  it('brings a report that carries our data and leaves no entry behind', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    expect(attester).toMatchObject({ format: 'sev-snp', simulated: false })
    const { report, endorsements } = await attester.attest(subject)
    expect(report.subarray(0x50, 0x90)).toEqual(wanted)
    expect(endorsements).toEqual([])
    expect(kernel.entries.size).toBe(0)
  })

  it('works on a kernel without an auxblob', async () => {
    const kernel = new FakeKernel()
    kernel.auxblob = null
    const attester = await openConfigfsTsm(ROOT, kernel)
    await expect(attester.attest(subject)).resolves.toMatchObject({ endorsements: [] })
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
    const { report } = await attester.attest(subject)
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
    await attester.attest(subject)
    expect(kernel.made.length).toBe(3)
  })

  it('discards a report of other data even when the generation looks right', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.onRead = (attribute, entry) => {
      if (attribute === 'outblob') entry.inblob = new Uint8Array(64).fill(0xee)
    }
    await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('gives up after a few lost races, leaving no entry behind', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.onRead = (attribute) => {
      if (attribute === 'outblob') throw errno('EAGAIN')
    }
    await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(kernel.entries.size).toBe(0)
    expect(kernel.made.length).toBe(6)
  })

  it('refuses a report of another size', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.reportSize = 1183
    await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    expect(kernel.entries.size).toBe(0)
  })

  it('asks for the lowest level that the guest may speak for, under a paravisor', async () => {
    const kernel = new FakeKernel()
    kernel.privlevelFloor = 2
    let level: number | null = null
    kernel.onRead = (attribute, entry) => {
      if (attribute === 'outblob') level = entry.privlevel
    }
    const attester = await openConfigfsTsm(ROOT, kernel)
    await attester.attest(subject)
    expect(level).toBe(2)
    expect(kernel.made).toHaveLength(2)
  })

  it('discards a report for which another process chose the level', async () => {
    const kernel = new FakeKernel()
    kernel.privlevelFloor = 1
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.onRead = (attribute, entry) => {
      if (attribute !== 'outblob') return
      entry.privlevel = 3
      entry.generation++
    }
    await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('refuses a level and a generation that are no numbers', async () => {
    for (const attribute of ['privlevel_floor', 'generation']) {
      const kernel = new FakeKernel()
      kernel.privlevelFloor = 0
      const attester = await openConfigfsTsm(ROOT, kernel)
      const read = kernel.read.bind(kernel)
      kernel.read = (path) => (path.endsWith(attribute) ? Promise.resolve(Buffer.from('-1\n')) : read(path))
      await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: expect.stringContaining(attribute) })
      expect(kernel.entries.size).toBe(0)
    }
  })

  it.each([
    ['tdx_guest', 'tdx', 5006],
    ['arm_cca_guest', 'arm-cca', 2048],
  ])('takes what %s makes, of whatever size, without certificates', async (provider, format, size) => {
    const kernel = new FakeKernel()
    kernel.provider = `${provider}\n`
    kernel.reportSize = size
    kernel.auxblob = new Uint8Array(64).fill(0xff)
    const attester = await openConfigfsTsm(ROOT, kernel)
    expect(attester).toMatchObject({ format, simulated: false })
    const { report, endorsements } = await attester.attest(subject)
    expect([report.length, endorsements]).toEqual([size, []])
    expect(kernel.entries.size).toBe(0)
  })

  it('takes a TDX quote only if it carries our data, and nothing larger than the kernel makes', async () => {
    const kernel = new FakeKernel()
    kernel.provider = 'tdx_guest\n'
    const attester = await openConfigfsTsm(ROOT, kernel)
    for (const size of [0, 64, 32 * 1024 + 1]) {
      kernel.reportSize = size
      await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    }
    expect(kernel.entries.size).toBe(0)
  })

  it('refuses a report of a provider that took the place of the first', async () => {
    const kernel = new FakeKernel()
    const attester = await openConfigfsTsm(ROOT, kernel)
    kernel.provider = 'tdx_guest\n'
    await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('says which attempt of the kernel failed, as a typed error, and leaves no entry behind', async () => {
    for (const attribute of ['generation', 'outblob', 'auxblob', 'provider']) {
      const kernel = new FakeKernel()
      const attester = await openConfigfsTsm(ROOT, kernel)
      kernel.onRead = (read) => {
        if (read === attribute) throw errno('EIO')
      }
      await expect(attester.attest(subject)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
      expect(kernel.entries.size).toBe(0)
    }
  })

  it('refuses an unknown provider and an absent interface', async () => {
    const kernel = new FakeKernel()
    kernel.provider = 'other_guest\n'
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
