import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DATA, PURPOSE, startHostProcess } from '../../../dist/cli/demo/world.js'
import { FILES, issueGrant, loadPolicyBytes, pushDataset, sealDataset } from '../../../dist/client/index.js'
import { spkiDigest } from '../../../dist/rpc/service/index.js'
import { dockerArchive } from '../../../enclave-images/docker-archive.mjs'
import { interleaveOnce } from '../interleave.mjs'
import { seconds, withGateway } from '../world.mjs'

const PROGRAM = fileURLToPath(new URL('../../../bin/sealgate.js', import.meta.url))
const SERVER = fileURLToPath(new URL('../service-server.mjs', import.meta.url))
const ROUNDS = 7
const MIB = 1024 ** 2
/** What they say on stderr is shown. */
const SPOKEN = { stdio: ['ignore', 'pipe', 'inherit'] }

/** Median of the time that a small request takes through the service beyond what it takes bare, against 3 ms. */
export function latency() {
  return withService(async (urls) => {
    const median = async (url) => {
      const times = []
      for (let i = 0; i < 200; i++) times.push(1000 * (await seconds(() => get(url, '/small'))))
      return times.sort((a, b) => a - b)[100]
    }
    const { value, reference } = await interleaveOnce(
      () => median(urls.service),
      () => median(urls.bare),
      ROUNDS,
    )
    const added = value - reference
    return { value: added, reference: 3, ratio: added / 3, spread: [added / 3, added / 3] }
  })
}

/** Requests per second of a server that computes for some 10 ms for each, 16 at a time. */
export function throughput() {
  return withService((urls) => {
    const rate = async (url) => {
      const each = async () => {
        for (let i = 0; i < 8; i++) await get(url, '/work')
      }
      return 128 / (await seconds(() => Promise.all(Array.from({ length: 16 }, each))))
    }
    return interleaveOnce(
      () => rate(urls.service),
      () => rate(urls.bare),
      ROUNDS,
    )
  })
}

/** MB per second of one large answer. */
export function bulk() {
  return withService((urls) => {
    const rate = async (url) => (128 * MIB) / 1e6 / (await seconds(() => get(url, `/large?bytes=${128 * MIB}`)))
    return interleaveOnce(
      () => rate(urls.service),
      () => rate(urls.bare),
      ROUNDS,
    )
  })
}

const agent = new Agent({ keepAlive: true, maxSockets: 16 })

async function get(url, path) {
  const req = request(`${url}${path}`, { agent }).end()
  const [response] = await once(req, 'response')
  for await (const _ of response) {
    // Read and dropped.
  }
  if (response.statusCode !== 200) throw new Error(`${url}${path} answered ${response.statusCode}`)
}

/** The same server twice: as a bare process on loopback, and as a service behind `sealgate connect`. */
function withService(work) {
  return withGateway(async (scene) => {
    const { client, folders, owner } = scene
    const images = join(folders.root, 'images')
    const image = await makeImage(images)
    await startHostProcess({ ...scene, runner: 'docker' }, 'host', ['--images', images])
    const sealed = join(folders.root, 'data.sealed')
    const legal = { purposes: [PURPOSE], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
    const { dataset } = await sealDataset({ owner, input: DATA, output: sealed, legal })
    await pushDataset(client, owner, sealed)
    const grant = await grantFor(scene, image, dataset)
    const args = [
      '--service',
      '--image',
      `docker:${image.digest}`,
      '--input',
      `data.csv=${dataset}`,
      '--purpose',
      PURPOSE,
      '--grant',
      grant,
    ]
    const run = spawn(process.execPath, [PROGRAM, 'run', ...args, '--memory', '512M', '--folder', folders.owner, '--json'], SPOKEN)
    const { jobId } = JSON.parse(await firstDocument(run))
    const connect = spawn(
      process.execPath,
      [PROGRAM, 'connect', jobId, '--listen', '127.0.0.1:0', '--folder', folders.owner, '--json'],
      SPOKEN,
    )
    const bare = spawn(process.execPath, [SERVER], { env: { PORT: '0' }, stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      const { url } = JSON.parse(await firstDocument(connect))
      const { port } = JSON.parse(await firstDocument(bare))
      return await work({ service: url, bare: `http://127.0.0.1:${port}` })
    } finally {
      agent.destroy()
      connect.kill()
      bare.kill()
      await client.cancelJob(jobId).catch(() => undefined)
      await rm(images, { recursive: true, force: true })
    }
  })
}

async function firstDocument(child) {
  let text = ''
  for await (const chunk of child.stdout) {
    text += chunk
    if (!text.trimEnd().endsWith('}')) continue
    if (text.includes('"error"')) throw new Error(text)
    return text
  }
  throw new Error('the process ended before it said anything')
}

async function grantFor({ client, owner, folders }, image, dataset) {
  const { X509Certificate } = await import('node:crypto')
  const tls = spkiDigest(new X509Certificate(await readFile(join(folders.owner, FILES.cert))))
  const terms = {
    datasets: [dataset],
    images: [image],
    argv: null,
    env: null,
    submitters: [],
    recipients: [],
    clients: [tls],
    purposes: [PURPOSE],
    uses: 1,
    jurisdictions: [],
    agreement: null,
    validForSeconds: 3600,
  }
  return (await issueGrant(client, owner, terms, await loadPolicyBytes(join(folders.owner, FILES.policy)), Math.floor(Date.now() / 1000)))
    .grantId
}

/** This Node and the server, as a container image. */
async function makeImage(images) {
  const { execFileSync } = await import('node:child_process')
  const node = await realpath(process.execPath)
  const libraries = [...execFileSync('ldd', [node], { encoding: 'utf8' }).matchAll(/(?:=> )?(\/\S+) \(/g)].map(([, path]) => path)
  const files = await Promise.all(
    [node, ...libraries].map(async (path) => ({ name: path.slice(1), mode: 0o755, content: await readFile(path) })),
  )
  const parents = (path) => (dirname(path) === '.' ? [] : [...parents(dirname(path)), dirname(path)])
  const folders = [...new Set(files.flatMap((f) => parents(f.name)))].sort()
  const { digest, archive } = await dockerArchive({
    files: [
      ...folders.map((folder) => ({ name: `${folder}/`, type: 'directory', mode: 0o755 })),
      ...files,
      { name: 'server.mjs', content: await readFile(SERVER) },
    ],
    entrypoint: [node, '/server.mjs'],
  })
  await mkdir(join(images, 'server'), { recursive: true })
  await writeFile(join(images, 'server', 'image'), archive)
  const recipe = { v: 1, name: 'server', images: [{ runner: 'docker', digest, file: 'image' }] }
  await writeFile(join(images, 'server', 'measurement.golden.json'), JSON.stringify(recipe))
  return { runner: 'docker', digest }
}
