import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createGatewayFolder } from '../../../src/cli/folders/gateway-folder.ts'
import { createSimulatedHost } from '../../../src/cli/folders/host-folder.ts'
import { createIdentityFolder } from '../../../src/cli/folders/identity-folder.ts'
import { createOwner } from '../../../src/cli/folders/owner-folder.ts'
import { addTrust } from '../../../src/cli/folders/trust.ts'
import { examineGateway, type Finding } from '../../../src/cli/gateway-doctor.ts'
import { loadIdentity, loadOwner, loadTrustFile } from '../../../src/client/index.ts'
import { loadConfig, loadKeys } from '../../../src/gateway/index.ts'
import { createSimulatedTee, sevSnpTee } from '../../../src/sim/index.ts'
import { encodeTrustFile } from '../../../src/verify/documents/trust.ts'
import { testMlDsaKey } from '../../support/keys.ts'
import { platform } from '../../support/receipt-builder.ts'

const otherMlDsa = (await testMlDsaKey('other')).key
const AT = new Date('2026-06-01T12:00:00Z')
const root = mkdtempSync(join(tmpdir(), 'sealgate-test-'))
const path = (...names: readonly string[]): string => join(root, ...names)
const gateway = { folder: path('gw'), name: 'clinic', listen: '127.0.0.1:7443', publicAddress: 'gateway.example:443', at: AT }
const exists = expect.objectContaining({ code: 'ALREADY_EXISTS' })

beforeAll(async () => {
  await createGatewayFolder(gateway)
  for (const [role, name] of [
    ['client', 'alice'],
    ['host', 'host1'],
  ] as const) {
    await createIdentityFolder({ gateway: path('gw'), folder: path(name), role, name, rsa: false, at: AT })
  }
  await createOwner({ folder: path('alice'), trust: path('gw/trust.json'), suite: 'MLKEM768-X25519,HKDF-SHA256,AES-256-GCM' })
  await createSimulatedHost(path('host1'), sevSnpTee(platform))
})
afterAll(() => rmSync(root, { recursive: true }))

describe('folders', () => {
  it('of a gateway are what the gateway reads', () => {
    expect(loadConfig(path('gw'))).toMatchObject({ name: 'clinic', listen: '127.0.0.1:7443', simulatedRoots: [] })
    expect(loadKeys(path('gw')).log.origin).toBe('sealgate/clinic')
  })

  it('keep every private file for their owner alone', () => {
    const isPrivate = /(\.key|\.key\.json|sim-platform\.json)$/
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((e) => e.isFile() && isPrivate.test(e.name))
    expect(files.map((f) => f.name).sort()).toEqual([
      'ca.key',
      'grant.key.json',
      'log.key.json',
      'ml-dsa.key.json',
      'recipient.key.json',
      'signing.key.json',
      'sim-platform.json',
      'submit.key.json',
      'tls.key',
      'tls.key',
      'tls.key',
    ])
    for (const file of files) expect(statSync(join(file.parentPath, file.name)).mode & 0o777).toBe(0o600)
    for (const folder of ['gw', 'alice', 'host1', 'alice/keyring']) expect(statSync(path(folder)).mode & 0o777).toBe(0o700)
  })

  it('name the address that others dial', async () => {
    expect((await loadIdentity(path('alice'))).file).toMatchObject({ role: 'client', name: 'alice', gateway: 'gateway.example:443' })
  })

  it('are never overwritten', async () => {
    const before = readFileSync(path('gw/log.key.json'))
    await expect(createGatewayFolder(gateway)).rejects.toEqual(exists)
    await expect(
      createIdentityFolder({ gateway: path('gw'), folder: path('alice'), role: 'client', name: 'bob', rsa: false, at: AT }),
    ).rejects.toEqual(exists)
    await expect(
      createOwner({ folder: path('alice'), trust: path('gw/trust.json'), suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM' }),
    ).rejects.toEqual(exists)
    await expect(createSimulatedHost(path('host1'), sevSnpTee(platform))).rejects.toEqual(exists)
    expect(readFileSync(path('gw/log.key.json'))).toEqual(before)
  })

  it('of a simulated TDX host hold the collateral that its quotes need', async () => {
    await createIdentityFolder({ gateway: path('gw'), folder: path('host2'), role: 'host', name: 'host2', rsa: false, at: AT })
    const tee = await createSimulatedTee('tdx', AT)
    const { collateralPath } = await createSimulatedHost(path('host2'), tee)
    expect(collateralPath).toBe(path('host2/simulated-collateral.json'))
    expect(new Uint8Array(readFileSync(path('host2/simulated-collateral.json')))).toEqual(tee.collateral)
    expect(readdirSync(path('host1'))).not.toContain('simulated-collateral.json')
  })

  it('refuse the role that they are not for', async () => {
    const usage = expect.objectContaining({ code: 'USAGE' })
    await expect(
      createOwner({ folder: path('host1'), trust: path('gw/trust.json'), suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM' }),
    ).rejects.toEqual(usage)
    await expect(createSimulatedHost(path('alice'), sevSnpTee(platform))).rejects.toEqual(usage)
  })

  it('give an owner a trust file that knows gateway, log and itself, and no simulator', async () => {
    const trust = await loadTrustFile(path('alice/trust.json'))
    expect(trust.owners).toEqual([(await loadOwner(path('alice'))).grantThumbprint])
    expect(trust.logs).toHaveLength(1)
    expect(trust.simulatedRoots).toEqual([])
  })
})

describe('gateway doctor', () => {
  const keysOf = async (folder: string): Promise<Finding | undefined> =>
    (await examineGateway(folder, AT)).find(({ check }) => check === 'keys')

  it('finds an ML-DSA key that is gone, or another than others trust', async () => {
    const folder = path('gw-doctor')
    await createGatewayFolder({ ...gateway, folder })
    expect(await keysOf(folder)).toMatchObject({ outcome: 'ok' })
    const problem = { outcome: 'problem', detail: expect.stringContaining('DOCUMENT_INVALID') }
    writeFileSync(join(folder, 'ml-dsa.key.json'), JSON.stringify((await testMlDsaKey('other')).jwk))
    expect(await keysOf(folder)).toMatchObject(problem)
    writeFileSync(
      join(folder, 'ml-dsa.key.json'),
      JSON.stringify({ ...(await testMlDsaKey('other')).jwk, pub: loadKeys(path('gw')).mlDsa?.pub }),
    )
    expect(await keysOf(folder)).toMatchObject(problem)
    rmSync(join(folder, 'ml-dsa.key.json'))
    expect(await keysOf(folder)).toMatchObject(problem)
    rmSync(folder, { recursive: true })
  })
})

describe('trust add', () => {
  it('adds a simulated root to trust file and gateway once, and keeps what was there', async () => {
    const before = await loadTrustFile(path('gw/trust.json'))
    const additions = { from: null, simulatedRoots: [path('host1/simulated-root.pem')], owners: [] }
    await addTrust(path('gw'), additions)
    expect(await addTrust(path('gw'), additions)).toEqual([path('gw/trust.json'), path('gw/gateway.json')])
    const after = await loadTrustFile(path('gw/trust.json'))
    expect(after).toEqual({ ...before, simulatedRoots: after.simulatedRoots })
    expect(after.simulatedRoots).toHaveLength(1)
    expect(loadConfig(path('gw')).simulatedRoots).toEqual(after.simulatedRoots)
  })

  it('names the ML-DSA key that receipts of the gateway must be signed by', async () => {
    const { mlDsa } = loadKeys(path('gw'))
    const [named] = (await loadTrustFile(path('gw/trust.json'))).gateways
    expect(mlDsa).not.toBe(null)
    expect(named?.mlDsa).toEqual({ alg: 'ML-DSA-65', kty: 'AKP', pub: mlDsa?.pub })
    expect(readFileSync(path('gw/trust.json'), 'utf8')).not.toContain(mlDsa?.priv)
  })

  it('never takes the demand for an ML-DSA signature away, adds one, and refuses a second key', async () => {
    const full = await loadTrustFile(path('gw/trust.json'))
    const bare = { ...full, gateways: full.gateways.map(({ crv, kty, x }) => ({ crv, kty, x })) }
    const other = { ...full, gateways: full.gateways.map((g) => ({ ...g, mlDsa: otherMlDsa })) }
    for (const [name, trust] of Object.entries({ full, bare, other })) writeFileSync(path(`${name}.json`), encodeTrustFile(trust))
    const from = (file: string) => ({ from: path(file), simulatedRoots: [], owners: [] })
    await addTrust(path('full.json'), from('bare.json'))
    expect((await loadTrustFile(path('full.json'))).gateways).toEqual(full.gateways)
    await addTrust(path('bare.json'), from('full.json'))
    expect((await loadTrustFile(path('bare.json'))).gateways).toEqual(full.gateways)
    await expect(addTrust(path('full.json'), from('other.json'))).rejects.toEqual(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
    expect((await loadTrustFile(path('full.json'))).gateways).toEqual(full.gateways)
  })

  it('merges another trust file', async () => {
    await createGatewayFolder({ ...gateway, folder: path('gw2'), name: 'other' })
    await addTrust(path('alice/trust.json'), { from: path('gw2/trust.json'), simulatedRoots: [], owners: [] })
    expect((await loadTrustFile(path('alice/trust.json'))).logs.map((l) => l.origin)).toEqual(['sealgate/clinic', 'sealgate/other'])
  })

  it('rejects a root that is no certificate', async () => {
    writeFileSync(path('text.pem'), 'no certificate')
    const adding = addTrust(path('alice'), { from: null, simulatedRoots: [path('text.pem')], owners: [] })
    await expect(adding).rejects.toThrow()
  })
})
