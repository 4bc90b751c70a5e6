import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  CERTIFICATE_STRUCT,
  encodeReportStruct,
  REPORT_STRUCT,
  readCertificateStruct,
  readReportStruct,
} from '../../../../../src/host/attesters/nvml/layout.ts'
import { testBytes } from '../../../../support/keys.ts'
import { readVector, vectorsFolder } from '../../../../support/vectors.ts'
import { setU32 } from '../fake-ioctl.ts'

const folder = vectorsFolder('nvidia-gpu')
const names = folder === null ? [] : readdirSync(join(folder, 'evidence')).filter((f) => /^gpu-.*\.report\.bin$/.test(f))

describe.skipIf(folder === null)('real reports of GPUs', () => {
  it.each(names)('%s comes out of the structure that NVML would fill, for its own nonce alone', (name) => {
    const report = readVector(folder ?? '', `evidence/${name}`)
    const nonce = report.slice(4, 36)
    const struct = encodeReportStruct(nonce)
    setU32(struct, REPORT_STRUCT.reportSize, report.length)
    struct.set(report, REPORT_STRUCT.report)
    expect(readReportStruct(struct, nonce)).toEqual(report)
    expect(() => readReportStruct(struct, testBytes('another', 32))).toThrow(expect.objectContaining({ code: 'ATTESTER_UNAVAILABLE' }))
  })

  it.each(names)('the chain of %s fits and comes out as it was, with or without the end of a C string', (name) => {
    const chain = readVector(folder ?? '', `evidence/${name.replace('.report.bin', '.chain.pem')}`)
    for (const end of [0, 1]) {
      const struct = new Uint8Array(CERTIFICATE_STRUCT.size)
      setU32(struct, CERTIFICATE_STRUCT.attestationChainSize, chain.length + end)
      struct.set(chain, CERTIFICATE_STRUCT.attestationChain)
      expect(readCertificateStruct(struct)).toEqual(chain)
    }
  })
})

describe('structures of nvml.h', () => {
  it('end where their last member ends', () => {
    expect(REPORT_STRUCT.report + REPORT_STRUCT.maxReport + 0x1000).toBe(REPORT_STRUCT.size)
    expect(CERTIFICATE_STRUCT.attestationChain + CERTIFICATE_STRUCT.maxChain).toBe(CERTIFICATE_STRUCT.size)
  })

  it('are zero but for the nonce, which has 32 bytes', () => {
    const struct = encodeReportStruct(new Uint8Array(32).fill(1))
    expect(struct.findIndex((b) => b !== 0)).toBe(12)
    expect(struct.reduce((n, b) => n + b, 0)).toBe(32)
    for (const size of [0, 31, 33, 64]) expect(() => encodeReportStruct(new Uint8Array(size))).toThrow(`device nonce of ${size} bytes`)
  })
})
