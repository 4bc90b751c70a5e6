import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { simulatedMeasurement } from '../../../../src/host/attesters/agent-measurement.ts'
import { createAttester } from '../../../../src/host/attesters/index.ts'
import { encodeSimulatedPlatform } from '../../../../src/sim/index.ts'
import { equal, toHex } from '../../../../src/verify/bytes/bytes.ts'
import { verifyEvidence } from '../../../../src/verify/verify-evidence.ts'
import { platform } from '../../../support/receipt-builder.ts'
import { subjectOf } from '../fakes.ts'

let folder: string
let platformFile: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'attester-'))
  platformFile = join(folder, 'sim-platform.json')
  await writeFile(platformFile, encodeSimulatedPlatform(platform))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const absent = '/proc/sealgate-no-such-folder'
const paths = { 'configfs-tsm': absent, 'sev-guest': absent, nitro: absent, tpm: absent }
const reportData = new Uint8Array(64).fill(3)
const subject = subjectOf(reportData)

describe('choice of an attester', () => {
  it('takes the simulated TEE of the folder where the kernel has none, and says so', async () => {
    const attester = await createAttester('auto', { platformFile, paths })
    expect(attester).toMatchObject({ format: 'sev-snp', simulated: true })
  })

  it('never falls back from a TEE of the kernel that it cannot use', async () => {
    const attempt = createAttester('auto', { platformFile, paths: { ...paths, 'configfs-tsm': folder } })
    await expect(attempt).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('takes what the machine has before what the folder has, configfs-tsm first', async () => {
    const device = { platformFile, paths: { ...paths, 'sev-guest': '/dev/null', nitro: '/dev/null' } }
    await expect(createAttester('auto', device)).resolves.toMatchObject({ format: 'sev-snp', simulated: false })
    await expect(createAttester('nitro', device)).resolves.toMatchObject({ format: 'nitro', simulated: false })
    await expect(createAttester('auto', { ...device, paths: { ...device.paths, 'sev-guest': absent } })).resolves.toMatchObject({
      format: 'nitro',
    })
    const broken = { ...device, paths: { ...device.paths, 'configfs-tsm': folder } }
    await expect(createAttester('auto', broken)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE', at: folder })
  })

  it('takes a TPM only by name', async () => {
    const device = { platformFile, paths: { ...paths, tpm: '/dev/null' } }
    await expect(createAttester('auto', device)).resolves.toMatchObject({ format: 'sev-snp', simulated: true })
    await expect(createAttester('tpm', device)).resolves.toMatchObject({ format: 'tpm', simulated: false })
    await expect(createAttester('tpm', { platformFile, paths })).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(createAttester('tpm', { paths: { tpm: 'tcp:127.0.0.1:1' } })).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('has no simulated TEE without a file that holds its keys', async () => {
    for (const kind of ['auto', 'sim'] as const) {
      await expect(createAttester(kind, { paths })).rejects.toMatchObject({
        code: 'ATTESTER_UNAVAILABLE',
        message: expect.stringContaining('no host folder'),
      })
    }
  })

  it('fails where there is neither, and where the one asked for is missing', async () => {
    const none = { platformFile: join(folder, 'absent.json'), paths }
    await expect(createAttester('auto', none)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(createAttester('sim', none)).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
    await expect(createAttester('configfs-tsm', { platformFile, paths })).rejects.toMatchObject({ code: 'ATTESTER_UNAVAILABLE' })
  })

  it('refuses a damaged platform file', async () => {
    await writeFile(platformFile, '{}')
    await expect(createAttester('sim', { platformFile })).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' })
  })

  it('does not let a real TEE be told what to claim', async () => {
    const lie = { platformFile, paths: { ...paths, 'configfs-tsm': folder }, dangerouslyClaimMeasurement: new Uint8Array(48) }
    await expect(createAttester('auto', lie)).rejects.toMatchObject({ code: 'USAGE' })
  })
})

describe('simulated attester', () => {
  it('signs reports that verify under its own root only, as simulated, with the measurement of this program', async () => {
    const attester = await createAttester('sim', { platformFile })
    const { report, endorsements } = await attester.attest(subject)
    const options = { collateral: endorsements, at: new Date('2026-06-01T00:00:00Z'), allowUnknown: [] }
    const trusted = await verifyEvidence(report, { ...options, trustAnchors: [platform.root.certificate] })
    if (trusted.decision !== 'accept') throw new Error('rejected')
    expect(trusted.claims).toMatchObject({
      simulated: true,
      reportData: toHex(reportData),
      measurement: toHex(await simulatedMeasurement()),
    })
    const untrusted = await verifyEvidence(report, { ...options, trustAnchors: [] })
    expect(untrusted.decision).toBe('reject')
  })

  it('can be made to lie about its measurement, for demonstrations', async () => {
    const claimed = new Uint8Array(48).fill(0xee)
    const attester = await createAttester('sim', { platformFile, dangerouslyClaimMeasurement: claimed })
    const { report } = await attester.attest(subject)
    expect(report.subarray(0x90, 0xc0)).toEqual(claimed)
  })
})

describe('simulated measurement', () => {
  const rooms = ['host', 'rpc', 'seal', 'sim', 'verify']
  const source = fileURLToPath(new URL('../../../../src/', import.meta.url))

  async function copy(): Promise<string> {
    const to = join(folder, 'program')
    await mkdir(to)
    for (const room of rooms) await cp(join(source, room), join(to, room), { recursive: true })
    return to
  }

  it('is the same for the same files, wherever they lie', async () => {
    const first = await simulatedMeasurement()
    expect(first).toHaveLength(48)
    expect(equal(await simulatedMeasurement(await copy()), first)).toBe(true)
  })

  it('changes with any program file that is changed, added, renamed or removed', async () => {
    const root = await copy()
    const original = toHex(await simulatedMeasurement(root))
    const seen = new Set([original])
    const changes = [
      () => writeFile(join(root, 'host/index.ts'), '// changed\n'),
      () => writeFile(join(root, 'verify/added.ts'), ''),
      () => cp(join(root, 'verify/added.ts'), join(root, 'seal/added.ts')),
      () => rm(join(root, 'rpc/index.ts')),
    ]
    for (const change of changes) {
      await change()
      seen.add(toHex(await simulatedMeasurement(root)))
    }
    expect(seen.size).toBe(changes.length + 1)
  })

  it('does not change with what is no program', async () => {
    const root = await copy()
    const original = await simulatedMeasurement(root)
    await writeFile(join(root, 'host/README.md'), 'other words')
    await writeFile(join(root, 'host/index.d.ts'), '')
    expect(equal(await simulatedMeasurement(root), original)).toBe(true)
  })
})
