import { execFile, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Docker from 'dockerode'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { createRunner, DEFAULT_IMAGES, type Runner } from '../../src/host/runner/index.ts'
import type { ImageRef } from '../../src/verify/documents/contract.ts'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { filesWith } from '../support/files-with.ts'
import { busyboxLayer, writeBusybox } from '../support/images.ts'
import { TestRegistry } from '../support/registry.ts'
import { type Ran, requestOf, runOnce, TABULAR } from '../support/run-request.ts'

const engine: TestEngine | null = await testEngine()
const MiB = 1024 ** 2
const uid = process.getuid?.() ?? -1
const MEMORY = `/dev/shm/sealgate-${uid}`

describe.skipIf(engine === null)('docker runner on a real engine', () => {
  const { socketPath, folder } = engine as TestEngine
  const docker = new Docker({ socketPath })
  let images: string
  let busybox: ImageRef
  let runner: Runner

  beforeAll(async () => {
    images = await mkdtemp(join(tmpdir(), 'images-'))
    busybox = await writeBusybox(images)
    runner = await createRunner({ kind: 'docker', docker: { socketPath }, images })
  })

  afterAll(async () => {
    await runner.close()
    await engine?.stop()
    await rm(images, { recursive: true, force: true })
  })

  /** Runs a shell script in a container. */
  const sh = (script: string, options: Parameters<typeof requestOf>[1] = {}, signal?: AbortSignal): Promise<Ran> =>
    runOnce(runner, requestOf(busybox, { argv: [script], ...options }), signal)

  it('chooses containers by itself, and says why', async () => {
    const auto = await createRunner({ kind: 'auto', docker: { socketPath }, images })
    expect(auto).toMatchObject({ kind: 'docker', grade: 'container', reason: expect.stringContaining(socketPath) })
    await auto.close()
  })

  it('gives inputs, takes outputs, and reports what was used', async () => {
    const script = 'cat /in/a.txt; echo oops >&2; mkdir /out/sub; cat /in/a.txt > /out/sub/copy; echo -n 1 > /out/one; sleep 0.6'
    const ran = await sh(script, { inputs: { 'a.txt': Buffer.from('hello\n') } })
    expect(ran).toMatchObject({ kind: 'succeeded', exitCode: 0, code: null, stdout: 'hello\n', stderr: 'oops\n' })
    expect(ran.files).toEqual({ one: '1', 'sub/copy': 'hello\n' })
    expect(ran.isolation).toMatchObject({ runner: 'docker', profile: 'sealgate-container-v1', grade: 'container' })
    expect(ran.usage).toMatchObject({ bytesIn: 6, bytesOut: 7 + 6 + 5 })
    expect(ran.usage.cpuMs).toBeGreaterThan(0)
    expect(ran.usage.memoryPeakBytes).toBeGreaterThan(0)
  })

  it('runs the shipped example to the same bytes as WebAssembly does', async () => {
    const inputs = { 'data.csv': TABULAR.data }
    const shipped = await createRunner({ kind: 'docker', docker: { socketPath } })
    const wasm = await createRunner({ kind: 'wasm' })
    const inContainer = await runOnce(shipped, requestOf(TABULAR.images.docker, { inputs }))
    const inWasm = await runOnce(wasm, requestOf(TABULAR.images.wasm, { inputs }))
    await Promise.all([shipped.close(), wasm.close()])
    expect(inContainer).toMatchObject({ kind: 'succeeded', stdout: '569 rows: 212 malignant, 357 benign\n' })
    expect(inWasm.files).toEqual(inContainer.files)
    expect(inWasm.stdout).toBe(inContainer.stdout)
  })

  it('shares inputs between the runs of one job, and nothing else', async () => {
    const request = requestOf(busybox, { inputs: { 'a.txt': Buffer.from('hello\n') } })
    const { signal } = new AbortController()
    const loaded = await runner.load(request, signal)
    const outputs: string[] = []
    for (const script of ['cat /in/a.txt; echo 1 > /out/x; echo 1 > /tmp/x', 'cat /in/a.txt; rm -f /in/a.txt; busybox ls /out /tmp']) {
      const ran = await loaded.run({ argv: [script], limits: request.limits }, signal)
      outputs.push(Buffer.from(ran.stdout.bytes).toString())
      await ran.release()
    }
    expect(outputs).toEqual(['hello\n', 'hello\n/out:\n\n/tmp:\n'])
    expect(await filesWith(MEMORY, 'hello')).toHaveLength(1)
    await loaded.unload()
    expect(await filesWith(MEMORY, 'hello')).toEqual([])
  })

  it('tells exit codes apart and keeps what a failed program wrote', async () => {
    expect(await sh('echo partial > /out/log; exit 7')).toMatchObject({
      kind: 'failed',
      exitCode: 7,
      code: 'JOB_FAILED',
      files: { log: 'partial\n' },
    })
    expect(await sh("busybox sh -c 'kill -9 $$'; exit $?")).toMatchObject({ kind: 'failed', exitCode: 137 })
  })

  describe('keeps the workload in', () => {
    it('without root, capabilities, new privileges, or core dumps, under seccomp', async () => {
      const { stdout } = await sh('busybox id -u; busybox grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; ulimit -c')
      expect(stdout.replace(/\t/g, ' ').trim().split('\n')).toEqual([
        uid === 0 ? '65532' : String(uid),
        ...['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((set) => `Cap${set}: 0000000000000000`),
        'NoNewPrivs: 1',
        'Seccomp: 2',
        '0',
      ])
    })

    it('without a network', async () => {
      const { stdout } = await sh(
        'busybox ls /sys/class/net; busybox cat /proc/net/route | busybox wc -l; busybox nc -w 1 127.0.0.1 1; echo $?',
      )
      expect(stdout).toBe('lo\n1\n1\n')
    })

    it('on a read-only root, with read-only inputs', async () => {
      const script =
        'for f in /x /etc/hosts /etc/resolv.conf /in/a /in/new /sys/x /dev/x; do echo x 2>/dev/null >>$f && echo "wrote $f"; done; echo end'
      expect((await sh(script, { inputs: { a: Buffer.from('a') } })).stdout).toBe('end\n')
    })

    it('unable to run programs from where it can write', async () => {
      const script = 'for d in /tmp /out; do busybox cp /bin/busybox $d/b && busybox chmod 755 $d/b && $d/b true; echo $?; done'
      expect(await sh(`${script}; busybox rm /out/b`)).toMatchObject({ stdout: '126\n126\n' })
    })

    it('unable to mount, make devices, enter namespaces, change root, or reach the kernel', async () => {
      const attempts = [
        'mount -t tmpfs none /tmp',
        'mount -o remount,rw /',
        'umount /in',
        'mknod /out/sda b 8 0',
        'unshare -U true',
        'unshare -m true',
        'chroot /tmp /bin/sh',
        'nsenter -t 1 -m true',
        'hostname other',
        'cat /proc/kcore',
        'dmesg',
      ]
      const script = attempts.map((a) => `busybox ${a} >/dev/null 2>&1 && echo "could: ${a}"`).join('; ')
      expect((await sh(`${script}; echo x 2>/dev/null > /proc/sysrq-trigger && echo sysrq; echo end`)).stdout).toBe('end\n')
    })

    it('with nothing in its environment but what the job asks for', async () => {
      const { stdout } = await sh('busybox env | busybox sort', { env: { MODE: 'fast' } })
      expect(
        stdout
          .trim()
          .split('\n')
          .map((line) => line.split('=')[0]),
      ).toEqual(['HOME', 'HOSTNAME', 'MODE', 'PATH', 'PWD', 'SHLVL'])
    })

    it('seeing no process but its own, and no file of the host', async () => {
      const { stdout } = await sh('echo $$; busybox ls /; busybox ls /dev/shm')
      expect(stdout.trim().split('\n')).toEqual(['1', 'bin', 'dev', 'etc', 'in', 'out', 'proc', 'sys', 'tmp'])
    })
  })

  describe('ends what goes too far', () => {
    it('a fork bomb, at the process limit', async () => {
      const ran = await sh('i=0; while [ $i -lt 200 ]; do busybox sleep 30 & i=$((i+1)); done; echo all', { limits: { timeMs: 20_000 } })
      expect(ran).toMatchObject({ kind: 'failed', stdout: '' })
      expect(ran.stderr).toContain("can't fork")
    })

    it('a memory bomb, at the memory limit, without swap', async () => {
      const ran = await sh('busybox dd if=/dev/zero of=/dev/null bs=200M count=1', { limits: { memoryBytes: 32 * MiB } })
      expect(ran).toMatchObject({ kind: 'out-of-memory', exitCode: null, code: 'LIMIT_EXCEEDED', files: {} })
    })

    it('a disk bomb in memory-backed scratch space', async () => {
      const ran = await sh('busybox dd if=/dev/zero of=/tmp/x bs=1M count=500', { limits: { memoryBytes: 32 * MiB } })
      expect(ran.kind).toBe('out-of-memory')
    })

    it('a program that ignores signals, at the time limit', async () => {
      const ran = await sh("trap '' TERM INT HUP; while :; do busybox sleep 1; done", { limits: { timeMs: 500 } })
      expect(ran).toMatchObject({ kind: 'timeout', exitCode: null, code: 'DEADLINE' })
    })

    it('a job that is cancelled, before and after its start', async () => {
      const running = new AbortController()
      setTimeout(() => running.abort(), 700)
      expect(await sh('busybox sleep 60', {}, running.signal)).toMatchObject({ kind: 'cancelled', code: 'CANCELLED' })
      expect(await sh('busybox sleep 60', {}, AbortSignal.abort())).toMatchObject({ kind: 'cancelled', usage: { wallMs: 0 } })
    })

    it.each([
      ['bytes', 'busybox dd if=/dev/zero of=/out/big bs=1M count=64; busybox sleep 60'],
      ['a sparse file', 'busybox dd if=/dev/zero of=/out/big bs=1 count=1 seek=1000000000000'],
      ['small files', 'i=0; while [ $i -lt 1100 ]; do : > /out/f$i; i=$((i+1)); done'],
      ['files without end', 'i=0; while :; do : 2>/dev/null > /out/f$i; i=$((i+1)); done'],
    ])('a job that writes too much: %s', async (_, script) => {
      const ran = await sh(script, { limits: { outputBytes: MiB, timeMs: 50_000 } })
      expect(ran).toMatchObject({ kind: 'output-too-large', code: 'LIMIT_EXCEEDED', files: {} })
    })

    it('stdout after its first MiB, without stopping the program', async () => {
      const ran = await runner.run(
        requestOf(busybox, { argv: ['busybox dd if=/dev/zero bs=1M count=20 2>/dev/null'] }),
        new AbortController().signal,
      )
      expect(ran).toMatchObject({ kind: 'succeeded', stdout: { totalBytes: 20 * MiB }, usage: { bytesOut: 20 * MiB } })
      expect(ran.stdout.bytes.length).toBe(MiB)
      await ran.release()
    })

    it('a program that is not there', async () => {
      const image = await writeBusybox(images, { Entrypoint: ['/nothing'] }, 'no-program')
      const fresh = await createRunner({ kind: 'docker', docker: { socketPath }, images })
      expect(await runOnce(fresh, requestOf(image))).toMatchObject({
        kind: 'failed',
        exitCode: null,
        reason: 'the program could not be started',
      })
      await fresh.close()
    })
  })

  it.each([
    ['a symbolic link to a file outside', 'busybox ln -s /etc/passwd /out/link'],
    ['a symbolic link to a folder', 'busybox ln -s / /out/root'],
    ['a FIFO', 'busybox mkfifo /out/pipe'],
    ['a hard link', 'echo x > /out/a; busybox ln /out/a /out/b'],
    ['a hidden file', 'echo x > /out/.profile'],
    ['a name with a line feed', 'echo x > "/out/a\nb"'],
    ['a name that climbs on other systems', 'echo x > "/out/..\\\\up"'],
    ['a folder nine deep', 'busybox mkdir -p /out/1/2/3/4/5/6/7/8/9; echo x > /out/1/2/3/4/5/6/7/8/9/f'],
  ])('refuses outputs with %s', async (_, script) => {
    const ran = await sh(script)
    expect(ran).toMatchObject({ kind: 'failed', exitCode: 0, code: 'JOB_FAILED', files: {} })
    expect(ran.reason).toMatch(/^the outputs were refused: /)
  })

  it.skipIf(uid !== 0)('takes outputs whatever their permissions', async () => {
    const ran = await sh(
      'echo x > /out/a; busybox chmod 000 /out/a; echo y > /out/b; busybox chmod 6755 /out/b; busybox mkdir -p /out/1/2/3/4/5/6/7/8; echo z > /out/1/2/3/4/5/6/7/8/c',
    )
    expect(ran.files).toEqual({ a: 'x\n', b: 'y\n', '1/2/3/4/5/6/7/8/c': 'z\n' })
  })

  it('passes the error of an input on and leaves nothing', async () => {
    const request = requestOf(busybox, { argv: ['true'] })
    const broken = { name: 'a', size: 4, read: () => [Buffer.from('too long')] }
    await expect(runner.run({ ...request, inputs: [broken] }, new AbortController().signal)).rejects.toMatchObject({
      code: 'STREAM_TRUNCATED',
    })
    const huge = { name: 'a', size: 2 ** 50, read: () => [] }
    await expect(runner.run({ ...request, inputs: [huge] }, new AbortController().signal)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    expect(await remains()).toEqual({ containers: 0, mounts: 0, workspaces: 0 })
  })

  it('runs jobs side by side', async () => {
    const numbers = [1, 2, 3, 4, 5, 6]
    const all = await Promise.all(numbers.map((n) => sh(`echo ${n} > /out/n; cat /in/n`, { inputs: { n: Buffer.from(`in ${n}`) } })))
    expect(all.map((r) => [r.files.n, r.stdout])).toEqual(numbers.map((n) => [`${n}\n`, `in ${n}`]))
    expect(await remains()).toEqual({ containers: 0, mounts: 0, workspaces: 0 })
  })

  describe('images', () => {
    it('refuses one that no recipe names', async () => {
      const unknown: ImageRef = { runner: 'docker', digest: `sha256:${'0'.repeat(64)}` }
      await expect(runner.prepare(unknown)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
      await expect(runner.prepare(TABULAR.images.wasm)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
    })

    it('refuses one that declares volumes, however its configuration spells them', async () => {
      for (const [i, key] of ['Volumes', 'volumes'].entries()) {
        const image = await writeBusybox(images, { [key]: { '/data': {} } }, `volumes-${i}`)
        await expect(runner.prepare(image)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE', message: 'the image declares volumes' })
      }
    })

    it('pulls one from a registry by digest, runs it, and leaves no copy of its own', async () => {
      // Its own, where nobody else pulls at the same time.
      const temporary = await mkdtemp(join(tmpdir(), 'pulls-'))
      vi.stubEnv('TMPDIR', temporary)
      const registry = await TestRegistry.start()
      registry.credentials = 'robot:secret'
      const { image, descriptor } = registry.putImage([await busyboxLayer()], { config: { Entrypoint: ['/bin/sh', '-c'] } })
      const pulled: ImageRef = { runner: 'docker', digest: image }
      const source = `${registry.host}/team/app@${descriptor.digest}`
      const registries = [{ host: registry.host, plainHttp: true, credentials: { username: 'robot', password: 'secret' } }]
      const puller = await createRunner({ kind: 'docker', docker: { socketPath }, images, registries })
      expect(puller.registries).toEqual([`http://${registry.host}`])
      await expect(runner.prepare(pulled, false, source)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
      await expect(puller.prepare(pulled)).rejects.toMatchObject({ code: 'IMAGE_UNAVAILABLE' })
      const astray = `${registry.host}/team/app@sha256:${'0'.repeat(64)}`
      const [failed, loaded] = await Promise.allSettled([puller.prepare(pulled, false, astray), puller.prepare(pulled, false, source)])
      expect(failed).toMatchObject({ status: 'rejected', reason: { code: 'IMAGE_UNAVAILABLE' } })
      expect(loaded.status).toBe('fulfilled')
      expect(await runOnce(puller, requestOf(pulled, { argv: ['echo pulled'] }))).toMatchObject({ kind: 'succeeded', stdout: 'pulled\n' })
      expect(await readdir(temporary)).toEqual([])
      vi.unstubAllEnvs()
      await rm(temporary, { recursive: true })
      await puller.close()
      await registry.stop()
    })

    it('refuses one whose layer was changed', async () => {
      const changed = await mkdtemp(join(tmpdir(), 'images-'))
      await cp(join(DEFAULT_IMAGES, 'tabular-inference'), join(changed, 'tabular-inference'), {
        recursive: true,
        filter: (path) => !path.includes('node_modules'),
      })
      const file = join(changed, 'tabular-inference/artifacts/tabular-inference.docker.tar')
      const bytes = await readFile(file)
      bytes[40_000] = (bytes[40_000] ?? 0) ^ 1
      await writeFile(file, bytes)
      const strict = await createRunner({ kind: 'docker', docker: { socketPath }, images: changed })
      await expect(strict.prepare(TABULAR.images.docker)).rejects.toMatchObject({ code: 'IMAGE_DIGEST_MISMATCH' })
      await strict.close()
      await rm(changed, { recursive: true })
    })
  })

  it('removes what a dead agent left, reports its jobs, and leaves living agents alone', async () => {
    const [boot, namespace] = [await readFile('/proc/sys/kernel/random/boot_id', 'ascii'), '1']
    const dead = `${uid}.${boot.trim().replace(/^./, 'x')}.${namespace}.1.1.dead`
    const orphan = await docker.createContainer({ Image: busybox.digest, Cmd: ['sleep 60'], Labels: labels(dead, 'JOB-DEAD', 2e9) })
    const expired = await docker.createContainer({
      Image: busybox.digest,
      Cmd: ['sleep 60'],
      Labels: labels('9999.x.1.1.1.other', 'JOB-OLD', 1),
    })
    await orphan.start()
    const left = join(MEMORY, dead, 'job', 'in')
    await mkdir(left, { recursive: true })
    await writeFile(join(left, 'a'), 'plaintext')
    const living = sh('busybox sleep 3; echo done')
    const next = await createRunner({ kind: 'docker', docker: { socketPath }, images })
    expect([...next.recovered].sort()).toEqual(['JOB-DEAD', 'JOB-OLD'])
    await next.close()
    expect(existsSync(left)).toBe(false)
    await expect(expired.inspect()).rejects.toMatchObject({ statusCode: 404 })
    expect(await living).toMatchObject({ kind: 'succeeded', stdout: 'done\n' })
  })

  it.skipIf(folder === null)('lets no plaintext reach a disk', async () => {
    const canary = `canary-${randomBytes(16).toString('hex')}`
    const script =
      'busybox cat /in/a; busybox cat /in/a >&2; busybox cp /in/a /out/b; busybox cp /in/a /tmp/c; busybox cp /in/a /dev/shm/d; busybox sleep 1'
    const running = sh(script, { inputs: { a: Buffer.from(canary) } })
    const during = await filesWith(folder ?? '', canary)
    expect(await running).toMatchObject({ kind: 'succeeded', stdout: canary, stderr: canary, files: { b: canary } })
    expect([...during, ...(await filesWith(folder ?? '', canary))]).toEqual([])
  })

  it.skipIf(folder === null || !readableByOthers())('tells a user who may not use the engine what is wrong', async () => {
    await chmod(folder ?? '', 0o711)
    const script = `
      import { createRunner } from ${JSON.stringify(DIST)}
      const docker = { socketPath: process.argv[1] }
      const refused = await createRunner({ kind: 'docker', docker }).catch((error) => error.code)
      const { kind, reason } = await createRunner({ kind: 'auto', docker })
      console.log(JSON.stringify({ refused, kind, reason }))`
    expect(JSON.parse(await asUser(script, socketPath))).toEqual({
      refused: 'ENGINE_PERMISSION',
      kind: 'wasm',
      reason: `WebAssembly in a process of its own, weaker than a container: this user may not use the container engine's socket ${socketPath}`,
    })
  })

  it.skipIf(folder === null || !readableByOthers())('does the same for an agent that is not root', async () => {
    await Promise.all([chmod(folder ?? '', 0o711), chmod(socketPath, 0o666), chmod(images, 0o755)])
    const scripts = [
      'busybox id -u; cat /in/a; echo x > /out/x; cat /in/a > /tmp/t',
      'i=0; while :; do : 2>/dev/null > /out/f$i; i=$((i+1)); done',
      'busybox dd if=/dev/zero of=/out/big bs=1M count=64; busybox sleep 60',
      // Too deep for any path: only tools that walk by descriptor can remove it.
      'cd /out; i=0; while [ $i -lt 200 ]; do n=$i-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; busybox mkdir $n; cd $n; i=$((i+1)); done; echo x > y; busybox chmod 0 .',
    ]
    const stdout = await asUser(AS_USER, socketPath, images, busybox.digest, ...scripts)
    expect(JSON.parse(stdout)).toEqual({
      outcomes: [
        { kind: 'succeeded', stdout: '4242\nhello', outputs: ['x'] },
        { kind: 'output-too-large', stdout: '', outputs: [] },
        { kind: 'output-too-large', stdout: '', outputs: [] },
        { kind: 'failed', stdout: '', outputs: [] },
      ],
      left: [],
    })
    await rm('/dev/shm/sealgate-4242', { recursive: true })
  })

  it('ends running jobs when it closes', async () => {
    const short = await createRunner({ kind: 'docker', docker: { socketPath }, images })
    const running = runOnce(short, requestOf(busybox, { argv: ['busybox sleep 60'] }))
    setTimeout(() => void short.close(), 700)
    expect(await running).toMatchObject({ kind: 'cancelled' })
    expect(await remains()).toEqual({ containers: 0, mounts: 0, workspaces: 0 })
  })

  it.skipIf(engine?.kill === null)('reports an engine that dies in mid-run, and erases the plaintext', async () => {
    const running = sh('busybox sleep 60', { inputs: { a: Buffer.from('plaintext') } })
    setTimeout(() => void engine?.kill?.(), 1500)
    await expect(running).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' })
    expect(await remains(false)).toMatchObject({ mounts: 0, workspaces: 0 })
  })

  function labels(owner: string, job: string, deadline: number): Record<string, string> {
    return { 'sealgate.owner': owner, 'sealgate.job': job, 'sealgate.deadline': String(deadline) }
  }

  async function remains(askEngine = true): Promise<{ containers: number; mounts: number; workspaces: number }> {
    const containers = askEngine ? await docker.listContainers({ all: true, filters: { label: ['sealgate.owner'] } }) : []
    const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter((line) => line.includes('/sealgate-'))
    const own = (await readdir(MEMORY)).filter((name) => name.split('.')[3] === String(process.pid))
    const jobs = await Promise.all(own.map((name) => readdir(join(MEMORY, name)).catch(() => [])))
    return { containers: containers.length, mounts: mounts.length, workspaces: jobs.flat().length }
  }
})

const DIST = fileURLToPath(new URL('../../dist/host/runner/index.js', import.meta.url))

/** An agent of another user: makes a runner, runs each script, prints what came of it and what it left. */
const AS_USER = `
import { readdirSync } from 'node:fs'
import { createRunner } from ${JSON.stringify(DIST)}
const [socketPath, images, digest, ...scripts] = process.argv.slice(1)
const runner = await createRunner({ kind: 'docker', docker: { socketPath }, images })
const limits = { timeMs: 50_000, memoryBytes: 64 << 20, outputBytes: 1 << 20, pids: 32, cpuMillis: 1000 }
const inputs = [{ name: 'a', size: 5, read: () => [Buffer.from('hello')] }]
const outcomes = []
for (const script of scripts) {
  const request = { jobId: 'job', image: { runner: 'docker', digest }, isolation: 'sealgate-container-v1', argv: [script], env: {}, gpus: [], limits, inputs }
  const { kind, stdout, outputs, release } = await runner.run(request, new AbortController().signal)
  outcomes.push({ kind, stdout: Buffer.from(stdout.bytes).toString(), outputs: outputs.map((o) => o.path) })
  await release()
}
await runner.close()
console.log(JSON.stringify({ outcomes, left: readdirSync('/dev/shm/sealgate-4242') }))
`

/** stdout of a program run by another user. */
async function asUser(script: string, ...args: readonly string[]): Promise<string> {
  const options = { uid: 4242, gid: 4242, env: {}, cwd: '/' }
  return (await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, ...args], options)).stdout
}

function readableByOthers(): boolean {
  if (uid !== 0) return false
  return spawnSync(process.execPath, ['-e', `fs.accessSync(${JSON.stringify(DIST)})`], { uid: 4242, cwd: '/' }).status === 0
}
