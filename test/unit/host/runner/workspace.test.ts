import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isAlive, thisOwner, userOf } from '../../../../src/host/runner/owner.ts'
import { sweepWorkspaces, Workspace } from '../../../../src/host/runner/workspace.ts'
import { archiveInput } from '../../../support/archive.ts'

const linux = process.platform === 'linux'
const uid = process.getuid?.() ?? -1
const signal = new AbortController().signal
const input = (name: string, text: string) => ({ name, size: text.length, read: () => [Buffer.from(text)] })

describe.skipIf(!linux)('owner', () => {
  it('lives while its process does', async () => {
    const owner = await thisOwner()
    expect(userOf(owner)).toBe(String(uid))
    expect(await isAlive(owner)).toBe(true)
    expect(await isAlive(`${owner}.more`)).toBe(true)
  })

  it('is dead after a restart, under another start time, and when it is no owner', async () => {
    const [user, boot, namespace, pid, start] = (await thisOwner()).split('.')
    expect(await isAlive([user, 'other-boot', namespace, pid, start].join('.'))).toBe(false)
    expect(await isAlive([user, boot, namespace, pid, Number(start) + 1].join('.'))).toBe(false)
    expect(await isAlive([user, boot, namespace, '999999999', start].join('.'))).toBe(false)
    for (const nonsense of ['', 'x', '....', `${user}.${boot}.${namespace}`]) expect(await isAlive(nonsense)).toBe(false)
  })

  it('counts as alive where it cannot be seen', async () => {
    const [user, boot, , pid, start] = (await thisOwner()).split('.')
    expect(await isAlive([user, boot, '1', pid, start].join('.'))).toBe(true)
  })
})

describe.skipIf(!linux)('workspace', () => {
  let base: string
  let owner: string
  beforeEach(async () => {
    base = mkdtempSync('/dev/shm/test-')
    owner = await thisOwner()
  })
  afterEach(() => rmSync(base, { recursive: true }))

  it('holds inputs that the workload can read and nobody can change, until it is removed', async () => {
    const inputs = [input('a', 'alpha'), input('empty', '')]
    const workspace = await Workspace.create(base, owner, inputs, 1000)
    await workspace.writeInputs(inputs, signal)
    expect(readFileSync(join(workspace.in.path, 'a'), 'utf8')).toBe('alpha')
    expect(statSync(join(workspace.in.path, 'a')).mode & 0o777).toBe(0o444)
    expect(statSync(join(workspace.in.path, '..')).mode & 0o777).toBe(0o700)
    expect(await workspace.outputIsFull()).toBe(false)
    await workspace.remove()
    expect(readdirSync(join(base, `sealgate-${uid}`, owner))).toEqual([])
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(base)
  })

  it('holds archives as folders, with what is executable', async () => {
    const inputs = [await archiveInput('data', { a: null, 'a/empty': '', 'a/run.sh': '#!/bin/sh', b: 'beta' }), input('file', 'x')]
    const workspace = await Workspace.create(base, owner, inputs, 1000)
    try {
      await workspace.writeInputs(inputs, signal)
      const at = (path: string): string => join(workspace.in.path, path)
      expect(readFileSync(at('data/b'), 'utf8')).toBe('beta')
      expect(readFileSync(at('file'), 'utf8')).toBe('x')
      expect(readdirSync(at('data/a'))).toEqual(['empty', 'run.sh'])
      expect(['data', 'data/a', 'data/a/run.sh', 'data/b'].map((p) => statSync(at(p)).mode & 0o777)).toEqual([0o755, 0o755, 0o555, 0o444])
    } finally {
      await workspace.remove()
    }
    expect(readdirSync(join(base, `sealgate-${uid}`, owner))).toEqual([])
  })

  it('makes room for 3,000 small files', async () => {
    const files = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`f${String(i).padStart(4, '0')}`, 'x']))
    const inputs = [await archiveInput('data', files)]
    const workspace = await Workspace.create(base, owner, inputs, 1000)
    try {
      await workspace.writeInputs(inputs, signal)
      expect(readdirSync(join(workspace.in.path, 'data')).length).toBe(3000)
    } finally {
      await workspace.remove()
    }
  })

  it('refuses an archive that is not the one whose manifest was read', async () => {
    const [first, other] = [await archiveInput('data', { a: '1' }), await archiveInput('data', { a: '2' })]
    const workspace = await Workspace.create(base, owner, [first], 1000)
    try {
      const swapped = { ...first, read: () => other.read() }
      await expect(workspace.writeInputs([swapped], signal)).rejects.toMatchObject({ code: 'ARCHIVE_INVALID' })
    } finally {
      await workspace.remove()
    }
  })

  it('notices a full /out', async () => {
    const workspace = await Workspace.create(base, owner, [], 1000)
    try {
      writeFileSync(join(workspace.out.path, 'big'), Buffer.alloc(16 * 1024 ** 2))
    } catch {
      // A file system with a size of its own refuses the rest.
    }
    expect(await workspace.outputIsFull()).toBe(true)
    await workspace.remove()
  })

  it('refuses a base that is on a disk', async () => {
    const disk = mkdtempSync(join(tmpdir(), 'disk-'))
    if (statSync(disk).dev === statSync(base).dev) return
    await expect(Workspace.create('/proc', owner, [], 1)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
    await expect(Workspace.create('/nothing', owner, [], 1)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
    rmSync(disk, { recursive: true })
  })

  it('refuses a folder that is a link, or open to others', async () => {
    const folder = join(base, `sealgate-${uid}`)
    symlinkSync('/tmp', folder)
    await expect(Workspace.create(base, owner, [], 1)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
    rmSync(folder)
    mkdirSync(folder)
    chmodSync(folder, 0o755)
    await expect(Workspace.create(base, owner, [], 1)).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
  })

  it('refuses a job that does not fit, and leaves nothing of it', async () => {
    await expect(Workspace.create(base, owner, [{ name: 'a', size: 2 ** 46, read: () => [] }], 1)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    })
    expect(readdirSync(join(base, `sealgate-${uid}`, owner))).toEqual([])
  })

  it('stops writing when it is told to', async () => {
    const inputs = [input('a', 'alpha')]
    const workspace = await Workspace.create(base, owner, inputs, 1)
    await expect(workspace.writeInputs(inputs, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' })
    await workspace.remove()
  })

  it('sweeps what dead owners left and nothing else', async () => {
    const living = await Workspace.create(base, owner, [], 1)
    const dead = owner.replace(/\.\d+$/, '.0')
    const left = await Workspace.create(base, dead, [input('a', 'alpha')], 1)
    await left.writeInputs([input('a', 'alpha')], signal)
    await sweepWorkspaces(base, owner)
    expect(readdirSync(join(base, `sealgate-${uid}`))).toEqual([owner])
    await living.remove()
  })
})
