import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { main } from '../../../src/cli/main.ts'
import { attest, reissueCrl } from '../../../src/sim/index.ts'
import { simulatedPlatform } from '../../support/simulated-platform.ts'
import { simulatedKds, VendorServer } from '../../support/vendor-servers.ts'

const DAY_MS = 24 * 3600 * 1000
/** The command goes by the clock of the machine, so the CRL holds around today. */
const platform = await reissueCrl(simulatedPlatform(), {
  thisUpdate: new Date(Date.now() - DAY_MS),
  nextUpdate: new Date(Date.now() + 30 * DAY_MS),
})

let folder: string
let kds: VendorServer
let trust: readonly string[]
const at = (name: string): string => join(folder, name)

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-cli-collateral-'))
  kds = await VendorServer.start(simulatedKds(platform))
  writeFileSync(at('root.der'), platform.root.certificate)
  writeFileSync(at('report.bin'), attest(platform, { reportData: new Uint8Array(64), measurement: new Uint8Array(48) }).report)
  trust = ['--trust-anchor', at('root.der')]
})
afterEach(async () => {
  await kds.stop()
  rmSync(folder, { recursive: true, force: true })
})

interface Answer {
  readonly decision?: string
  readonly claims?: { readonly simulated: boolean }
  readonly answers?: readonly { readonly freshness: string }[]
  readonly failed?: readonly { readonly code: string }[]
}

/** Runs a command. `json` is what stood on stdout, if anything did. */
async function run(...args: readonly string[]): Promise<{ code: number; json: Answer | null; text: string }> {
  let [out, err] = ['', '']
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text)
    return true
  })
  try {
    const code = await main(args)
    return { code, json: out === '' ? null : (JSON.parse(out) as Answer), text: err }
  } finally {
    stdout.mockRestore()
    stderr.mockRestore()
  }
}

describe('sealgate collateral', () => {
  it('fetches into a folder that verify takes as it is', async () => {
    const fetched = await run('collateral', 'fetch', at('certs'), at('report.bin'), '--amd-kds', kds.url, ...trust, '--json')
    expect(fetched).toMatchObject({ code: 0, json: { failed: [] } })
    expect(fetched.json?.answers?.map((a) => a.freshness)).toEqual(['fresh', 'fresh', 'fresh'])
    const verified = await run('verify', at('report.bin'), '--collateral', at('certs'), ...trust, '--json')
    expect(verified.json).toMatchObject({ decision: 'accept', claims: { simulated: true } })
  })

  it('carries a bundle to a folder without a network', async () => {
    await run('collateral', 'fetch', at('a'), at('report.bin'), '--amd-kds', kds.url, ...trust)
    expect(await run('collateral', 'export', at('a'), at('bundle.json'), ...trust)).toMatchObject({
      code: 0,
      text: `In ${at('bundle.json')}: 3 answers.\n`,
    })
    await kds.stop()
    expect(await run('collateral', 'import', at('b'), at('bundle.json'), ...trust)).toMatchObject({ code: 0 })
    const shown = await run('collateral', 'show', at('b'), ...trust)
    expect(shown).toMatchObject({ code: 0, json: null })
    expect(shown.text).toContain('amd/crl/vcek/Genoa')
    expect((await run('verify', at('report.bin'), '--collateral', at('b'), ...trust, '--json')).json).toMatchObject({ decision: 'accept' })
  })

  it('says what could not be had, and ends in 6', async () => {
    await kds.stop()
    const { code, json } = await run('collateral', 'fetch', at('certs'), at('report.bin'), '--amd-kds', kds.url, ...trust, '--json')
    expect(code).toBe(6)
    expect(json?.failed?.map((f) => f.code)).toEqual(['COLLATERAL_MISSING', 'COLLATERAL_MISSING'])
    const { text } = await run('collateral', 'fetch', at('certs'), at('report.bin'), '--amd-kds', kds.url, ...trust)
    expect(text).toMatch(/failed {2}amd\/vcek\/Genoa\/[0-9a-f]{16}…\/[0-9a-f]{16}: /)
  })

  it('imports nothing that no trusted root signed, and ends in 4', async () => {
    writeFileSync(at('crl'), platform.crl)
    const { code, text } = await run('collateral', 'import', at('certs'), at('crl'))
    expect(code).toBe(4)
    expect(text).toContain('CHAIN_INVALID')
    expect((await run('collateral', 'show', at('certs'), '--json')).json).toEqual({ answers: [] })
  })

  it('takes no endpoint without TLS, and ends in 2', async () => {
    expect(await run('collateral', 'fetch', at('certs'), '--amd-kds', 'http://vendor.example')).toMatchObject({ code: 2 })
  })
})
