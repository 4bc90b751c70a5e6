import { describe, expect, it } from 'vitest'
import { crypto } from '../../../src/verify/crypto/node.ts'
import { type Binding, encodeBinding } from '../../../src/verify/documents/binding.ts'
import { bundleFromJson, bundleToJson, type EvidenceBundle, evidenceDigest } from '../../../src/verify/documents/evidence-bundle.ts'
import { encodeCanonical } from '../../../src/verify/formats/canonical-json.ts'
import { type BundleVerdict, verifyBundle } from '../../../src/verify/verify-bundle.ts'
import { bareBinding } from '../../support/device-bundle.ts'
import { testBytes } from '../../support/keys.ts'
import { NITRO_AT, nitroDocument } from '../../support/nitro.ts'
import { outcomeOf } from '../../support/outcome.ts'
import { platform, simulatedReport } from '../../support/receipt-builder.ts'
import { AT, attest, pcrsJson, TestAk } from '../../support/tpm-maker.ts'

const config = encodeCanonical({ agent: 'sealgate/0.1.0' })
const nonce = testBytes('bundle nonce', 32)
/** A key that fits into a Nitro document, where that of the default suite does not. */
const SMALL_KEM = {
  suite: 'DHKEM-P384,HKDF-SHA384,AES-256-GCM',
  publicKey: Buffer.from(testBytes('kem', 97)).toString('base64url'),
} as const

const failed = ({ checks }: BundleVerdict): string[] => checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)

function bundle(binding: Uint8Array, cpu: EvidenceBundle['cpu']): EvidenceBundle {
  return { binding, config, cpu, devices: [], endorsements: [] }
}

describe('a bundle with a Nitro document', () => {
  interface Said {
    readonly user_data?: Uint8Array
    readonly nonce?: Uint8Array
    readonly public_key?: Uint8Array | null
  }

  async function look(changes: Partial<Binding>, said: Said = {}): Promise<BundleVerdict> {
    const binding = encodeBinding(await bareBinding(changes))
    const kem = Uint8Array.from(Buffer.from(SMALL_KEM.publicKey, 'base64url'))
    const own = { user_data: await crypto.digest('SHA-512', binding), nonce, public_key: changes.kem === undefined ? null : kem }
    const { document, root } = await nitroDocument({ payload: { ...own, ...said } })
    const options = { collateral: [], trustAnchors: [root], at: NITRO_AT, role: 'host', nonce, allowUnknown: [] } as const
    return verifyBundle(bundle(binding, { format: 'nitro', report: document }), options)
  }

  it('is accepted with user_data, nonce and the key where it fits', async () => {
    for (const changes of [{}, { kem: SMALL_KEM }]) {
      const verdict = await look(changes)
      expect(failed(verdict)).toEqual([])
      expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({ tee: 'nitro', bindingGrade: 'committed', devices: [] })
      const rules = verdict.checks.map((c) => c.rule)
      expect(rules).toEqual(expect.arrayContaining(['binding.report-data', 'binding.nonce', 'binding.public-key']))
    }
  })

  it.each<[string, Partial<Binding>, Said, string]>([
    ['the user_data of another binding', {}, { user_data: testBytes('other', 64) }, 'binding.report-data'],
    ['the nonce of another time', {}, { nonce: testBytes('old', 32) }, 'binding.nonce'],
    ['the key of somebody else', { kem: SMALL_KEM }, { public_key: testBytes('thief', 97) }, 'binding.public-key'],
    ['no key where it fits', { kem: SMALL_KEM }, { public_key: null }, 'binding.public-key'],
    ['a key where ours does not fit', {}, { public_key: testBytes('thief', 97) }, 'binding.public-key'],
  ])('is rejected with %s', async (_, changes, said, rule) => {
    expect(failed(await look(changes, said))).toEqual([rule])
  })
})

describe('a bundle with a TPM quote', () => {
  const ak = new TestAk('p256')

  async function evidence(extraData?: Uint8Array): Promise<EvidenceBundle> {
    const binding = encodeBinding(await bareBinding())
    const quote = attest({ extraData: extraData ?? (await crypto.digest('SHA-256', binding)) })
    const companions = [ak.sign(quote), pcrsJson(), ak.publicArea()]
    return bundle(binding, { format: 'tpm', report: quote, companions })
  }

  const options = { trustAnchors: [ak.spki], at: AT, role: 'host', nonce, allowUnknown: [] } as const
  const look = (given: EvidenceBundle, collateral: readonly Uint8Array[] = []): Promise<BundleVerdict> =>
    verifyBundle(given, { ...options, collateral })

  it('is accepted with its companions, under a key that the caller trusts', async () => {
    const verdict = await look(await evidence())
    expect(failed(verdict)).toEqual([])
    expect(verdict.decision === 'accept' && verdict.claims).toMatchObject({ tee: 'tpm', bindingGrade: 'committed' })
  })

  it('is rejected with a quote for another binding', async () => {
    expect(failed(await look(await evidence(testBytes('other', 32))))).toEqual(['binding.report-data'])
  })

  it('is rejected without its companions, also where the caller has them', async () => {
    const whole = await evidence()
    const bare = { ...whole, cpu: { format: 'tpm', report: whole.cpu.report } }
    expect(failed(await look(bare, whole.cpu.companions))).toContain('signature.tpm-quote')
  })

  it('is rejected with something else among them', async () => {
    const whole = await evidence()
    const more = { ...whole, cpu: { ...whole.cpu, companions: [...(whole.cpu.companions ?? []), platform.root.certificate] } }
    expect(failed(await look(more))).toContain('format.companions')
  })

  it('names its companions in the evidence digest, and reads back as it was', async () => {
    const whole = await evidence()
    const { companions = [] } = whole.cpu
    const other = { ...whole, cpu: { ...whole.cpu, companions: companions.slice(1) } }
    expect(await evidenceDigest(other)).not.toBe(await evidenceDigest(whole))
    expect(bundleFromJson(bundleToJson(whole))).toEqual(whole)
    const json = bundleToJson(whole)
    expect(await outcomeOf(() => bundleFromJson({ ...json, cpu: { ...json.cpu, companions: [] } }))).toBe('DOCUMENT_INVALID')
  })
})

describe('a bundle of another TEE', () => {
  it('is rejected with companions', async () => {
    const binding = encodeBinding(await bareBinding())
    const cpu = { format: 'sev-snp', report: await simulatedReport(binding), companions: [pcrsJson()] }
    const given = { ...bundle(binding, cpu), endorsements: [platform.vek.certificate, platform.intermediate.certificate, platform.crl] }
    const at = new Date('2026-05-28T20:26:40Z')
    const verdict = await verifyBundle(given, {
      collateral: [],
      trustAnchors: [platform.root.certificate],
      at,
      role: 'host',
      nonce,
      allowUnknown: [],
    })
    expect(failed(verdict)).toEqual(['format.companions'])
  })
})
