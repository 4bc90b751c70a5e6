import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRunner, type Runner } from '../../src/host/runner/index.ts'
import type { ImageRef } from '../../src/verify/documents/contract.ts'
import { compileProgram } from '../support/c-compiler.ts'
import { type TestEngine, testEngine } from '../support/docker-engine.ts'
import { filesWith } from '../support/files-with.ts'
import { writeBusybox } from '../support/images.ts'
import { type Ran, requestOf, runOnce } from '../support/run-request.ts'

const engine: TestEngine | null = await testEngine()
const work = await mkdtemp(join(tmpdir(), 'breakout-'))
const program = join(work, 'breakout')
const compiled = engine !== null && (await compileProgram('breakout.c', program))
const MiB = 1024 ** 2

afterAll(async () => {
  await engine?.stop()
  await rm(work, { recursive: true, force: true })
})

/** Attempts of test/support/breakout.c that gVisor answers itself, so that they reach nothing of the machine. */
const WITHIN_GVISOR = ['ptrace_me', 'unshare_user', 'unshare_net', 'clone_user', 'kernel_log', 'gate32']

const TIERS = [
  { isolation: 'sealgate-container-v1', grade: 'container', allowed: [] },
  { isolation: 'sealgate-gvisor-v1', grade: 'gvisor', allowed: WITHIN_GVISOR },
] as const

describe.each(TIERS)('a workload that wants out, under $isolation', ({ isolation, grade, allowed }) => {
  const skip = engine === null || (grade === 'gvisor' && !engine.gvisor)
  let runner: Runner
  let image: ImageRef

  beforeAll(async () => {
    if (engine === null || skip) return
    const setuid = { name: 'bin/su', mode: 0o4755, content: await readFile('/bin/busybox') }
    const breakout = compiled ? [{ name: 'bin/breakout', mode: 0o755, content: await readFile(program) }] : []
    image = await writeBusybox(work, {}, 'busybox', [setuid, ...breakout])
    runner = await createRunner({ kind: 'docker', docker: { socketPath: engine.socketPath }, images: work })
  })
  afterAll(() => runner?.close())

  const sh = (script: string, options: Parameters<typeof requestOf>[1] = {}, signal?: AbortSignal): Promise<Ran> =>
    runOnce(runner, requestOf(image, { argv: [script], isolation, ...options }), signal)

  it.skipIf(skip)('is told so in the receipt', async () => {
    const { isolation: applied, stdout } = await sh('busybox cat /proc/version')
    expect(applied).toMatchObject({ runner: 'docker', profile: isolation, grade })
    if (grade === 'gvisor') expect(stdout).toMatch(/^Linux version 4\.4\.0 /)
    else expect(stdout).toBe(await readFile('/proc/version', 'utf8'))
  })

  it.skipIf(skip || !compiled)('is refused every system call that reaches beyond it', async () => {
    const { stdout, kind } = await sh('/bin/breakout')
    const results = stdout.trim().split('\n')
    expect(kind).toBe('succeeded')
    expect(results).toHaveLength(38)
    expect(results.filter((line) => line.endsWith(' ok')).map((line) => line.split(' ')[0])).toEqual(allowed)
  })

  it.skipIf(skip)('gains nothing by a setuid program', async () => {
    const { stdout } = await sh('busybox ls -l /bin/su; /bin/su -c id; busybox --list >/dev/null; exec /bin/su sh -c "busybox id -u" 2>&1')
    expect(stdout).toMatch(/^-rwsr-xr-x/)
    expect(stdout).not.toMatch(/uid=0|euid=0|^0$/m)
  })

  it.skipIf(skip)('sees no devices but harmless ones, and cannot write to /sys or /proc', async () => {
    const script =
      'busybox find /dev -type b; for f in $(busybox find /sys /proc/sys -type f 2>/dev/null | busybox head -2000); do echo 1 2>/dev/null >$f && echo "wrote $f"; done; ' +
      'for f in /proc/kcore /proc/kmem /dev/mem /dev/kmsg /proc/1/mem /sys/kernel/debug /proc/sysrq-trigger; do busybox head -c 1 $f 2>/dev/null | busybox wc -c; done'
    const { stdout } = await sh(script)
    expect(stdout.trim().split('\n')).toEqual(['0', '0', '0', '0', '0', '0', '0'])
  })

  it.skipIf(skip)('has no way to talk to anybody', async () => {
    const script =
      'for a in 127.0.0.1 169.254.169.254 10.0.0.1 1.1.1.1; do busybox nc -w 1 $a 80 </dev/null && echo "reached $a"; done; ' +
      'busybox find / -xdev -type s 2>/dev/null; busybox ls /sys/class/net 2>/dev/null | busybox grep -v lo; echo end'
    expect((await sh(script)).stdout).toBe('end\n')
  })

  it.skipIf(skip)('leaves no core file, whatever the limit that it asks for', async () => {
    const script =
      "ulimit -c unlimited 2>&1; ulimit -c; cd /tmp; busybox sh -c 'kill -SEGV $$'; busybox ls -A /tmp /out /dev/shm | busybox grep -v :; true"
    const { stdout } = await sh(script)
    expect(stdout.trim().split('\n').at(-1)).toBe('0')
    expect(stdout).not.toContain('core')
  })

  it.skipIf(skip)('is ended by a fork bomb of its own', async () => {
    const ran = await sh('i=0; while [ $i -lt 400 ]; do busybox sleep 30 & i=$((i+1)); done; echo all', { limits: { timeMs: 20_000 } })
    expect(ran).toMatchObject({ kind: 'failed', stdout: '' })
  })

  it.skipIf(skip).each([
    ['memory', 'busybox dd if=/dev/zero of=/dev/null bs=400M count=1'],
    ['/tmp', 'busybox dd if=/dev/zero of=/tmp/a bs=1M; echo $?; exit 137'],
    ['/dev/shm', 'busybox dd if=/dev/zero of=/dev/shm/a bs=1M; exit 137'],
  ])('takes no more memory than it has: %s', async (_, script) => {
    const ran = await sh(script, { limits: { memoryBytes: 96 * MiB, timeMs: 20_000 } })
    expect(ran.kind).toMatch(/^(out-of-memory|failed)$/)
    expect(ran.usage.memoryPeakBytes ?? 0).toBeLessThanOrEqual(97 * MiB)
  })

  it.skipIf(skip)('takes no more of /out than it may, sparse or not, in few files or many', async () => {
    const scripts = [
      'busybox dd if=/dev/zero of=/out/a bs=1M count=64; busybox sleep 30',
      'busybox dd if=/dev/zero of=/out/a bs=1 count=1 seek=1000000000000',
      'i=0; while [ $i -lt 100000 ]; do : 2>/dev/null > /out/f$i || break; i=$((i+1)); done; busybox sleep 30',
    ]
    for (const script of scripts) {
      const ran = await sh(script, { limits: { outputBytes: MiB, timeMs: 25_000 } })
      expect(ran).toMatchObject({ kind: 'output-too-large', code: 'LIMIT_EXCEEDED', files: {} })
    }
  })

  it.skipIf(skip).each([
    ['a link', 'busybox ln -s /etc/passwd /out/link'],
    ['a link to a folder with files', 'busybox ln -s /in /out/in'],
    ['a FIFO', 'busybox mkfifo /out/pipe'],
    ['a socket', 'busybox timeout 1 busybox nc -lU /out/socket; busybox test -e /out/socket || busybox mkfifo /out/socket'],
    ['two names of one file', 'echo x > /out/a; busybox ln /out/a /out/b'],
    ['a name that climbs', 'echo x > "/out/..\\\\..\\\\x"'],
    ['a name with a control character', 'echo x > "/out/a\tb"'],
  ])('has its outputs refused with %s in them', async (_, script) => {
    const ran = await sh(script)
    expect(ran.files).toEqual({})
    // gVisor keeps FIFOs and sockets to itself, so that there is nothing to refuse.
    if (grade === 'gvisor' && ran.kind === 'succeeded') return expect(script).toMatch(/mkfifo/)
    expect(ran).toMatchObject({ kind: 'failed', code: 'JOB_FAILED', reason: expect.stringMatching(/^the outputs were refused: /) })
  })

  it.skipIf(skip)('makes no device, nor a setuid program that outlives it', async () => {
    const script =
      'for d in /out /tmp; do busybox mknod $d/sda b 8 0; busybox mknod $d/mem c 1 1; busybox head -c 1 $d/sda $d/mem; done 2>/dev/null; busybox rm -f /out/*; busybox cp /bin/busybox /out/su; busybox chmod 6755 /out/su'
    const ran = await sh(script)
    expect(ran.stdout).toBe('')
    // Taken as bytes: an archive of results knows no modes.
    expect(Object.keys(ran.files)).toEqual(['su'])
  })

  it.skipIf(skip)('is killed when it ignores every signal', async () => {
    const ran = await sh("trap '' TERM INT HUP QUIT USR1; while :; do busybox sleep 1; done", { limits: { timeMs: 1500 } })
    expect(ran).toMatchObject({ kind: 'timeout', code: 'DEADLINE' })
  })

  it.skipIf(skip)('floods stdout to no avail', async () => {
    const ran = await sh('busybox dd if=/dev/zero bs=1M count=40 2>/dev/null')
    expect(ran).toMatchObject({ kind: 'succeeded', usage: { bytesOut: 40 * MiB } })
    expect(ran.stdout.length).toBe(MiB)
  })

  it.skipIf(skip || engine?.folder === null)('lets no plaintext reach a disk', async () => {
    const canary = `canary-${randomBytes(16).toString('hex')}`
    const script =
      'busybox cat /in/a; busybox cat /in/a >&2; busybox cp /in/a /out/b; busybox cp /in/a /tmp/c; busybox cp /in/a /dev/shm/d; busybox sleep 1'
    const running = sh(script, { inputs: { a: Buffer.from(canary) } })
    const during = await filesWith(engine?.folder ?? '', canary)
    expect(await running).toMatchObject({ kind: 'succeeded', stdout: canary, stderr: canary, files: { b: canary } })
    expect([...during, ...(await filesWith(engine?.folder ?? '', canary))]).toEqual([])
  })
})
