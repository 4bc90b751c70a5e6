import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { sealgate } from '../support/processes.ts'
import { ccaRuns, cpuRuns, entriesOf, nitroRuns, nvidiaRuns, tpmRuns, type VerifyRun } from '../support/verify-runs.ts'

const scratch = mkdtempSync(join(tmpdir(), 'sealgate-verify-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function write(name: string, text: string): string {
  const path = join(scratch, name)
  writeFileSync(path, text)
  return path
}

const RUNS: Readonly<Record<string, readonly VerifyRun[]>> = {
  'sev-snp': cpuRuns('sev-snp', 3),
  tdx: cpuRuns('tdx', 4),
  sgx: cpuRuns('sgx', 4),
  nitro: nitroRuns(),
  'arm-cca': ccaRuns(),
  tpm: tpmRuns(),
  'nvidia-gpu': nvidiaRuns(write),
}

describe.each(Object.entries(RUNS))('sealgate verify, %s', (room, runs) => {
  it.skipIf(entriesOf(room) === null)(
    'ends as every entry of the manifest says',
    async () => {
      const wrong: string[] = []
      const counts: Record<string, number> = {}
      const judge = async ({ id, args, exits, verdict = {} }: VerifyRun): Promise<void> => {
        const { exitCode, stdout, stderr } = await sealgate(['verify', ...args, '--json'])
        const code = exitCode ?? -1
        counts[`exit ${code}`] = (counts[`exit ${code}`] ?? 0) + 1
        if (!exits.includes(code)) wrong.push(`${id}: ${code}, want ${exits.join(' or ')}: ${stderr.slice(0, 300)}`)
        else expect([id, stderr, JSON.parse(stdout)]).toMatchObject([id, '', { ...verdict, decision: code === 0 ? 'accept' : 'reject' }])
      }
      // Two at a time: most of a run is the start of its process.
      const queue = [...runs]
      const work = async (): Promise<void> => {
        for (let run = queue.shift(); run !== undefined; run = queue.shift()) await judge(run)
      }
      await Promise.all([work(), work()])
      console.info(`sealgate verify, ${room}: ${runs.length} command lines, ${JSON.stringify(counts)}`)
      expect(wrong).toEqual([])
      expect(runs.length).toBeGreaterThan(0)
    },
    600_000,
  )
})
