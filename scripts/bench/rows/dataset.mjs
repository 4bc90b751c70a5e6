import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createOwnerKeys } from '../../../dist/client/owner.js'
import { interleaveOnce } from '../interleave.mjs'

const PROGRAM = fileURLToPath(new URL('../../../bin/sealgate.js', import.meta.url))
const GiB = 1024 ** 3
const MB = 1e6
const SIZE = GiB
const ROUNDS = 5
const LARGE = 10 * GiB
/** What a command may take for a file of any size, in MiB. */
const RSS_LIMIT = 200

const DISK = [tmpdir()]
/** Memory-backed where there is room for it, so that a disk is not what is measured. */
const MEMORY = ['/dev/shm', tmpdir()]

function folderFor(bytes, bases) {
  const free = (path) => {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  }
  const base = bases.find((path) => existsSync(path) && free(path) > bytes)
  if (base === undefined) throw new Error(`skipped: ${bytes / GiB} GiB are not free in ${bases.join(' or ')}`)
  return mkdtempSync(join(base, 'sealgate-bench-'))
}

/** Runs a command to its end. @returns seconds of wall time. */
async function timed(command, args) {
  const start = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.on('data', (part) => {
    said += part
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${said}`)
  return (performance.now() - start) / 1000
}

async function withFolder(bytes, bases, work) {
  const folder = folderFor(bytes, bases)
  try {
    await mkdir(join(folder, 'owner'))
    await createOwnerKeys(join(folder, 'owner'))
    return await work((name) => join(folder, name))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const sealArgs = (path, input, output) => [
  PROGRAM,
  ...['dataset', 'seal', input, '--out', output],
  ...['--purpose', 'https://w3id.org/dpv#ScientificResearch', '--folder', path('owner')],
]
const openArgs = (path, input, output) => [PROGRAM, 'dataset', 'open', input, '--out', output, '--folder', path('owner')]

function writeRandom(path, size) {
  const file = openSync(path, 'wx')
  const chunk = randomBytes(16 * 1024 * 1024)
  for (let done = 0; done < size; done += chunk.length) writeSync(file, chunk)
  closeSync(file)
}

/** One file of 1 GiB by the whole commands, start of the processes included. */
function againstAge(measure) {
  try {
    execFileSync('age', ['--version'])
  } catch {
    throw new Error('skipped: there is no age here; on Debian: apt-get install age')
  }
  return withFolder(4.5 * SIZE, MEMORY, async (path) => {
    writeRandom(path('in'), SIZE)
    execFileSync('age-keygen', ['-o', path('key')], { stdio: 'ignore' })
    const recipient = execFileSync('age-keygen', ['-y', path('key')], { encoding: 'utf8' }).trim()
    const rate = async (output, command, args) => {
      await rm(output, { force: true })
      return SIZE / MB / (await timed(command, args))
    }
    return measure(path, rate, recipient)
  })
}

export const seal = () =>
  againstAge((path, rate, recipient) =>
    interleaveOnce(
      () => rate(path('sealed'), process.execPath, sealArgs(path, path('in'), path('sealed'))),
      () => rate(path('age'), 'age', ['-r', recipient, '-o', path('age'), path('in')]),
      ROUNDS,
    ),
  )

export const open = () =>
  againstAge(async (path, rate, recipient) => {
    await timed(process.execPath, sealArgs(path, path('in'), path('sealed')))
    await timed('age', ['-r', recipient, '-o', path('age'), path('in')])
    await rm(path('in'))
    return interleaveOnce(
      () => rate(path('out'), process.execPath, openArgs(path, path('sealed'), path('out'))),
      () => rate(path('out'), 'age', ['-d', '-i', path('key'), '-o', path('out'), path('age')]),
      ROUNDS,
    )
  })

/** Largest resident set of a command, threads included, in MiB: told by the command's own process as it ends. */
async function peakOf(args) {
  // Threads run it too: the process speaks once.
  const tell = `import { writeSync } from 'node:fs'
    import { isMainThread } from 'node:worker_threads'
    if (isMainThread) process.on('exit', () => writeSync(3, String(process.resourceUsage().maxRSS)))`
  const child = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(tell)}`, ...args], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
  })
  let said = ''
  child.stdio[3].on('data', (part) => {
    said += part
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the command ended with ${code}`)
  return Number(said) / 1024
}

/** Memory of sealing and opening 10 GiB of zeros (a sparse file): the larger of the two. */
export const memory = () =>
  withFolder(2.1 * LARGE, DISK, async (path) => {
    closeSync(openSync(path('in'), 'wx'))
    truncateSync(path('in'), LARGE)
    const sealing = await peakOf(sealArgs(path, path('in'), path('sealed')))
    await rm(path('in'))
    const opening = await peakOf(openArgs(path, path('sealed'), path('out')))
    process.stderr.write(`sealing ${sealing.toFixed(0)} MiB, opening ${opening.toFixed(0)} MiB\n`)
    const value = Math.max(sealing, opening)
    const ratio = value / RSS_LIMIT
    return { value, reference: RSS_LIMIT, ratio, spread: [ratio, ratio] }
  })
