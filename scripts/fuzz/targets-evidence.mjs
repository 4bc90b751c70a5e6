import { assertRoundTrip, Violation } from './invariants.mjs'
import { golden, made, real, simulatedPlatform } from './seeds.mjs'

/** Offset and size of the TD report in a quote of version 5. */
const TD_REPORT = [54, 648]

/** Where a report goes on after its signature (AMD 56860 tables 23 and 136). */
const UNSIGNED_TAIL = 0x330

function quotes() {
  const all = ['tdx-v5.bin', 'tdx-v4.bin', 'sgx-v3.bin'].map(made)
  return [...all, ...real('tdx/evidence', /\.bin$/, 12), ...real('sgx/evidence', /\.bin$/, 12)]
}

function reports() {
  return [golden('018-evidence-bundle', 'report.bin'), ...real('sev-snp/evidence', /\.bin$/, 12)]
}

/** A table as AMD 56421 section 4.1.8.1 lays it out, with a VCEK, an ASK and an ARK. */
function certificateTable() {
  const { certificates } = simulatedPlatform()
  const guids = ['c0b406a4a803495297433fb6014cd0ae', '4ab7b379bbac4fe4a02f05aef327c782', '63da758de6644564adc5f4b93be8accd']
  const head = Buffer.alloc(24 * (guids.length + 1))
  let offset = head.length
  for (const [i, guid] of guids.entries()) {
    head.set(Buffer.from(guid, 'hex'), 24 * i)
    head.writeUInt32LE(offset, 24 * i + 16)
    head.writeUInt32LE(certificates[i].length, 24 * i + 20)
    offset += certificates[i].length
  }
  return Uint8Array.from(Buffer.concat([head, ...certificates]))
}

/** The same evidence in every wrapper that is taken off. */
function wrapped(report) {
  const table = certificateTable()
  const response = Buffer.concat([Buffer.alloc(32), report])
  response.writeUInt32LE(report.length, 4)
  const tsm = { provider: 'sev_guest', outblob: Buffer.from(report).toString('base64'), auxblob: Buffer.from(table).toString('base64') }
  const texts = [Buffer.from(report).toString('hex'), Buffer.from(report).toString('base64'), Buffer.from(report).toString('base64url')]
  return [response, Buffer.concat([report, table]), Buffer.from(JSON.stringify(tsm)), ...texts.map((text) => Buffer.from(text))]
}

/** Firmware leaves the rest of the buffer as it was. */
function withoutFiller(log) {
  const end = log.findLastIndex((byte) => byte !== 0xff)
  return log.slice(0, end + 17)
}

export function evidenceSeeds() {
  const [report, ...others] = reports()
  const bundle = golden('018-evidence-bundle', 'bundle.golden.json')
  const all = [report, ...wrapped(report), bundle, ...others, ...quotes(), ...real('sev-snp/tsm', /\.json$/)]
  return all.map((seed) => Uint8Array.from(seed))
}

export function collateralSeeds() {
  const { certificates, crl } = simulatedPlatform()
  const intel = ['tdx', 'sgx'].map((tee) => made(`${tee}-collateral.golden.json`))
  const { tcb_info: tcbInfo, tcb_info_signature: signature } = JSON.parse(Buffer.from(intel[0]).toString('utf8'))
  const answer = Buffer.from(`{"tcbInfo":${tcbInfo},"signature":"${signature}"}`)
  const more = [...real('tdx/collateral', /^tdx.*\.json$/, 4), ...real('sgx/collateral', /^sgx.*\.json$/, 4), ...real('roots', /\.pem$/, 2)]
  const table = Buffer.from(certificateTable())
  const texts = [table.toString('hex'), Buffer.from(crl).toString('base64')].map((text) => Buffer.from(text))
  return [...certificates, crl, Buffer.concat(certificates), table, ...texts, answer, ...intel, ...more].map((seed) =>
    Uint8Array.from(seed),
  )
}

export const evidenceTargets = [
  {
    name: 'snp-report',
    async open({ load }) {
      const { parseReport } = await load('verify/evidence/sev-snp/parse.js')
      const { describeReport } = await load('verify/evidence/sev-snp/claims.js')
      const run = (input) => {
        const report = parseReport(input)
        assertRoundTrip(input, report.raw)
        if (input.subarray(UNSIGNED_TAIL).some((byte) => byte !== 0))
          throw new Violation('reserved', 'bytes that nobody signed are not zero')
        JSON.stringify(describeReport(report, null))
      }
      return { seeds: reports(), run }
    },
  },
  {
    name: 'snp-certificate-table',
    async open({ load }) {
      const { parseCertificateTable } = await load('verify/evidence/sev-snp/certificate-table.js')
      return { seeds: [certificateTable()], run: parseCertificateTable }
    },
  },
  {
    name: 'unwrap',
    async open({ load, tolerate }) {
      const { unwrapEvidence } = await load('verify/evidence/unwrap.js')
      const formats = ['sev-snp', 'tdx', 'sgx', 'nvidia-gpu', 'auto']
      const run = (input) => {
        for (const format of formats) tolerate(() => unwrapEvidence(input, format))
      }
      return { seeds: evidenceSeeds(), run }
    },
  },
  {
    name: 'dcap-quote',
    async open({ load, tolerate }) {
      const { parseQuote } = await load('verify/evidence/dcap/quote.js')
      const { parseEnclaveReport } = await load('verify/evidence/dcap/enclave-report.js')
      const { TdReport, TD_REPORT_FIELDS } = await load('verify/evidence/tdx/td-report.js')
      const run = (input) => {
        const quote = parseQuote(input)
        const { signed, signature, attestationKey, qeReport, qeReportSignature, qeAuthData, certificationData, padding } = quote
        const parts = [signed, signature, attestationKey, qeReport, qeReportSignature, qeAuthData, certificationData, padding]
        // Beside the parts there are only lengths and types: 2 + 4 in front of each certification data, 4 + 2 for the rest.
        const framing = quote.version === 3 ? 12 : 18
        assertRoundTrip(new Uint8Array(input.length), new Uint8Array(parts.reduce((n, p) => n + p.length, framing)))
        tolerate(() => parseEnclaveReport(quote.qeReport, 'fuzz'))
        if (quote.tee === 'sgx') tolerate(() => parseEnclaveReport(quote.body, 'fuzz'))
        else for (const name of Object.keys(TD_REPORT_FIELDS)) new TdReport(quote.body).field(name)
        return quote.header
      }
      return { seeds: quotes(), run }
    },
  },
  {
    name: 'event-log',
    maxSize: 128 * 1024,
    async open({ load }) {
      const { replayEventLogs } = await load('verify/evidence/tdx/event-log/replay.js')
      const { TdReport } = await load('verify/evidence/tdx/td-report.js')
      const [from, size] = TD_REPORT
      const report = new TdReport(made('tdx-v5.bin').subarray(from, from + size))
      const run = async (input) => JSON.stringify(await replayEventLogs([input], report))
      return { seeds: [made('ccel.bin'), made('runtime-log.golden.json'), ...real('tdx/ccel', /live.*\.bin$/).map(withoutFiller)], run }
    },
  },
  {
    name: 'intel-collateral',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { readIntelCollateral } = await load('verify/evidence/dcap/collateral-json.js')
      const run = (input) => readIntelCollateral(Buffer.from(input).toString('utf8'), 'fuzz')
      return { seeds: collateralSeeds().filter((seed) => seed[0] === '{'.charCodeAt(0)), run }
    },
  },
  {
    name: 'collateral',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { loadCollateral } = await load('verify/evidence/collateral.js')
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const run = (input) => loadCollateral([{ name: 'fuzz', bytes: input }], createVerifyCache())
      return { seeds: collateralSeeds(), run }
    },
  },
  {
    name: 'endorsements',
    maxSize: 64 * 1024,
    async open({ load }) {
      const { endorsementCheck } = await load('verify/endorsements.js')
      const { createVerifyCache } = await load('verify/evidence/cache.js')
      const { certificates } = simulatedPlatform()
      const issuers = [...certificates, made('root.der'), made('tdx-collateral.golden.json')]
      const cache = createVerifyCache()
      const seeds = collateralSeeds()
      const known = new Set(seeds.map((seed) => Buffer.from(seed).toString('base64')))
      const run = async (input) => {
        const { outcome } = await endorsementCheck([input], issuers, cache)
        const isKnown = known.has(Buffer.from(input).toString('base64'))
        if (outcome === 'pass' && !isKnown) throw new Violation('malleable', 'an endorsement passes that nobody made')
      }
      return { seeds, run }
    },
  },
]
