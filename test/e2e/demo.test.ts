import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Ended, sealgate } from '../support/processes.ts'

const root = mkdtempSync(join(tmpdir(), 'sealgate-test-'))
/** Own folder for temporary files, so that leftovers are seen. */
const temporary = join(root, 'tmp')
mkdirSync(temporary)
const env = { TMPDIR: temporary }
const out = join(root, 'demo-out')
let demo: Ended

beforeAll(async () => {
  demo = await sealgate(['demo', '--out', out, '--json'], { cwd: root, env })
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

interface Told {
  readonly simulated: boolean
  readonly job: { readonly outcome: { readonly kind: string } }
  readonly offline: { readonly accepted: boolean; readonly confinement: string }
  readonly attacks: readonly { readonly title: string; readonly refused: boolean; readonly reason: string }[]
}

/** Processes whose command line names this path. */
function processesNaming(path: string): readonly string[] {
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return readFileSync(join('/proc', pid, 'cmdline'), 'utf8').includes(path)
      } catch {
        return false
      }
    })
}

describe('sealgate demo', () => {
  it('brings the job through and sees every attack refused', () => {
    expect({ exitCode: demo.exitCode, stderr: demo.stderr }).toMatchObject({ exitCode: 0 })
    const told = JSON.parse(demo.stdout) as Told
    expect(told.job.outcome.kind).toBe('succeeded')
    expect(told.offline.accepted).toBe(true)
    expect(told.attacks.length).toBeGreaterThanOrEqual(7)
    expect(told.attacks.filter((a) => !a.refused || a.reason === '')).toEqual([])
  })

  it('says on screen and in the receipt that the evidence is simulated', () => {
    expect(demo.stderr).toContain('SIMULATED')
    expect((JSON.parse(demo.stdout) as Told).simulated).toBe(true)
  })

  it('writes no colour and no progress where there is no terminal', () => {
    expect(demo.stderr).not.toContain('\x1b')
    expect(demo.stderr).not.toContain('\r')
  })

  it('leaves receipt, trust file and results', async () => {
    expect(readdirSync(out).sort()).toEqual(['predictions.csv', 'receipt.sealgate-receipt.json', 'summary.json', 'trust.json'])
    expect(readFileSync(join(out, 'predictions.csv'), 'utf8').trim().split('\n')).toHaveLength(570)
    const verify = await sealgate(['receipt', 'verify', join(out, 'receipt.sealgate-receipt.json'), '--trust', join(out, 'trust.json')])
    expect(verify.exitCode).toBe(0)
    expect(verify.stderr).toContain('SIMULATED')
  })

  it('answers "signers unknown" with exit code 5 without a trust file', async () => {
    const verify = await sealgate(['receipt', 'verify', join(out, 'receipt.sealgate-receipt.json'), '--json'])
    expect(verify.exitCode).toBe(5)
    expect(JSON.parse(verify.stdout)).toMatchObject({ decision: 'reject', error: { code: 'SIGNER_UNKNOWN' } })
  })

  it('leaves no process and no file behind', () => {
    expect(readdirSync(temporary)).toEqual([])
    expect(processesNaming(temporary)).toEqual([])
    expect(readdirSync(root).sort()).toEqual(['demo-out', 'tmp'])
  })

  it('does not replace a folder that is not its own', async () => {
    const mine = join(root, 'mine')
    mkdirSync(mine)
    writeFileSync(join(mine, 'thesis.txt'), 'years of work')
    const refused = await sealgate(['demo', '--out', mine], { env })
    expect(refused.exitCode).toBe(5)
    expect(refused.stderr).toContain('ALREADY_EXISTS')
    expect(readdirSync(mine)).toEqual(['thesis.txt'])
    rmSync(mine, { recursive: true })
  })

  it('cleans up after Ctrl-C in the middle, and exits with 130', async () => {
    const interrupted = await sealgate(['demo', '--out', join(root, 'never')], {
      cwd: root,
      env,
      onStart: (child) => void interruptWhen(() => processesNaming(`${temporary}/sealgate-demo-`).length >= 2, child),
    })
    expect(interrupted.exitCode).toBe(130)
    expect(interrupted.stderr).toContain('CANCELLED')
    expect(existsSync(join(root, 'never'))).toBe(false)
    expect(readdirSync(temporary)).toEqual([])
    expect(processesNaming(temporary)).toEqual([])
  })
})

/** Interrupts a process as soon as something has happened. */
async function interruptWhen(happened: () => boolean, child: { kill(signal: NodeJS.Signals): boolean }): Promise<void> {
  while (!happened()) await delay(10)
  child.kill('SIGINT')
}
