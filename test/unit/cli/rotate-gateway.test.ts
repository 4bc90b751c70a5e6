import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import * as realPromises from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { createGatewayFolder } from '../../../src/cli/folders/gateway-folder.ts'
import { rotateGatewayKeys } from '../../../src/cli/folders/rotate-gateway.ts'
import { addTrust, retireKey } from '../../../src/cli/folders/trust.ts'
import { examineGateway } from '../../../src/cli/gateway-doctor.ts'
import { loadTrustFile } from '../../../src/client/index.ts'
import { loadKeys, openStore } from '../../../src/gateway/index.ts'
import { encodeTrustFile } from '../../../src/verify/documents/trust.ts'

/** Changes of the disk until the process "dies": at the call before it happens, or right after. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, after: false }))
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof realPromises>()
  const dying =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      const dies = disk.left-- === 0
      if (dies && !disk.after) throw new Error('died before')
      if (disk.left < -1) throw new Error('dead')
      const result = await work(...args)
      if (dies) {
        if (result instanceof Object && 'fd' in result) await (result as unknown as realPromises.FileHandle).close()
        throw new Error('died after')
      }
      return result
    }
  return { ...real, rename: dying(real.rename), rm: dying(real.rm), open: dying(real.open as never), chmod: dying(real.chmod) }
})

const AT = new Date('2026-06-01T12:00:00Z')
const RETIRED = '2026-06-01T13:00:00Z'
const root = mkdtempSync(join(tmpdir(), 'sealgate-rotate-'))
const master = join(root, 'master')
let folder = ''
let copies = 0
const rotate = (): ReturnType<typeof rotateGatewayKeys> => rotateGatewayKeys(folder, { at: AT, overlapSeconds: 3600 })
const trust = (): ReturnType<typeof loadTrustFile> => loadTrustFile(join(folder, 'trust.json'))
const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
const old = (): ReturnType<typeof loadKeys> => loadKeys(master)

beforeAll(() => createGatewayFolder({ folder: master, name: 'clinic', listen: '127.0.0.1:7443', publicAddress: null, at: AT }))
beforeEach(() => {
  folder = join(root, `copy-${copies++}`)
  cpSync(master, folder, { recursive: true })
})
afterAll(() => rmSync(root, { recursive: true }))

describe('rotating the keys of a gateway', () => {
  it('exchanges both, keeps the rest, and leaves no private half of the old ones', async () => {
    const done = await rotate()
    const keys = loadKeys(folder)
    expect(keys.signing.x).not.toBe(old().signing.x)
    expect(keys.mlDsa?.pub).not.toBe(old().mlDsa?.pub)
    expect(keys.log).toEqual(old().log)
    const all = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile())
    const contents = all.map((e) => readFileSync(join(e.parentPath, e.name), 'latin1')).join()
    expect(contents).not.toContain(old().signing.d)
    expect(contents).not.toContain(old().mlDsa?.priv ?? '-')
    expect(existsSync(join(folder, 'rotation.key.json'))).toBe(false)
    const { gateways, retired } = await trust()
    expect(gateways.map((g) => [g.x, g.mlDsa?.pub])).toEqual([
      [old().signing.x, old().mlDsa?.pub],
      [keys.signing.x, keys.mlDsa?.pub],
    ])
    expect(retired).toEqual([{ kind: 'gateway', key: old().signing.x, at: RETIRED, compromised: false }])
    expect(done).toMatchObject({ retired: RETIRED, resumed: false })
    expect((await examineGateway(folder, AT)).find((f) => f.check === 'keys')).toMatchObject({ outcome: 'ok' })
  })

  it('makes a statement that others take in, one rotation after the other', async () => {
    const theirs = join(root, `auditor-${copies}.json`)
    cpSync(join(master, 'trust.json'), theirs)
    const paths = [(await rotate()).path, (await rotate()).path]
    await addTrust(theirs, { from: null, simulatedRoots: [], owners: [], successions: paths })
    expect(await loadTrustFile(theirs)).toEqual(await trust())
    expect((await trust()).gateways).toHaveLength(3)
    const skipped = join(root, `skipped-${copies}.json`)
    cpSync(join(master, 'trust.json'), skipped)
    const second = { from: null, simulatedRoots: [], owners: [], successions: paths.slice(1) }
    await expect(addTrust(skipped, second)).rejects.toMatchObject({ code: 'SIGNER_UNKNOWN' })
    expect(readFileSync(skipped)).toEqual(readFileSync(join(master, 'trust.json')))
  })

  it('gives an ML-DSA key to a gateway that had none', async () => {
    rmSync(join(folder, 'ml-dsa.key.json'))
    const { mlDsa: _, ...bare } = (await trust()).gateways[0] ?? expect.unreachable()
    await realPromises.writeFile(join(folder, 'trust.json'), encodeTrustFile({ ...(await trust()), gateways: [bare] }))
    expect(loadKeys(folder).mlDsa).toBe(null)
    await rotate()
    expect(loadKeys(folder).mlDsa?.pub).toBe((await trust()).gateways[1]?.mlDsa?.pub)
  })

  it('is refused while the gateway runs, and for a key that is known to be compromised', async () => {
    const store = await openStore(join(folder, 'data'))
    await expect(rotate()).rejects.toMatchObject({ code: 'STORE_LOCKED' })
    await store.close()
    const { gateways } = await trust()
    const { thumbprint } = await import('../../../src/verify/documents/keys.ts')
    const name = await thumbprint(gateways[0] ?? expect.unreachable())
    await retireKey(folder, { name, at: RETIRED, compromised: true })
    await expect(rotate()).rejects.toMatchObject({ code: 'KEY_COMPROMISED' })
    expect(text('signing.key.json')).toBe(readFileSync(join(master, 'signing.key.json'), 'utf8'))
  })

  it.each([false, true])(
    'that dies at any change of the disk leaves both keys of one time, and is finished by a second call (after: %s)',
    async (after) => {
      let deaths = 0
      for (let step = 0; ; step++) {
        folder = join(root, `dying-${after}-${step}`)
        cpSync(master, folder, { recursive: true })
        Object.assign(disk, { left: step, after })
        const died = await rotate().then(
          () => false,
          () => true,
        )
        disk.left = Number.POSITIVE_INFINITY
        if (!died) break
        deaths++
        const keys = loadKeys(folder)
        const isOld = keys.signing.x === old().signing.x
        expect(keys.mlDsa?.pub === old().mlDsa?.pub, `step ${step}`).toBe(isOld)
        await rotate()
        const { gateways, retired } = await trust()
        const now = loadKeys(folder)
        expect(gateways.find((g) => g.x === now.signing.x)?.mlDsa?.pub).toBe(now.mlDsa?.pub)
        expect(retired?.map((r) => r.key)).toContain(old().signing.x)
        expect(retired?.map((r) => r.key)).not.toContain(now.signing.x)
        expect(text('signing.key.json')).toContain(now.signing.x)
      }
      expect(deaths).toBeGreaterThan(15)
    },
  )
})

describe('trust retire', () => {
  it('names gateways by thumbprint, moves dates back only, and refuses what is not in the file', async () => {
    const { thumbprint } = await import('../../../src/verify/documents/keys.ts')
    const file = await trust()
    const name = await thumbprint(file.gateways[0] ?? expect.unreachable())
    expect(await retireKey(folder, { name, at: RETIRED, compromised: false })).toMatchObject({ kind: 'gateway', at: RETIRED })
    const later = { name, at: '2027-01-01T00:00:00Z', compromised: false }
    await expect(retireKey(folder, later)).rejects.toMatchObject({ code: 'USAGE' })
    expect(await retireKey(folder, { ...later, compromised: true })).toMatchObject({ at: RETIRED, compromised: true })
    const log = file.logs[0]?.key ?? ''
    expect(await retireKey(folder, { name: log, at: RETIRED, compromised: false })).toMatchObject({ kind: 'log', key: log })
    await expect(retireKey(folder, { ...later, name: 'nobody' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  it('is not undone by a file that does not know of it', async () => {
    const { thumbprint } = await import('../../../src/verify/documents/keys.ts')
    const name = await thumbprint((await trust()).gateways[0] ?? expect.unreachable())
    await retireKey(folder, { name, at: RETIRED, compromised: true })
    await addTrust(folder, { from: join(master, 'trust.json'), simulatedRoots: [], owners: [] })
    expect((await trust()).retired).toMatchObject([{ at: RETIRED, compromised: true }])
  })
})
