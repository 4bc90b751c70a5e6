import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DATA, IMAGE, INPUT_NAME, imageFor, PURPOSE, runDemoJob, startHostProcess } from '../../../dist/cli/demo/world.js'
import { DEFAULT_LIMITS, FILES, issueGrant, loadPolicyBytes, pushDataset, sealDataset } from '../../../dist/client/index.js'
import { connectEngine, socketFrom } from '../../../dist/host/runner/docker-engine.js'
import { createRunner } from '../../../dist/host/runner/index.js'
import { interleaveOnce } from '../interleave.mjs'
import { seconds, withGateway } from '../world.mjs'

const ROUNDS = 7
const AGAINST = {
  docker: `the same container of ${IMAGE} on plaintext, created, run and removed by the engine`,
  wasm: `the same WebAssembly run of ${IMAGE} on plaintext (no container engine here)`,
}

/**
 * The whole way of a job on a host that is up, from the contract to the checked receipt and the opened results, against
 * the same workload on the same plaintext with nothing around it.
 */
export function overhead() {
  return withGateway(async (scene) => {
    const { client, folders, owner } = scene
    const host = await startHostProcess(scene, 'host', [])
    const image = await imageFor(host.runner)
    const sealed = join(folders.root, 'data.sealed')
    const legal = { purposes: [PURPOSE], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
    const { dataset } = await sealDataset({ owner, input: DATA, output: sealed, legal })
    await pushDataset(client, owner, sealed)
    const grant = await grantFor(scene, image, dataset)
    const bare = host.runner === 'docker' ? await bareContainer(image, folders.root) : await bareWasm(image)
    let jobs = 0
    const job = async () => {
      const folder = join(folders.root, `results-${jobs++}`)
      const report = await runDemoJob(scene, { client, image, dataset, grant, purpose: PURPOSE, folder })
      const { kind } = report.receipt.statement.predicate.outcome
      if (kind !== 'succeeded') throw new Error(`the job ended as ${kind}`)
    }
    try {
      const result = await interleaveOnce(
        async () => 1000 * (await seconds(job)),
        async () => 1000 * (await seconds(bare.run)),
        ROUNDS,
      )
      return { ...result, against: AGAINST[host.runner] }
    } finally {
      await bare.close()
    }
  })
}

async function grantFor({ client, owner, folders }, image, dataset) {
  const policy = await loadPolicyBytes(join(folders.owner, FILES.policy))
  const terms = {
    datasets: [dataset],
    images: [image],
    argv: [],
    env: {},
    submitters: [],
    recipients: [],
    purposes: [PURPOSE],
    uses: 2 * ROUNDS,
    jurisdictions: [],
    agreement: null,
    validForSeconds: 3600,
  }
  return (await issueGrant(client, owner, terms, policy, Math.floor(Date.now() / 1000))).grantId
}

/** The image as the engine runs it with two folders mounted: no network, else the engine's defaults. */
async function bareContainer(image, root) {
  const { docker } = await connectEngine(socketFrom(process.env.DOCKER_HOST))
  const [input, output] = [join(root, 'bare-in'), join(root, 'bare-out')]
  await mkdir(input)
  await writeFile(join(input, INPUT_NAME), await readFile(DATA))
  const run = async () => {
    await mkdir(output)
    const HostConfig = { NetworkMode: 'none', Binds: [`${input}:/in:ro`, `${output}:/out`] }
    const container = await docker.createContainer({ Image: image.digest, User: `${process.getuid()}:${process.getgid()}`, HostConfig })
    await container.start()
    const { StatusCode } = await container.wait()
    await container.remove()
    await rm(output, { recursive: true })
    if (StatusCode !== 0) throw new Error(`the bare container ended with ${StatusCode}`)
  }
  return { run, close: async () => undefined }
}

/** There is no engine below the WebAssembly runner, so the floor is that runner itself on plaintext. */
async function bareWasm(image) {
  const runner = await createRunner({ kind: 'wasm' })
  const data = await readFile(DATA)
  const inputs = [{ name: INPUT_NAME, size: data.length, read: () => [data] }]
  const run = async () => {
    const outcome = await runner.run(
      { jobId: 'bench', image, isolation: 'sealgate-wasm-v1', argv: [], env: {}, limits: DEFAULT_LIMITS, inputs, gpus: [] },
      new AbortController().signal,
    )
    if (outcome.kind !== 'succeeded') throw new Error(`the bare run ended as ${outcome.kind}: ${outcome.reason}`)
    await outcome.release()
  }
  return { run, close: () => runner.close() }
}
