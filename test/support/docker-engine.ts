import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import Docker from 'dockerode'

const run = promisify(execFile)
const SYSTEM_SOCKET = '/var/run/docker.sock'
/** Debian's gVisor. */
const RUNSC = '/usr/bin/runsc'

/** A real container engine for tests. */
export interface TestEngine {
  readonly socketPath: string
  /** True where it has gVisor: missing with a printed reason, unless SEALGATE_REQUIRE_RUNSC=1. */
  readonly gvisor: boolean
  /** Everything a private engine has written, its log included; null for one that was there already. */
  readonly folder: string | null
  /** As `kill -9`, for tests of an engine that dies; null for one that was there already. */
  readonly kill: (() => Promise<void>) | null
  /** Starts it again after {@link kill}; null for one that was there already. */
  readonly restart: (() => Promise<void>) | null
  stop(): Promise<void>
}

/**
 * Finds an engine (DOCKER_HOST, the usual socket) or, as root on Debian, installs one and starts it privately. Returns null
 * with a printed reason where there is none, unless SEALGATE_REQUIRE_DOCKER=1: then it fails.
 */
export async function testEngine(): Promise<TestEngine | null> {
  const given = process.env.DOCKER_HOST?.replace(/^unix:\/\//, '') ?? SYSTEM_SOCKET
  if (await answers(given))
    return { socketPath: given, gvisor: await hasGvisor(given), folder: null, kill: null, restart: null, stop: async () => {} }
  const obstacle = await startable()
  if (obstacle === null) return startPrivateEngine()
  const reason = `no container engine: ${given} does not answer, and none can be started (${obstacle})`
  if (process.env.SEALGATE_REQUIRE_DOCKER === '1') throw new Error(reason)
  console.error(`SKIPPED: ${reason}`)
  return null
}

async function answers(socketPath: string): Promise<boolean> {
  if (!existsSync(socketPath)) return false
  return new Docker({ socketPath, timeout: 5000 }).ping().then(
    () => true,
    () => false,
  )
}

async function hasGvisor(socketPath: string): Promise<boolean> {
  const { Runtimes } = (await new Docker({ socketPath }).info()) as { Runtimes?: object }
  if (Runtimes !== undefined && 'runsc' in Runtimes) return true
  const reason = `the engine at ${socketPath} has no runtime runsc (gVisor)`
  if (process.env.SEALGATE_REQUIRE_RUNSC === '1') throw new Error(reason)
  console.error(`SKIPPED: ${reason}`)
  return false
}

/** Null when {@link startPrivateEngine} can be tried. Installs what is missing. */
async function startable(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'not root on Linux'
  if (existsSync('/usr/sbin/dockerd') && existsSync('/bin/busybox') && existsSync(RUNSC)) return null
  if (!existsSync('/etc/debian_version')) return 'not Debian'
  const options = ['-o', 'DPkg::Lock::Timeout=300', '-qq']
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    await run('apt-get', [...options, 'update'], { env })
    await run('apt-get', [...options, 'install', '-y', '--no-install-recommends', 'docker.io', 'busybox-static', 'runsc'], { env })
    return null
  } catch (error) {
    return `apt-get: ${(error as Error).message.split('\n')[0]}`
  }
}

/** Folders, network and socket of its own: nothing on the machine is changed, and `stop` leaves nothing. */
async function startPrivateEngine(): Promise<TestEngine> {
  // A socket's path has at most 107 bytes (unix(7)), so it lies in a short one.
  const folder = await mkdtemp(join(tmpdir(), 'sg-'))
  const socketPath = join(folder, 'docker.sock')
  const config = {
    'data-root': join(folder, 'data'),
    'exec-root': join(folder, 'exec'),
    pidfile: join(folder, 'dockerd.pid'),
    hosts: [`unix://${socketPath}`],
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    'ip-masq': false,
    'log-level': 'warn',
    // Of gVisor's platforms the one that needs nothing of the machine.
    ...(existsSync(RUNSC) ? { runtimes: { runsc: { path: RUNSC, runtimeArgs: ['--platform=ptrace', '--network=none'] } } } : {}),
  }
  await mkdir(config['data-root'])
  await writeFile(join(folder, 'daemon.json'), JSON.stringify(config))
  let daemon = await startDaemon(folder, socketPath)
  const restart = async (): Promise<void> => {
    // Its containerd outlives it for a moment, and two do not get on.
    await rm(join(folder, 'dockerd.pid'), { force: true })
    const pid = Number(await readFile(join(folder, 'exec/containerd/containerd.pid'), 'utf8').catch(() => '0'))
    for (let tries = 0; pid > 0 && existsSync(`/proc/${pid}`) && tries < 100; tries++) await delay(100)
    daemon = await startDaemon(folder, socketPath)
  }
  const gvisor = await hasGvisor(socketPath)
  return { socketPath, gvisor, folder, kill: () => end(daemon, 'SIGKILL'), restart, stop: () => stop(daemon, folder) }
}

async function startDaemon(folder: string, socketPath: string): Promise<ChildProcess> {
  const log = openSync(join(folder, 'dockerd.log'), 'a')
  const daemon = spawn('/usr/sbin/dockerd', ['--config-file', join(folder, 'daemon.json')], { stdio: ['ignore', log, log] })
  for (let tries = 0; !(await answers(socketPath)); tries++) {
    if (daemon.exitCode !== null || tries === 300) {
      throw new Error(`dockerd did not start:\n${await readFile(join(folder, 'dockerd.log'), 'utf8')}`)
    }
    await delay(100)
  }
  return daemon
}

async function stop(daemon: ChildProcess, folder: string): Promise<void> {
  await end(daemon, 'SIGTERM')
  // After a kill -9 its containerd, shims and containers go on, and their file systems stay mounted.
  await endProcessesOf(folder)
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '')
  for (const path of mounts.filter((m) => m.startsWith(folder)).reverse()) await run('umount', ['-l', path])
  await rm(folder, { recursive: true, force: true })
  for (const group of await readdir('/sys/fs/cgroup')) await rmdir(join('/sys/fs/cgroup', group, 'docker')).catch(() => {})
}

async function end(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return
  const gone = once(process, 'exit')
  process.kill(signal)
  await gone
}

/** The engine's helpers have its folder in their arguments; a container has it in a mount table that is not ours. */
async function endProcessesOf(folder: string): Promise<void> {
  const ours = await readlink('/proc/self/ns/mnt')
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => ours)
    const mounts = namespace === ours ? '' : await readFile(`/proc/${pid}/mounts`, 'utf8').catch(() => '')
    if (command.includes(`${folder}/exec`) || mounts.includes(`${folder}/data`)) process.kill(Number(pid), 'SIGKILL')
  }
}
