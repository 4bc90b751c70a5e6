import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRunner, type RunInput, type Runner } from '../../../../src/host/runner/index.ts'
import { wasmProfile } from '../../../../src/host/runner/profiles.ts'
import { nodeArguments, permissionFlag } from '../../../../src/host/runner/wasm-process.ts'
import type { ImageRef } from '../../../../src/verify/documents/contract.ts'
import { archiveInput } from '../../../support/archive.ts'
import { writeRecipe } from '../../../support/images.ts'
import { LIMITS, type Ran, requestOf, runOnce } from '../../../support/run-request.ts'
import {
  add,
  assemble,
  call,
  drop,
  exit,
  exitWith,
  forever,
  grow,
  ifMinusOne,
  load,
  type Program,
  RECURSE,
  signed,
  UNREACHABLE,
  unsigned,
  untilNonZero,
} from '../../../support/wasm-assembler.ts'

const MiB = 1024 ** 2
const [IN, OUT, FIRST_FILE] = [3, 4, 5]
const CREATE = 1
const WRITE = 0x40
const ERRNO = { noent: 44, nospc: 51, notcapable: 76, notsup: 58, rofs: 69 }

let images: string
let runner: Runner

beforeAll(async () => {
  images = mkdtempSync(join(tmpdir(), 'images-'))
  runner = await createRunner({ kind: 'wasm', images })
})

afterAll(async () => {
  await runner.close()
  rmSync(images, { recursive: true })
})

async function imageOf(module: Uint8Array): Promise<ImageRef> {
  const hex = createHash('sha256').update(module).digest('hex')
  return writeRecipe(images, `m-${hex.slice(0, 16)}`, { runner: 'wasm', digest: `sha256:${hex}` }, module)
}

async function runModule(module: Uint8Array, options: Parameters<typeof requestOf>[1] = {}, signal?: AbortSignal): Promise<Ran> {
  return runOnce(runner, requestOf(await imageOf(module), options), signal)
}

const run = (program: Program, options?: Parameters<typeof requestOf>[1], signal?: AbortSignal): Promise<Ran> =>
  runModule(assemble(program), options, signal)

/** Text at 64, its I/O vector at 0. */
const textAt64 = (text: string) => ({ 0: [64, 0, 0, 0, text.length, 0, 0, 0], 64: text })
/** Opens a name at 128 below a folder; the first file opened gets descriptor 5. */
const open = (folder: number, name: string, flags = 0, rights = 0) =>
  call('path_open', folder, 0, 128, name.length, flags, rights, 0, 0, 32)

describe('wasm runner', () => {
  it('gives stdout, stderr and outputs, and says that it is the weaker isolation', async () => {
    const body = [
      ...drop(call('fd_write', 1, 0, 1, 48)),
      ...drop(call('fd_write', 2, 0, 1, 48)),
      ...drop(open(OUT, 'f', CREATE, WRITE)),
      ...drop(call('fd_write', FIRST_FILE, 0, 1, 48)),
    ]
    const ran = await run({ body, data: { ...textAt64('hello\n'), 128: 'f' } })
    expect(ran).toMatchObject({ kind: 'succeeded', exitCode: 0, stdout: 'hello\n', stderr: 'hello\n', files: { f: 'hello\n' } })
    expect(ran.isolation).toMatchObject({ runner: 'wasm', profile: 'sealgate-wasm-v1', grade: 'wasm-process' })
    expect(ran.usage).toMatchObject({ bytesIn: 0, bytesOut: 18 })
    expect(ran.usage.memoryPeakBytes).toBeGreaterThan(MiB)
  })

  it.each([
    [0, 'succeeded', 0],
    [7, 'failed', 7],
    [256, 'failed', 255],
    [-1, 'failed', 255],
  ] as const)('takes exit code %d for %s', async (code, kind, exitCode) => {
    expect(await run({ body: exit(code) })).toMatchObject({ kind, exitCode })
  })

  it('finds an archive as a folder of read-only files', async () => {
    const archive = await archiveInput('d', { empty: null, sub: null, 'sub/f': 'x' })
    const opening = (name: string, flags = 0, rights = 0) => ({ body: exitWith(open(IN, name, flags, rights)), data: { 128: name } })
    const tried = async (program: Program): Promise<number | null> => {
      const request = requestOf(await imageOf(assemble(program)), { inputs: { file: Buffer.from('y') } })
      return (await runOnce(runner, { ...request, inputs: [...request.inputs, archive] })).exitCode
    }
    expect(await tried(opening('d/sub/f'))).toBe(0)
    expect(await tried(opening('d/empty'))).toBe(0)
    expect(await tried(opening('file'))).toBe(0)
    expect(await tried(opening('d/f'))).toBe(ERRNO.noent)
    expect(await tried(opening('d/sub/f', 0, WRITE))).toBe(ERRNO.rofs)
    expect(await tried(opening('d/sub/new', CREATE))).toBe(ERRNO.rofs)
  })

  it('counts the bytes of arguments, not their characters', async () => {
    const argv = ['é€😀']
    const body = [...drop(call('args_sizes_get', 16, 20)), ...exitWith(load(20))]
    expect((await run({ body }, { argv })).exitCode).toBe('program'.length + 1 + Buffer.byteLength(argv[0] ?? '') + 1)
  })

  describe('keeps the module in', () => {
    it.each([
      ['a file of the host', open(IN, '../etc/passwd'), '../etc/passwd', ERRNO.notcapable],
      ['an absolute path', open(IN, '/etc/passwd'), '/etc/passwd', ERRNO.notcapable],
      ['a path that climbs while it creates', open(OUT, 'a/../../x', CREATE), 'a/../../x', ERRNO.notcapable],
      ['writing to an input', open(IN, 'a', 0, WRITE), 'a', ERRNO.rofs],
      ['a new file among the inputs', open(IN, 'b', CREATE), 'b', ERRNO.rofs],
      ['a new file among the inputs, by way of "."', call('path_create_directory', IN, 128, 1), 'b', ERRNO.rofs],
      ['removing an input', call('path_unlink_file', IN, 128, 1), 'a', ERRNO.rofs],
      ['moving an input', call('path_rename', IN, 128, 1, OUT, 128, 1), 'a', ERRNO.rofs],
      ['a second name for a file', call('path_link', IN, 0, 128, 1, OUT, 128, 1), 'a', ERRNO.notsup],
      ['a socket', call('sock_accept', 1, 0, 32), '', ERRNO.notsup],
    ])('refuses %s', async (_, body, name, errno) => {
      const ran = await run({ body: exitWith(body), data: { 128: name } }, { inputs: { a: Buffer.from('a') } })
      expect(ran).toMatchObject({ exitCode: errno, files: {} })
    })

    it('in a process that may write no file, read no other, start nothing', () => {
      const folder = mkdtempSync(join(tmpdir(), 'permission-'))
      const script = join(folder, 'try.cjs')
      writeFileSync(
        script,
        `const attempts = {
          write: () => require('fs').writeFileSync(${JSON.stringify(join(folder, 'x'))}, 'x'),
          read: () => require('fs').readFileSync('/etc/passwd'),
          exec: () => require('child_process').execSync('true'),
          worker: () => new (require('worker_threads').Worker)('1', { eval: true }),
          eval: () => eval('1'),
          memory: () => new WebAssembly.Memory({ initial: 1 }).grow(100),
        }
        const allowed = Object.keys(attempts).filter((name) => { try { attempts[name](); return true } catch { return false } })
        console.log(JSON.stringify({ allowed, env: Object.keys(process.env) }))`,
      )
      const profile = wasmProfile({ ...LIMITS, memoryBytes: 2 * MiB })
      const flags = nodeArguments(profile).slice(0, -1)
      const out = execFileSync(process.execPath, [...flags, `--allow-fs-read=${script}`, script], { env: {}, cwd: '/' })
      rmSync(folder, { recursive: true })
      expect(JSON.parse(out.toString())).toEqual({ allowed: [], env: [] })
    })

    it('and does not start without a permission model', () => {
      expect(permissionFlag(new Set(['--permission']))).toBe('--permission')
      expect(() => permissionFlag(new Set(['--no-warnings']))).toThrow(expect.objectContaining({ code: 'ENGINE_UNAVAILABLE' }))
    })
  })

  describe('refuses to run', () => {
    it.each([
      ['bytes that are no module', Buffer.from('MZ not a module'), 'not a WebAssembly module'],
      ['a module cut short', assemble({ body: [] }).subarray(0, 60), 'not a WebAssembly module'],
      ['imports of something else', assemble({ body: [], module: 'env' }), 'imports something else'],
      ['no memory', assemble({ body: [], memories: [] }), 'exactly one plain, exported memory'],
      [
        'two memories',
        assemble({
          body: [],
          memories: [
            [0, 1],
            [0, 1],
          ],
        }),
        'exactly one plain, exported memory',
      ],
      ['shared memory', assemble({ body: [], memories: [[3, 1, 2]] }), 'exactly one plain, exported memory'],
      ['64-bit memory', assemble({ body: [], memories: [[4, 1]] }), 'exactly one plain, exported memory'],
      ['no _start', assemble({ body: [], start: 'main' }), 'exports no _start'],
    ])('a module with %s', async (_, module, reason) => {
      const ran = await runModule(module)
      expect(ran).toMatchObject({ kind: 'failed', exitCode: null, code: 'JOB_FAILED' })
      expect(ran.reason).toContain(reason)
    })
  })

  describe('ends what goes too far', () => {
    it('a loop, at the time limit', async () => {
      const ran = await run({ body: forever([]) }, { limits: { timeMs: 300 } })
      expect(ran).toMatchObject({ kind: 'timeout', exitCode: null, code: 'DEADLINE', usage: { cpuMs: null } })
    })

    it('a job that is cancelled, before and after its start', async () => {
      const soon = new AbortController()
      setTimeout(() => soon.abort(), 300)
      expect(await run({ body: forever([]) }, {}, soon.signal)).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' })
      expect(await run({ body: forever([]) }, {}, AbortSignal.abort())).toMatchObject({ kind: 'cancelled' })
    })

    it('a memory bomb, at the memory limit', async () => {
      const body = forever(ifMinusOne(grow(16), UNREACHABLE))
      expect(await run({ body }, { limits: { memoryBytes: 16 * MiB } })).toMatchObject({ kind: 'out-of-memory', code: 'LIMIT_EXCEEDED' })
    })

    it('a module that asks for more memory at once than it may have', async () => {
      expect(await run({ body: [], memories: [[0, ...unsigned(300)]] }, { limits: { memoryBytes: 16 * MiB } })).toMatchObject({
        kind: 'out-of-memory',
      })
      const body = ifMinusOne(grow(257), exit(9))
      expect(await run({ body }, { limits: { memoryBytes: 16 * MiB } })).toMatchObject({ kind: 'failed', exitCode: 9 })
    })

    it('a module that fills the memory around it', async () => {
      const body = forever(drop(open(IN, 'a')))
      const ran = await run({ body, data: { 128: 'a' } }, { inputs: { a: Buffer.from('a') } })
      expect(ran).toMatchObject({ kind: 'out-of-memory', exitCode: null })
    })

    it('a trap', async () => {
      expect(await run({ body: UNREACHABLE })).toMatchObject({ kind: 'failed', exitCode: null, reason: 'the module ended with a trap' })
      expect(await run({ body: RECURSE })).toMatchObject({ kind: 'failed', reason: 'the module ended with a trap' })
    })

    it('stdout after its first MiB, without stopping the module', async () => {
      const text = 'x'.repeat(60)
      const body = [
        ...untilNonZero([...drop(call('fd_write', 1, 0, 1, 48)), ...add(48 + 4, 1), ...load(52), 0x41, ...[0xc0, 0xb8, 0x02], 0x4f]),
      ]
      const ran = await runner.run(requestOf(await imageOf(assemble({ body, data: textAt64(text) }))), new AbortController().signal)
      expect(ran).toMatchObject({ kind: 'succeeded', stdout: { totalBytes: 40_000 * 60 } })
      expect(ran.stdout.bytes.length).toBe(MiB)
      await ran.release()
    })

    it.each([
      ['bytes', untilNonZero(call('fd_write', FIRST_FILE, 0, 1, 48))],
      ['a size', drop(call('fd_filestat_set_size', FIRST_FILE, 2 ** 40))],
    ])('a job that writes too much: %s', async (_, write) => {
      const body = [...drop(open(OUT, 'f', CREATE, WRITE)), ...write]
      const ran = await run({ body, data: { 0: [64, 0, 0, 0, 0, 128, 0, 0], 128: 'f' } }, { limits: { outputBytes: MiB } })
      expect(ran).toMatchObject({ kind: 'output-too-large', exitCode: null, code: 'LIMIT_EXCEEDED', files: {} })
    })

    it.each([
      ['more files than may leave', 1100],
      ['files without end', 1_000_000],
    ])('a job that writes too much: %s', async (_, count) => {
      // The name is a number in ASCII that carries at 'z': count up its three low characters.
      const next = [...add(128, 1), ...carry(128), ...carry(129), ...carry(130)]
      const enough = [...add(256, 1), ...load(256), 0x41, ...signed(count), 0x4f]
      const body = [...untilNonZero([...drop(open(OUT, 'aaaa', CREATE, WRITE)), ...next, ...enough]), ...exit(0)]
      const ran = await run({ body, data: { 128: 'aaaa' } })
      expect(ran).toMatchObject({ kind: 'output-too-large', files: {} })
    })
  })

  it.each([
    ['a hidden file', open(OUT, '.profile', CREATE, WRITE), '.profile', 'a file name that is not allowed'],
    ['a name with a line feed', open(OUT, 'a\nb', CREATE, WRITE), 'a\nb', 'a file name that is not allowed'],
    [
      'folders ten deep',
      Array.from({ length: 10 }, (_, i) => drop(call('path_create_directory', OUT, 128, 2 * i + 1))).flat(),
      'd/d/d/d/d/d/d/d/d/d',
      'deep',
    ],
  ])('refuses outputs with %s', async (_, body, name, reason) => {
    const leavesErrno = body.at(-1) !== 0x1a
    const ran = await run({ body: leavesErrno ? drop(body) : body, data: { 128: name } })
    expect(ran).toMatchObject({ kind: 'failed', exitCode: 0, code: 'JOB_FAILED', files: {} })
    expect(ran.reason).toContain(reason)
  })

  it('refuses inputs that do not fit in memory before it reads them', async () => {
    const image = await imageOf(assemble({ body: [] }))
    const huge = { name: 'a', size: 2 ** 40, read: () => expect.fail('was read') }
    await expect(runner.run({ ...requestOf(image), inputs: [huge] }, new AbortController().signal)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    })
  })

  it('passes the error of an input on', async () => {
    const image = await imageOf(assemble({ body: [] }))
    const failing = {
      name: 'a',
      size: 10,
      read: async function* () {
        yield Buffer.from('half')
        throw new Error('tag does not verify')
      },
    }
    await expect(runner.run({ ...requestOf(image), inputs: [failing] }, new AbortController().signal)).rejects.toThrow(
      'tag does not verify',
    )
    const short = { name: 'a', size: 10, read: () => [Buffer.from('half')] }
    await expect(runner.run({ ...requestOf(image), inputs: [short] }, new AbortController().signal)).rejects.toMatchObject({
      code: 'STREAM_TRUNCATED',
    })
  })

  it('reads inputs once for several runs of one job, and erases them after the last', async () => {
    const body = [...drop(open(OUT, 'f', CREATE, WRITE)), ...drop(call('fd_write', FIRST_FILE, 0, 1, 48))]
    const image = await imageOf(assemble({ body, data: { ...textAt64('secret'), 128: 'f' } }))
    let reads = 0
    const content = Buffer.from('input')
    const input = {
      name: 'a',
      size: content.length,
      read: () => {
        reads++
        return [content]
      },
    }
    const request = { ...requestOf(image), inputs: [input] }
    const { signal } = new AbortController()
    const loaded = await runner.load(request, signal)
    const small = { ...request.limits, outputBytes: 5 }
    const outcomes = [
      await loaded.run({ argv: ['1'], limits: request.limits }, signal),
      await loaded.run({ argv: ['2'], limits: small }, signal),
      await loaded.run({ argv: ['3'], limits: request.limits }, AbortSignal.abort()),
    ]
    expect(outcomes.map((o) => o.kind)).toEqual(['succeeded', 'output-too-large', 'cancelled'])
    expect(reads).toBe(1)
    await loaded.unload()
    await Promise.all(outcomes.map((o) => o.release()))
  })

  it('loads nothing that does not fit, is not whole, or that its profile cannot apply', async () => {
    const image = await imageOf(assemble({ body: [] }))
    const { signal } = new AbortController()
    const load = (inputs: readonly RunInput[], limits = {}) => runner.load({ ...requestOf(image, { limits }), inputs }, signal)
    const huge = { name: 'a', size: 2 ** 40, read: () => expect.fail('was read') }
    await expect(load([huge])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    await expect(load([{ name: 'a', size: 10, read: () => [Buffer.from('half')] }])).rejects.toMatchObject({ code: 'STREAM_TRUNCATED' })
    await expect(load([], { outputBytes: 0 })).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
  })

  it('ends running jobs when it closes, and erases outputs on release', async () => {
    const short = await createRunner({ kind: 'wasm', images })
    const running = runOnce(short, requestOf(await imageOf(assemble({ body: forever([]) }))))
    setTimeout(() => void short.close(), 300)
    expect(await running).toMatchObject({ kind: 'cancelled' })
    const body = [...drop(open(OUT, 'f', CREATE, WRITE)), ...drop(call('fd_write', FIRST_FILE, 0, 1, 48))]
    const ran = await runner.run(
      requestOf(await imageOf(assemble({ body, data: { ...textAt64('secret'), 128: 'f' } }))),
      new AbortController().signal,
    )
    const [content] = (ran.outputs[0]?.read() ?? []) as Uint8Array[]
    expect(Buffer.from(content ?? []).toString()).toBe('secret')
    await ran.release()
    expect(content?.every((b) => b === 0)).toBe(true)
  })
})

/** When the byte at an address has passed 'z', sets it back to 'a' and counts up the next one. */
function carry(address: number): readonly number[] {
  const at = [0x41, ...signed(address)]
  const load8 = [...at, 0x2d, 0x00, 0x00]
  const reset = [...at, 0x41, ...signed(0x61), 0x3a, 0x00, 0x00]
  return [...load8, 0x41, ...signed(0x7a), 0x4b, 0x04, 0x40, ...reset, ...add8(address + 1), 0x0b]
}

function add8(address: number): readonly number[] {
  const at = [0x41, ...signed(address)]
  return [...at, ...at, 0x2d, 0x00, 0x00, 0x41, 0x01, 0x6a, 0x3a, 0x00, 0x00]
}
