import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connectTpm, type TpmTransport } from '../../src/host/attesters/tpm-transport.ts'

const PROGRAM = '/usr/bin/swtpm'

/** True where Debian's `swtpm` is installed; else says so, or fails with SEALGATE_REQUIRE_SWTPM=1. */
export function hasSwtpm(): boolean {
  if (existsSync(PROGRAM)) return true
  const reason = `no ${PROGRAM}: install Debian's swtpm`
  if (process.env.SEALGATE_REQUIRE_SWTPM === '1') throw new Error(reason)
  console.error(`SKIPPED: ${reason}`)
  return false
}

/** A software TPM of its own, fresh and started, and a way to it. */
export interface TestTpm {
  readonly port: number
  readonly transport: TpmTransport
  stop(): Promise<void>
}

export async function startSwtpm(): Promise<TestTpm> {
  const folder = await mkdtemp(join(tmpdir(), 'sealgate-swtpm-'))
  const port = await freePort()
  const server = `type=tcp,port=${port},bindaddr=127.0.0.1`
  const state = ['--tpm2', '--tpmstate', `dir=${folder}`, '--server', server, '--flags', 'not-need-init,startup-clear']
  const child = spawn(PROGRAM, ['socket', ...state, '--ctrl', `type=unixio,path=${join(folder, 'ctrl')}`], { stdio: 'ignore' })
  const transport = await connected(child, port)
  return {
    port,
    transport,
    async stop() {
      await transport.close()
      await end(child)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function connected(child: ChildProcess, port: number): Promise<TpmTransport> {
  for (let tries = 0; ; tries++) {
    try {
      return await connectTpm('127.0.0.1', port)
    } catch (error) {
      if (child.exitCode !== null || tries === 100) throw error
      await delay(50)
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  await gone
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
