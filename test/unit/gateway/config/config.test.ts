import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadCollateral } from '../../../../src/gateway/collateral/local.ts'
import { logHeadPath } from '../../../../src/gateway/config/config.ts'
import { exposedKeyFiles, loadKeys } from '../../../../src/gateway/config/keys.ts'
import { GATEWAY_FILES, loadConfig } from '../../../../src/gateway/index.ts'
import { toBase64 } from '../../../../src/verify/bytes/bytes.ts'
import { testKey, testMlDsaKey } from '../../../support/keys.ts'
import { platform } from '../../../support/receipt-builder.ts'

let folder: string
const write = (name: string, text: string | Uint8Array): void => writeFileSync(join(folder, name), text, { mode: 0o600 })

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealgate-config-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const GOOD = { v: 1, name: 'gw', listen: '127.0.0.1:7443', simulatedRoots: [] }

describe('gateway.json', () => {
  it('has limits even where it names none', () => {
    write(GATEWAY_FILES.config, JSON.stringify(GOOD))
    expect(loadConfig(folder)).toMatchObject({ ...GOOD, allowUnknown: [], limits: { connections: 1024, attestationSeconds: 3600 } })
  })

  it('may ask more of hosts than the default does, or let them pass', () => {
    const hostRequirements = { sevSnp: { products: ['Genoa'] }, tdx: { acceptedTcbStatuses: ['SWHardeningNeeded', 'UpToDate'] } }
    write(GATEWAY_FILES.config, JSON.stringify({ ...GOOD, hostRequirements }))
    expect(loadConfig(folder).hostRequirements).toEqual(hostRequirements)
  })

  it.each([
    ['a member that nobody knows', { ...GOOD, debug: true }],
    ['a name of another form', { ...GOOD, name: 'Gateway 1' }],
    ['a limit of zero', { ...GOOD, limits: { connections: 0 } }],
    ['a root that is not base64url', { ...GOOD, simulatedRoots: ['+++'] }],
    ['an unknown that says whether evidence is genuine', { ...GOOD, allowUnknown: ['signature'] }],
    ['a requirement that nobody knows', { ...GOOD, hostRequirements: { tdx: { septVe: true } } }],
    ['another version', { ...GOOD, v: 2 }],
    ['a log setting that nobody knows', { ...GOOD, log: { public: true } }],
    ['no connection for readers of the log', { ...GOOD, log: { publicConnections: 0 } }],
  ])('is refused with %s, naming the file', (_what, config) => {
    write(GATEWAY_FILES.config, JSON.stringify(config))
    expect(() => loadConfig(folder)).toThrow(
      expect.objectContaining({ code: 'DOCUMENT_INVALID', message: expect.stringContaining(folder) }),
    )
  })

  it('keeps the head of the log beside the database, or where it is told', () => {
    write(GATEWAY_FILES.config, JSON.stringify(GOOD))
    expect(loadConfig(folder).log).toEqual({ publicTls: false, publicConnections: 256 })
    expect(logHeadPath(folder, loadConfig(folder))).toBe(join(folder, 'log.head'))
    write(GATEWAY_FILES.config, JSON.stringify({ ...GOOD, log: { headFile: '/mnt/other/log.head' } }))
    expect(logHeadPath(folder, loadConfig(folder))).toBe('/mnt/other/log.head')
  })

  it('says so when it is missing or no JSON', () => {
    expect(() => loadConfig(folder)).toThrow(
      expect.objectContaining({ code: 'FILE_UNREADABLE', message: expect.stringContaining('ENOENT') }),
    )
    write(GATEWAY_FILES.config, '{')
    expect(() => loadConfig(folder)).toThrow(expect.objectContaining({ code: 'JSON_MALFORMED' }))
  })
})

describe('keys', () => {
  const signing = testKey('gateway').jwk
  const log = { ...testKey('log').jwk, origin: 'log.example/sealgate' }
  beforeEach(() => {
    for (const name of [GATEWAY_FILES.tlsKey, GATEWAY_FILES.tlsCert, GATEWAY_FILES.ca]) write(name, 'PEM')
    write(GATEWAY_FILES.signingKey, JSON.stringify(signing))
    write(GATEWAY_FILES.logKey, JSON.stringify(log))
  })

  it('are read from their files', () => {
    expect(loadKeys(folder)).toMatchObject({ signing, log, tls: { ca: 'PEM' } })
  })

  it('of ML-DSA are read where there is a file of them, and may be missing', async () => {
    expect(loadKeys(folder).mlDsa).toBe(null)
    const { jwk } = await testMlDsaKey('gateway')
    write(GATEWAY_FILES.mlDsaKey, JSON.stringify(jwk))
    expect(loadKeys(folder).mlDsa).toEqual(jwk)
    for (const bad of [{ ...jwk, alg: 'ML-DSA-44' }, { ...jwk, kid: 'a' }, { ...jwk, priv: jwk.priv.slice(4) }, signing]) {
      write(GATEWAY_FILES.mlDsaKey, JSON.stringify(bad))
      expect(() => loadKeys(folder)).toThrow(
        expect.objectContaining({ code: 'DOCUMENT_INVALID', message: expect.not.stringContaining(jwk.priv) }),
      )
    }
  })

  it('are refused when their halves do not match', () => {
    write(GATEWAY_FILES.signingKey, JSON.stringify({ ...signing, x: log.x }))
    expect(() => loadKeys(folder)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID' }))
  })

  it('never stand in an error', () => {
    for (const text of [JSON.stringify({ ...signing, extra: 1 }), JSON.stringify(signing).slice(0, -1)]) {
      write(GATEWAY_FILES.signingKey, text)
      const error = ((): Error => {
        try {
          loadKeys(folder)
        } catch (e) {
          return e as Error
        }
        throw new Error('was accepted')
      })()
      expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain(signing.d)
    }
  })

  it('are named when others may read them', () => {
    expect(exposedKeyFiles(folder)).toEqual([])
    chmodSync(join(folder, GATEWAY_FILES.logKey), 0o644)
    write(GATEWAY_FILES.mlDsaKey, '{}')
    chmodSync(join(folder, GATEWAY_FILES.mlDsaKey), 0o640)
    expect(exposedKeyFiles(folder)).toEqual([join(folder, GATEWAY_FILES.mlDsaKey), join(folder, GATEWAY_FILES.logKey)])
  })
})

describe('collateral', () => {
  const pem = (der: Uint8Array, label: string): string => `-----BEGIN ${label}-----\n${toBase64(der)}\n-----END ${label}-----\n`

  it('is read by content, PEM or DER, certificates and CRLs', async () => {
    mkdirSync(join(folder, 'collateral'))
    write('collateral/a', platform.vek.certificate)
    write('collateral/b', `${pem(platform.intermediate.certificate, 'CERTIFICATE')}${pem(platform.crl, 'X509 CRL')}`)
    expect(await loadCollateral(join(folder, 'collateral'))).toEqual([
      platform.vek.certificate,
      platform.intermediate.certificate,
      platform.crl,
    ])
  })

  it('may be missing altogether', async () => {
    expect(await loadCollateral(join(folder, 'collateral'))).toEqual([])
  })

  it.each([
    ['text', 'hello'],
    ['a cut certificate', platform.vek.certificate.subarray(0, 500)],
    ['a key', pem(new Uint8Array([0x30, 0x03, 2, 1, 0]), 'PRIVATE KEY')],
    ['nothing', ''],
  ])('is refused when a file holds %s, naming it', async (_what, content) => {
    mkdirSync(join(folder, 'collateral'))
    write('collateral/odd', content)
    await expect(loadCollateral(join(folder, 'collateral'))).rejects.toMatchObject({
      code: expect.stringMatching(/MALFORMED|INVALID/),
      at: expect.stringContaining('odd'),
    })
  })
})
