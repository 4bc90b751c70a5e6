import { beforeAll, describe, expect, it } from 'vitest'
import { crypto } from '#crypto'
import { fromBase64Url, fromHex, toBase64Url } from '../../../../src/verify/bytes/bytes.ts'
import { encodeReceiptFile } from '../../../../src/verify/documents/receipt-file.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { defaultWorld, endorsementsOf, type SimulatedCase, SimulatedIntel } from '../../../support/intel.ts'
import { samplePolicy } from '../../../support/job-documents.ts'
import { type BuiltReceipt, buildReceipt, MEASUREMENT, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

let intel: SimulatedIntel
let made: SimulatedCase
let endorsements: readonly Uint8Array[]
let built: BuiltReceipt
let trust: TrustFile

beforeAll(async () => {
  intel = new SimulatedIntel()
  // Jobs of the receipt builder run in May 2026.
  const window = { issueDate: '2026-05-01T00:00:00Z', nextUpdate: '2026-06-01T00:00:00Z' }
  const { tcbInfo, qeIdentity } = defaultWorld('tdx')
  made = await intel.make('tdx', {
    tcbInfo: { ...tcbInfo, ...window },
    qeIdentity: { ...qeIdentity, ...window },
    crlWindow: [new Date(window.issueDate), new Date(window.nextUpdate)],
  })
  endorsements = await endorsementsOf(made)
  trust = { ...sampleTrust, simulatedRoots: [toBase64Url(made.root)] }
  built = await buildReceipt(plan())
})

/** A job in a simulated TD: the host brings its quote alone, the gateway what Intel publishes. */
function plan(): Partial<Plan> {
  const { appraisal } = samplePolicy()
  return {
    tee: 'tdx',
    policy: { appraisal: { ...appraisal, tees: ['tdx'], measurements: [{ tee: 'tdx', value: MEASUREMENT }] } },
    report: async (binding) => {
      const reportData = await crypto.digest('SHA-512', binding)
      return (await intel.make('tdx', { td: { ...defaultWorld('tdx').td, reportData, mrTd: fromHex(MEASUREMENT) } })).quote
    },
    hostEndorsements: [],
    endorsements: [made.root, ...endorsements],
  }
}

const verify = (bytes: Uint8Array, by: TrustFile | null = trust): Promise<ReceiptVerdict> => verifyReceiptFile(bytes, { trust: by })
const failed = ({ checks }: ReceiptVerdict): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)

describe('a receipt of a job in a TD', () => {
  it('carries Intel’s TCB info and identity and is verified with nothing else', async () => {
    const verdict = await verify(built.bytes)
    expect(failed(verdict)).toEqual([])
    expect(verdict).toMatchObject({ decision: 'accept', claims: { tee: 'tdx', measurement: MEASUREMENT, simulated: true } })
  })

  it('is consistent without a trust file, by the root that it brings itself', async () => {
    expect(await verify(built.bytes, null)).toMatchObject({ decision: 'reject', authentic: true, error: { code: 'SIGNER_UNKNOWN' } })
  })

  it('verifies as well where the host brings Intel’s documents in its bundle', async () => {
    const { bytes } = await buildReceipt({ ...plan(), hostEndorsements: endorsements, endorsements: [] })
    expect(failed(await verify(bytes))).toEqual([])
  })

  it('is rejected when any of its endorsements is left out, save the root that the trust file names', async () => {
    const root = toBase64Url(made.root)
    for (const [i, one] of built.file.endorsements.entries()) {
      const bytes = encodeReceiptFile({ ...built.file, endorsements: built.file.endorsements.filter((e) => e !== one) })
      expect((await verify(bytes)).decision, `endorsement ${i}`).toBe(one === root ? 'accept' : 'reject')
    }
  })

  it('is rejected with any byte of Intel’s documents changed, every 17th of them', async () => {
    for (const [index, text] of built.file.endorsements.entries()) {
      const bytes = fromBase64Url(text)
      if (bytes[0] === 0x30) continue
      for (let at = 0; at < bytes.length; at += 17) {
        const changed = bytes.map((b, i) => (i === at ? b ^ (1 << (at % 7)) : b))
        const list = built.file.endorsements.map((e, i) => (i === index ? toBase64Url(changed) : e))
        const file = encodeReceiptFile({ ...built.file, endorsements: list })
        expect((await verify(file)).decision, `endorsement ${index}, byte ${at}`).toBe('reject')
      }
    }
  })
})
