/**
 * The process that runs one WebAssembly module, started by wasm-runner.ts with an empty environment under Node's permission
 * model: it may read its own program files, nothing else. Its file system is memory and holds only /in and /out.
 */
import { Directory, type Fd, type Inode, WASI, WASIProcExit, wasi } from '@bjorn3/browser_wasi_shim'
import { MemoryFile, MemoryFolder, Preopen, Quota, StreamFd } from './wasm-files.ts'
import { checkInterface, checkMemory } from './wasm-module.ts'
import { ByteReader, encodeHead, MAX_TASK_JSON, type WasmResult, type WasmTask } from './wasm-protocol.ts'

interface Files {
  readonly out: MemoryFolder
  readonly quota: Quota
  readonly stdout: StreamFd
  readonly stderr: StreamFd
}

const reader = new ByteReader(process.stdin as AsyncIterable<Uint8Array>)
const task = (await reader.readHead(MAX_TASK_JSON)) as WasmTask
const module = await bodyOf(task.moduleBytes)
const inputs = new Map<string, Inode>()
const folders = new Map<string, Map<string, Inode>>([['', inputs]])
for (const { path, size } of task.inputs) {
  const slash = path.lastIndexOf('/')
  const parent = folders.get(slash < 0 ? '' : path.slice(0, slash))
  // The agent names every folder before what lies in it.
  if (parent === undefined) process.exit(1)
  const contents = new Map<string, Inode>()
  if (size === null) folders.set(path, contents)
  parent.set(path.slice(slash + 1), size === null ? new MemoryFolder(contents, null) : new MemoryFile(await bodyOf(size), null))
}

const quota = new Quota(task.outputBytes, task.outputEntries)
const files: Files = {
  out: new MemoryFolder(new Map(), quota),
  quota,
  stdout: new StreamFd(task.streamBytes),
  stderr: new StreamFd(task.streamBytes),
}
const before = process.cpuUsage()
const ended = run(files)
const cpu = process.cpuUsage(before)
const { found, tooDeep } = listOutputs(files.out)

const result: WasmResult = {
  ...ended,
  outputFull: quota.full,
  tooDeep,
  outputs: found.map(({ path, bytes }) => ({ path, size: bytes.length })),
  stdout: { kept: files.stdout.bytes.length, total: files.stdout.total },
  stderr: { kept: files.stderr.bytes.length, total: files.stderr.total },
  cpuMs: Math.round((cpu.user + cpu.system) / 1000),
  memoryPeakBytes: process.resourceUsage().maxRSS * 1024,
}
for (const part of [encodeHead(result), files.stdout.bytes, files.stderr.bytes, ...found.map((f) => f.bytes)]) process.stdout.write(part)
process.stdout.end()

async function bodyOf(size: number): Promise<Uint8Array> {
  const bytes = await reader.read(size)
  // The agent is gone, or never meant it: there is nobody to answer.
  if (bytes === null) process.exit(1)
  return bytes
}

function run({ out, stdout, stderr }: Files): Pick<WasmResult, 'end' | 'exitCode'> {
  const none = { exitCode: 0 }
  const memoryProblem = checkMemory(module, task.memoryBytes)
  if (memoryProblem !== null) return { end: memoryProblem, ...none }
  const stdin = new MemoryFile(new Uint8Array(0), null).path_open(0, 0n, 0).fd_obj as Fd
  const preopens = [new Preopen('/in', new MemoryFolder(inputs, null)), new Preopen('/out', out)]
  const args = ['program', ...task.argv]
  const env = Object.entries(task.env).map(([name, value]) => `${name}=${value}`)
  const system = new WASI(args, env, [stdin, stdout, stderr, ...preopens], { debug: false })
  const offered = offeredBy(system, args)
  let instance: WebAssembly.Instance
  try {
    const compiled = new WebAssembly.Module(module as Uint8Array<ArrayBuffer>)
    const problem = checkInterface(compiled, offered)
    if (problem !== null) return { end: problem, ...none }
    instance = new WebAssembly.Instance(compiled, { wasi_snapshot_preview1: offered })
  } catch (error) {
    return { end: error instanceof RangeError ? 'out-of-memory' : 'not-a-module', ...none }
  }
  return start(system, instance)
}

/** The shim's calls, less two faults of it: lengths of arguments that are not ASCII, and socket calls that throw. */
function offeredBy(system: WASI, args: readonly string[]): WebAssembly.ModuleImports {
  const unsupported = () => wasi.ERRNO_NOTSUP
  return {
    ...(system.wasiImport as WebAssembly.ModuleImports),
    args_sizes_get(count: number, size: number) {
      const view = new DataView(system.inst.exports.memory.buffer)
      view.setUint32(count, args.length, true)
      const bytes = args.reduce((sum, arg) => sum + new TextEncoder().encode(arg).length + 1, 0)
      view.setUint32(size, bytes, true)
      return wasi.ERRNO_SUCCESS
    },
    sock_accept: unsupported,
    sock_recv: unsupported,
    sock_send: unsupported,
    sock_shutdown: unsupported,
  }
}

/**
 * A module is told when its memory cannot grow, and then mostly traps. Allocators at most double what they have, so a trap
 * with half of the limit in use is taken for the limit.
 */
function start(system: WASI, instance: WebAssembly.Instance): Pick<WasmResult, 'end' | 'exitCode'> {
  const exports = instance.exports as { memory: WebAssembly.Memory; _start: () => unknown }
  try {
    return { end: 'exit', exitCode: system.start({ exports }) }
  } catch (error) {
    if (error instanceof WASIProcExit) return { end: 'exit', exitCode: error.code }
    const full = exports.memory.buffer.byteLength >= task.memoryBytes / 2
    return { end: full ? 'out-of-memory' : 'trap', exitCode: 0 }
  }
}

function listOutputs(out: MemoryFolder): { found: { path: string; bytes: Uint8Array }[]; tooDeep: boolean } {
  const found: { path: string; bytes: Uint8Array }[] = []
  let tooDeep = false
  walk(out, '', 0)
  return { found, tooDeep }

  function walk(folder: Directory, prefix: string, depth: number): void {
    if (depth > task.outputDepth) {
      tooDeep = true
      return
    }
    for (const [name, entry] of folder.contents) {
      if (entry instanceof Directory) walk(entry, `${prefix}${name}/`, depth + 1)
      else if (entry instanceof MemoryFile) found.push({ path: prefix + name, bytes: entry.bytes })
    }
  }
}
