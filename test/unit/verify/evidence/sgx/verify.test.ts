import { beforeAll, describe, expect, it } from 'vitest'
import type { EnclaveFields, IntelFields } from '../../../../../src/sim/index.ts'
import { fromHex, toHex } from '../../../../../src/verify/bytes/bytes.ts'
import type { SgxInput } from '../../../../../src/verify/evidence/sgx/verify.ts'
import { decide, troubles, verifySgx } from '../../../../support/dcap.ts'
import { AT, collateralOf, defaultWorld, SimulatedIntel } from '../../../../support/intel.ts'
import { testBytes } from '../../../../support/keys.ts'
import { outcomeOf } from '../../../../support/outcome.ts'

let intel: SimulatedIntel
beforeAll(async () => {
  intel = new SimulatedIntel()
})

const enclave = defaultWorld('sgx').enclave
const KSS = fromHex('85000000000000000700000000000000')

async function withEnclave(
  change: EnclaveFields,
  more: Partial<SgxInput> = {},
  world: Partial<IntelFields> = {},
): Promise<readonly string[]> {
  const made = await intel.make('sgx', { ...world, enclave: { ...enclave, ...change } })
  return troubles(await verifySgx({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots, ...more }))
}

describe('an enclave', () => {
  it.each([3, 4, 5] as const)('is accepted in a quote of version %i', async (version) => {
    expect(await withEnclave({}, {}, { version })).toEqual([])
  })

  it('proves what its report says', async () => {
    const made = await intel.make('sgx', { enclave: { ...enclave, attributes: KSS, configId: testBytes('config', 64), configSvn: 9 } })
    const verdict = decide(await verifySgx({ quote: made.quote, collateral: collateralOf(made), at: AT }, { roots: made.roots }))
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: {
        tee: 'sgx',
        measurement: 'e1'.repeat(32),
        mrEnclave: 'e1'.repeat(32),
        mrSigner: '51'.repeat(32),
        isvProdId: 7,
        isvSvn: 3,
        configSvn: 9,
        reportData: 'd7'.repeat(64),
        debug: false,
        simulated: true,
        tcbStatus: 'UpToDate',
        attributeBits: {
          init: true,
          debug: false,
          mode64bit: true,
          provisionKey: false,
          einittokenKey: false,
          kss: true,
          xfrm: '0700000000000000',
        },
        tcb: { tdxModuleStatus: null, currentStatus: null, tcbEvaluationDataNumber: 20 },
      },
    })
  })

  it.each([
    ['in debug mode', '07000000000000000700000000000000', 'debug.attributes=fail'],
    ['of 32 bits', '01000000000000000700000000000000', 'policy.mode64=fail'],
  ])('is refused %s', async (_, attributes, rule) => {
    expect(await withEnclave({ attributes: fromHex(attributes) })).toEqual([rule])
  })

  it('is held against a challenge and a measurement', async () => {
    const reportData = testBytes('challenge', 64)
    expect(await withEnclave({ reportData }, { nonce: reportData, measurement: new Uint8Array(32).fill(0xe1) })).toEqual([])
    expect(await withEnclave({}, { nonce: reportData })).toEqual(['freshness.nonce=fail'])
    expect(await withEnclave({}, { measurement: new Uint8Array(32) })).toEqual(['reference-values.measurement=fail'])
  })

  it('is refused when it is a TD', async () => {
    const made = await intel.make('tdx')
    expect(await outcomeOf(() => verifySgx({ quote: made.quote, collateral: [], at: AT }))).toBe('EVIDENCE_UNSUPPORTED')
  })
})

describe('requirements', () => {
  const mrSigner = '51'.repeat(32)
  it.each([
    ['of that signer, product and version', { mrSigner, isvProdId: 7, minimumIsvSvn: 3 }, []],
    ['of another signer', { mrSigner: '00'.repeat(32), isvProdId: 7, minimumIsvSvn: 3 }, ['reference-values.signer=fail']],
    ['of another product', { mrSigner, isvProdId: 8, minimumIsvSvn: 3 }, ['reference-values.signer=fail']],
    ['of an older version', { mrSigner, isvProdId: 7, minimumIsvSvn: 4 }, ['reference-values.signer=fail']],
  ])('an enclave %s', async (_, signer, rules) => {
    expect(await withEnclave({}, { requirements: { signer } })).toEqual(rules)
  })

  it('a configuration counts only with KSS', async () => {
    const configId = testBytes('config', 64)
    const requirements = { configuration: { configId: toHex(configId), minimumConfigSvn: 2 } }
    expect(await withEnclave({ attributes: KSS, configId, configSvn: 2 }, { requirements })).toEqual([])
    expect(await withEnclave({ configId, configSvn: 2 }, { requirements })).toEqual(['reference-values.configuration=fail'])
    expect(await withEnclave({ attributes: KSS, configId, configSvn: 1 }, { requirements })).toEqual([
      'reference-values.configuration=fail',
    ])
    expect(await withEnclave({ attributes: KSS, configSvn: 2 }, { requirements })).toEqual(['reference-values.configuration=fail'])
  })

  it('no access to the provisioning key', async () => {
    const attributes = fromHex('15000000000000000700000000000000')
    expect(await withEnclave({ attributes })).toEqual([])
    expect(await withEnclave({ attributes }, { requirements: { noProvisionKey: true } })).toEqual(['policy.provision-key=fail'])
  })

  it('one of several MRENCLAVEs', async () => {
    const [ours, other] = ['e1'.repeat(32), 'e2'.repeat(32)]
    expect(await withEnclave({}, { requirements: { mrEnclave: [other, ours] } })).toEqual([])
    for (const mrEnclave of [[], [other], [ours.toUpperCase()]]) {
      expect(await withEnclave({}, { requirements: { mrEnclave } })).toEqual(['reference-values.mr-enclave=fail'])
    }
  })

  it('flags that must be one or zero', async () => {
    expect(await withEnclave({ attributes: KSS }, { requirements: { attributes: { required: ['kss'] } } })).toEqual([])
    expect(await withEnclave({}, { requirements: { attributes: { required: ['init', 'kss'] } } })).toEqual([
      'policy.attributes-required=fail',
    ])
    expect(await withEnclave({ attributes: KSS }, { requirements: { attributes: { forbidden: ['kss'] } } })).toEqual([
      'policy.attributes-forbidden=fail',
    ])
  })

  it('no extended feature beyond those allowed', async () => {
    expect(await withEnclave({}, { requirements: { allowedXfrm: '0x7' } })).toEqual([])
    expect(await withEnclave({}, { requirements: { allowedXfrm: '0x3' } })).toEqual(['policy.xfrm=fail'])
  })
})
