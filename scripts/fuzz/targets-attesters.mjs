import { encode } from 'cbor2'

/** Answers of the Nitro Secure Module: a document, an error. */
const ANSWERS = [{ Attestation: { document: new Uint8Array(40).fill(7) } }, { Error: 'InvalidArgument' }]

export const attesterTargets = [
  {
    name: 'nsm-answer',
    async open({ load }) {
      const { parseNsmAnswer } = await load('host/attesters/nitro.js')
      return { seeds: ANSWERS.map((answer) => encode(answer)), run: (input) => parseNsmAnswer(input, 'fuzz') }
    },
  },
  {
    name: 'nvml-structures',
    maxSize: 16 * 1024,
    async open({ load, tolerate }) {
      const layout = await load('host/attesters/nvml/layout.js')
      const nonce = new Uint8Array(32).fill(7)
      const report = layout.encodeReportStruct(nonce)
      report.set([0xd1, 0x0f], layout.REPORT_STRUCT.reportSize)
      report.set(nonce, layout.REPORT_STRUCT.report + 4)
      const sized = (input, size) => {
        const bytes = new Uint8Array(size)
        bytes.set(input.subarray(0, size))
        return bytes
      }
      const run = (input) => {
        tolerate(() => layout.readReportStruct(sized(input, layout.REPORT_STRUCT.size), nonce))
        tolerate(() => layout.readCertificateStruct(sized(input, layout.CERTIFICATE_STRUCT.size)))
        for (const size of [layout.STATE_SIZE, layout.SETTINGS_SIZE]) tolerate(() => layout.readState(sized(input, size)))
        tolerate(() => layout.readText(input, 'fuzz'))
      }
      return { seeds: [report], run }
    },
  },
]
