import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Processes } from '../../dist/cli/demo/processes.js'
import { createFolders, openScene } from '../../dist/cli/demo/world.js'

/** Runs `work` with a real gateway process and an owner's client, both with fresh keys; leaves nothing behind. */
export async function withGateway(work) {
  const root = await mkdtemp(join(tmpdir(), 'sealgate-bench-'))
  const processes = new Processes(root)
  try {
    const folders = await createFolders(root)
    await processes.start('gateway', ['gateway', 'start', folders.gateway])
    // Policies of the demo demand a quorum of them.
    await Promise.all(folders.witnesses.map((folder) => processes.start(basename(folder), ['witness', 'start', folder])))
    const scene = await openScene(folders, processes, new AbortController().signal)
    try {
      return await work(scene)
    } finally {
      scene.client.close()
    }
  } finally {
    await processes.stopAll()
    await rm(root, { recursive: true, force: true })
  }
}

/** A proxy that adds a round trip to a port of this machine. */
export function startDelayProxy(port, roundTripMs) {
  return startHelper(new URL('./delay-proxy.mjs', import.meta.url), [port, roundTripMs])
}

/** A TLS server that throws away what it gets. */
export function startTlsSink(cert, key, ca) {
  return startHelper(new URL('./tls-sink.mjs', import.meta.url), [cert, key, ca])
}

/** Starts a program that says which port it listens on. */
async function startHelper(file, args) {
  const child = fork(fileURLToPath(file), args.map(String), { stdio: ['ignore', 2, 2, 'ipc'] })
  const [port] = await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(() => {
      throw new Error(`${file} did not start`)
    }),
  ])
  return { port, stop: () => child.kill() }
}

/** Seconds that `work` takes. */
export async function seconds(work) {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}
