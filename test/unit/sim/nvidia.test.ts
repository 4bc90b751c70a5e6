import { X509Certificate } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  ARCHITECTURES,
  attestDevices,
  createSimulatedDevices,
  createSimulatedNvidia,
  devicePairs,
  encodePem,
  endorseDevices,
  rimPairs,
  type SimulatedDevices,
  type SimulatedNvidia,
} from '../../../src/sim/index.ts'
import { fromUtf8, toHex } from '../../../src/verify/bytes/bytes.ts'
import { parseDeviceReport } from '../../../src/verify/evidence/nvidia/parse.ts'
import { parseOcspResponse } from '../../../src/verify/formats/ocsp.ts'
import { ANSWERED, MADE } from '../../support/nvidia.ts'

let nvidia: SimulatedNvidia
let system: SimulatedDevices
beforeAll(async () => {
  nvidia = await createSimulatedNvidia({ at: MADE })
  system = await createSimulatedDevices(nvidia, { architecture: 'GH100', mode: 'PPCIE', gpus: 2, switches: 2 })
})

describe('a simulated NVIDIA', () => {
  it('says in every certificate that it is simulated', () => {
    const chains = [...system.gpus, ...system.switches].flatMap(({ chain }) => chain)
    const others = Object.values(nvidia.rims).flatMap(({ ca, intermediate, signer }) => [ca, intermediate, signer, ca.responder])
    for (const certificate of [...chains, nvidia.rimRoot.certificate, ...others.map((o) => o.certificate)]) {
      const { subject, issuer } = new X509Certificate(certificate)
      expect(subject).toContain('O=SIMULATED by sealgate')
      expect(issuer).toContain('O=SIMULATED by sealgate')
    }
    for (const root of [nvidia.deviceRoot, nvidia.rimRoot])
      expect(new X509Certificate(root.certificate).subject).toMatch(/CN=SIMULATED NVIDIA /)
  })

  it('names each device by its PDI, in certificates and in the reports of those that it is linked to', () => {
    const reports = attestDevices(system, [new Uint8Array(32)]).map(({ report }) => parseDeviceReport(report).device)
    const serials = [...system.gpus, ...system.switches].map(({ chain }) =>
      new X509Certificate(chain[1] ?? new Uint8Array()).serialNumber.toLowerCase(),
    )
    const pdis = [...system.gpus, ...system.switches].map(({ pdi }) => toHex(pdi))
    expect(serials).toEqual(pdis.map((pdi, i) => (i < 2 ? '41' : '50') + pdi))
    const [gpu, , nvswitch] = reports
    expect(gpu?.kind === 'gpu' && gpu.switchPdis).toEqual(pdis.slice(2).sort())
    expect(nvswitch?.kind === 'switch' && nvswitch.gpuPdis?.slice(0, 2)).toEqual(pdis.slice(0, 2))
  })

  it('gives each device the nonce that is its own, in reports that differ', () => {
    const nonces = [1, 2, 3, 4].map((n) => new Uint8Array(32).fill(n))
    const reports = attestDevices(system, nonces).map(({ report }) => parseDeviceReport(report))
    expect(reports.map(({ requestNonce }) => requestNonce)).toEqual(nonces)
    expect(new Set(reports.map(({ responderNonce }) => toHex(responderNonce))).size).toBe(4)
    expect(reports.map(({ measurements }) => measurements.length)).toEqual([64, 64, 31, 31])
  })

  it('endorses each manifest and each certificate once', () => {
    const items = endorseDevices(nvidia, system, ANSWERED)
    const manifests = items
      .filter((bytes) => bytes[0] === '<'.charCodeAt(0))
      .map((bytes) => /colloquialVersion="([^"]*)"/.exec(fromUtf8(bytes))?.[1])
    expect(manifests).toEqual(['599.10.01', '96.00.FE.00.01', '96.10.FE.00.03'])
    const serials = items.slice(manifests.length).map((bytes) => parseOcspResponse(bytes).responses[0]?.serial)
    const pairs = [
      ...[...system.gpus, ...system.switches].flatMap((d) => devicePairs(nvidia, d)),
      ...rimPairs(nvidia, 'GH100'),
      ...rimPairs(nvidia, 'LS10'),
    ]
    expect(new Set(serials).size).toBe(serials.length)
    expect(serials).toHaveLength(new Set(pairs.map(({ certificate }) => toHex(certificate))).size)
  })

  it('hands out chains as PEM, leaf first, in lines that OpenSSL writes too', () => {
    const [{ certificateChain } = { certificateChain: new Uint8Array() }] = attestDevices(system, [new Uint8Array(32)])
    const [device] = system.gpus
    expect(fromUtf8(certificateChain)).toBe(device?.chain.map((der) => encodePem(der)).join(''))
    for (const der of device?.chain ?? []) expect(new X509Certificate(der).toString()).toBe(encodePem(der))
  })

  it('has as many measurements as the real devices', () => {
    expect(Object.values(ARCHITECTURES).map(({ driverIndices, biosIndices }) => driverIndices.length + biosIndices.length)).toEqual([
      33, 33, 31,
    ])
  })
})
