import 'reflect-metadata'
import { Extension, KeyUsageFlags } from '@peculiar/x509'
import { describe, expect, it } from 'vitest'
import { concat, fromHex, toHex } from '../../../../../src/verify/bytes/bytes.ts'
import { createVerifyCache } from '../../../../../src/verify/evidence/cache.ts'
import type { NitroRequirements } from '../../../../../src/verify/evidence/nitro/appraise.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import { cbor } from '../../../../support/cbor-writer.ts'
import {
  MODULE_ID,
  NITRO_AT,
  type NitroCase,
  type NitroWorld,
  NONCE,
  nitroDocument,
  PCRS,
  pcrValue,
  USER_DATA,
} from '../../../../support/nitro.ts'

interface Asked {
  readonly at?: Date
  readonly nonce?: Uint8Array
  readonly measurement?: Uint8Array
  readonly nitro?: NitroRequirements
  readonly trustAnchors?: readonly Uint8Array[]
}

const cache = createVerifyCache()

function look({ document, root }: NitroCase, asked: Asked = {}): Promise<EvidenceVerdict> {
  return verifyEvidence(document, { collateral: [], trustAnchors: [root], at: NITRO_AT, allowUnknown: [], cache, ...asked })
}

function troubles(verdict: EvidenceVerdict): readonly string[] {
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}

/** The rules that object; of a document that cannot be read, its error code. */
async function attack(world: NitroWorld, asked: Asked = {}): Promise<readonly string[]> {
  const verdict = await look(await nitroDocument(world), asked)
  if (verdict.decision === 'reject' && verdict.parsed === null) return [verdict.error?.code ?? '']
  return troubles(verdict)
}

describe('a Nitro enclave', () => {
  it.each([
    ['of definite length', {}],
    ['of indefinite length', { indefinite: true }],
    ['with tag 18', { cose: { tag: 18 } }],
  ] as const)('is accepted in a document %s', async (_, world) => {
    const verdict = await look(await nitroDocument(world), { nonce: NONCE, measurement: pcrValue(0) })
    expect(troubles(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      format: 'nitro',
      notChecked: ['revocation', 'timestamp'],
      claims: {
        tee: 'nitro',
        measurement: toHex(pcrValue(0)),
        reportData: toHex(USER_DATA),
        debug: false,
        simulated: true,
        moduleId: MODULE_ID,
      },
    })
  })

  it('says until when it can be accepted', async () => {
    const made = await nitroDocument({ certificates: { zonal: { notAfter: new Date('2026-06-15T13:00:00Z') } } })
    const verdict = await verifyEvidence(made.document, {
      collateral: [],
      trustAnchors: [made.root],
      at: NITRO_AT,
      allowUnknown: [],
      forecast: { early: [] },
    })
    expect(verdict.forecast?.expiries[0]).toMatchObject({ what: 'issuer', expires: '2026-06-15T13:00:00Z' })
    expect(verdict.forecast?.expiries).toHaveLength(5)
  })
})

describe('a chain', () => {
  const stranger = new Extension('1.2.3.4', true, new Uint8Array([5, 0]))
  it.each<[string, NitroWorld, readonly string[]]>([
    ['whose root nobody trusts', { bundle: (b) => b.slice(1) }, ['chain.root=fail']],
    ['that is reversed', { bundle: (b) => [...b].reverse() }, ['chain.root=fail', 'chain.path=fail', 'chain.authorities=fail']],
    ['with a link missing', { bundle: (b) => b.filter((_, i) => i !== 1) }, ['chain.path=fail']],
    ['with a link twice', { bundle: (b) => [...b.slice(0, 2), ...b.slice(1)] }, ['chain.path=fail', 'chain.authorities=fail']],
    ['with a leaf signed by somebody else', { certificates: { leaf: { forged: true } } }, ['chain.path=fail']],
    ['with an authority signed by somebody else', { certificates: { zonal: { forged: true } } }, ['chain.path=fail']],
    ['with a root that its key did not sign', { certificates: { root: { forged: true } } }, ['chain.root=fail']],
    ['with an authority that is none', { certificates: { zonal: { ca: false } } }, ['chain.authorities=fail']],
    ['with an authority that may not sign', { certificates: { instance: { usage: KeyUsageFlags.cRLSign } } }, ['chain.authorities=fail']],
    ['longer than an authority allows', { certificates: { regional: { pathLength: 1 } } }, ['chain.authorities=fail']],
    ['with an authority of another curve', { certificates: { zonal: { curve: 'P-256' } } }, ['chain.path=fail', 'chain.authorities=fail']],
    ['with something critical in an authority', { certificates: { zonal: { extra: [stranger] } } }, ['chain.authorities=fail']],
    ['with a leaf that is an authority', { certificates: { leaf: { ca: true } } }, ['chain.leaf=fail']],
    ['with a leaf that may not sign documents', { certificates: { leaf: { usage: KeyUsageFlags.keyCertSign } } }, ['chain.leaf=fail']],
    ['with something critical in the leaf', { certificates: { leaf: { extra: [stranger] } } }, ['chain.leaf=fail']],
    [
      'of another enclave',
      { certificates: { leaf: { commonName: 'i-0123456789abcdef0-enc0000000000000000.us-east-1.aws' } } },
      ['chain.module-id=fail'],
    ],
    ['of a whole instance', { payload: { module_id: 'i-0123456789abcdef0' } }, ['chain.module-id=fail']],
    [
      'with an expired authority',
      { certificates: { regional: { notAfter: new Date('2026-06-15T11:59:59Z') } } },
      ['validity.authorities=fail'],
    ],
    ['with an expired leaf', { certificates: { leaf: { notAfter: new Date('2026-06-15T11:59:59Z') } } }, ['validity.leaf=fail']],
    [
      'with a leaf of tomorrow',
      { certificates: { leaf: { notBefore: new Date('2026-06-15T12:00:01Z') } } },
      ['validity.leaf=fail', 'validity.timestamp=fail'],
    ],
  ])('%s is refused', async (_, world, rules) => {
    expect(await attack(world)).toEqual(rules)
  })

  it('under a root of somebody else is refused under the built-in one', async () => {
    expect(await attack({}, { trustAnchors: [] })).toEqual(['chain.root=fail'])
    const other = await nitroDocument()
    expect(await attack({}, { trustAnchors: [other.root] })).toEqual(['chain.root=fail'])
  })

  it('is held against the time that is asked about', async () => {
    const made = await nitroDocument()
    expect(troubles(await look(made, { at: new Date('2026-06-15T14:00:00Z') }))).toEqual([])
    expect(troubles(await look(made, { at: new Date('2026-06-15T14:00:01Z') }))).toEqual([
      'validity.authorities=fail',
      'validity.leaf=fail',
    ])
  })
})

describe('a document', () => {
  const header = (alg: number): Uint8Array => cbor(new Map([[1, alg]]))
  const pcrs = (change: readonly (readonly [number, Uint8Array])[]) => new Map([...PCRS, ...change])
  it.each<[string, NitroWorld, readonly string[]]>([
    ['in debug mode', { payload: { pcrs: pcrs([0, 1, 2].map((i) => [i, new Uint8Array(48)])) } }, ['debug.pcr0=fail']],
    ['with another payload than was signed', { cose: { signed: new Uint8Array(8) } }, ['signature.document=fail']],
    ['with a signature of zeros', { cose: { signature: new Uint8Array(96) } }, ['signature.document=fail']],
    ['with a short signature', { cose: { signature: new Uint8Array(95) } }, ['DOCUMENT_INVALID']],
    ['with another algorithm', { cose: { protectedBytes: header(-7) } }, ['DOCUMENT_INVALID']],
    ['with an algorithm that does not exist', { cose: { protectedBytes: header(-999) } }, ['EVIDENCE_UNSUPPORTED']],
    [
      'with the algorithm where nobody signs',
      { cose: { protectedBytes: cbor(new Map()), unprotected: new Map([[1, -35]]) } },
      ['EVIDENCE_UNSUPPORTED'],
    ],
    [
      'with something critical in its header',
      {
        cose: {
          protectedBytes: cbor(
            new Map<number, never>([
              [1, -35],
              [2, []],
            ] as never),
          ),
        },
      },
      ['EVIDENCE_UNSUPPORTED'],
    ],
    ['with the name of a key', { cose: { unprotected: new Map([[4, new Uint8Array(4)]]) } }, ['EVIDENCE_UNSUPPORTED']],
    ['made before its certificate', { payload: { timestamp: Date.parse('2026-06-15T10:59:59Z') } }, ['validity.timestamp=fail']],
    ['made after its certificate', { payload: { timestamp: Date.parse('2026-06-15T14:00:01Z') } }, ['validity.timestamp=fail']],
    ['with seconds for milliseconds', { payload: { timestamp: NITRO_AT.getTime() / 1000 } }, ['validity.timestamp=fail']],
    ['with another digest', { payload: { digest: 'SHA256' } }, ['DOCUMENT_INVALID']],
    ['with a PCR of 32 bytes', { payload: { pcrs: pcrs([[4, new Uint8Array(32)]]) } }, ['DOCUMENT_INVALID']],
    ['with PCR32', { payload: { pcrs: pcrs([[32, new Uint8Array(48)]]) } }, ['DOCUMENT_INVALID']],
    ['without PCRs', { payload: { pcrs: new Map() } }, ['DOCUMENT_INVALID']],
    ['without PCR0', { payload: { pcrs: new Map([[1, pcrValue(1)]]) } }, ['DOCUMENT_INVALID']],
    ['without certificates', { bundle: () => [] }, ['DOCUMENT_INVALID']],
    ['with a certificate of 1025 bytes', { bundle: (b) => [...b, new Uint8Array(1025)] }, ['DOCUMENT_INVALID']],
    ['with a certificate that is none', { bundle: (b) => [...b, new Uint8Array(8)] }, ['DER_MALFORMED']],
    ['with user data of 1025 bytes', { payload: { user_data: new Uint8Array(1025) } }, ['DOCUMENT_INVALID']],
    ['with a nonce that is text', { payload: { nonce: 'nonce' } }, ['DOCUMENT_INVALID']],
    ['with a field that does not exist', { payload: { extra: 1 } }, ['DOCUMENT_INVALID']],
    ['of NitroTPM', { payload: { pcrs: undefined, nitrotpm_pcrs: PCRS } }, ['EVIDENCE_UNSUPPORTED']],
    [
      'with PCRs twice',
      { rawPayload: (p) => concat(Uint8Array.of((p[0] ?? 0) + 1), p.subarray(1), cbor('pcrs'), cbor(PCRS)) },
      ['CBOR_MALFORMED'],
    ],
    ['with bytes after the payload', { rawPayload: (p) => concat(p, Uint8Array.of(0)) }, ['EVIDENCE_TRAILING']],
    ['with 16385 bytes of payload', { rawPayload: (p) => concat(p, new Uint8Array(16385 - p.length)) }, ['LIMIT_EXCEEDED']],
  ])('%s is refused', async (_, world, rules) => {
    expect(await attack(world)).toEqual(rules)
  })

  it('with a byte after it, or cut off anywhere, is refused', async () => {
    const made = await nitroDocument()
    const longer = await look({ ...made, document: concat(made.document, Uint8Array.of(0)) })
    expect(longer).toMatchObject({ decision: 'reject', error: { code: 'EVIDENCE_TRAILING' } })
    for (let size = 1; size < made.document.length; size++) {
      const shorter = await look({ ...made, document: made.document.slice(0, size) })
      expect(shorter).toMatchObject({ decision: 'reject', parsed: null, error: { code: 'EVIDENCE_TRUNCATED' } })
    }
  })

  it('with any bit of its payload changed is refused', async () => {
    const made = await nitroDocument()
    for (let bit = 0; bit < 8 * made.document.length; bit += 61) {
      const document = made.document.slice()
      document[bit >> 3] = (document[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect((await look({ ...made, document })).decision).toBe('reject')
    }
  })

  it('is taken for nothing else', async () => {
    const { document } = await nitroDocument()
    for (const format of ['sev-snp', 'tdx', 'sgx', 'arm-cca', 'nras-eat', 'ita-jwt'] as const) {
      const verdict = await verifyEvidence(document, { format, collateral: [], trustAnchors: [], at: NITRO_AT, allowUnknown: [] })
      expect(verdict).toMatchObject({ decision: 'reject', authentic: false })
    }
  })
})

describe('what is asked of a document', () => {
  const image = { 0: pcrValue(0), 1: pcrValue(1), 2: pcrValue(2) }
  const key = fromHex('04aa')
  it.each<[string, Asked, readonly string[]]>([
    ['another nonce', { nonce: USER_DATA }, ['freshness.nonce=fail']],
    ['a longer nonce', { nonce: concat(NONCE, Uint8Array.of(0)) }, ['freshness.nonce=fail']],
    ['another measurement', { measurement: pcrValue(1) }, ['reference-values.measurement=fail']],
    ['one of two images', { nitro: { pcrs: [{ 0: pcrValue(9) }, image] } }, []],
    [
      'registers of two images',
      {
        nitro: {
          pcrs: [
            { 0: pcrValue(0), 1: pcrValue(9) },
            { 0: pcrValue(9), 1: pcrValue(1) },
          ],
        },
      },
      ['reference-values.pcrs=fail'],
    ],
    ['a register that is not there', { nitro: { pcrs: [{ ...image, 16: new Uint8Array(48) }] } }, ['reference-values.pcrs=fail']],
    ['no image', { nitro: { pcrs: [] } }, ['reference-values.pcrs=fail']],
    ['an image without values', { nitro: { pcrs: [{}] } }, ['reference-values.pcrs=fail']],
    ['its role, instance and signer', { nitro: { pcr3: pcrValue(3), pcr4: pcrValue(4), pcr8: pcrValue(8) } }, []],
    ['another role', { nitro: { pcr3: pcrValue(4) } }, ['reference-values.pcr3=fail']],
    ['another instance', { nitro: { pcr4: pcrValue(3) } }, ['reference-values.pcr4=fail']],
    ['another signer', { nitro: { pcr8: pcrValue(3) } }, ['reference-values.pcr8=fail']],
    ['its name and user data', { nitro: { moduleId: MODULE_ID, userData: USER_DATA } }, []],
    ['another name', { nitro: { moduleId: 'i-1' } }, ['policy.module-id=fail']],
    ['other user data', { nitro: { userData: NONCE } }, ['binding.user-data=fail']],
    ['a public key that is not there', { nitro: { publicKey: key } }, ['binding.public-key=fail']],
    ['an age that it has', { nitro: { maxAgeSeconds: 1 } }, []],
    ['a lower age', { nitro: { maxAgeSeconds: 0 } }, ['freshness.timestamp=fail']],
    ['an age at a time long before', { at: new Date('2026-06-15T11:58:00Z'), nitro: { maxAgeSeconds: 60 } }, ['freshness.timestamp=fail']],
  ])('%s', async (_, asked, rules) => {
    expect(await attack({}, asked)).toEqual(rules)
  })

  it('is never a register of zeros', async () => {
    const unsigned = { payload: { pcrs: new Map([...PCRS, [8, new Uint8Array(48)] as const]) } }
    expect(await attack(unsigned, { nitro: { pcr8: new Uint8Array(48) } })).toEqual(['reference-values.pcr8=fail'])
  })

  it('is not answered by a register that is absent', async () => {
    expect(await attack({}, { nitro: { pcrs: [{ 0: pcrValue(0), 31: new Uint8Array() }] } })).toEqual(['reference-values.pcrs=fail'])
  })

  it('is not answered by a field that is absent', async () => {
    expect(await attack({ payload: { nonce: null } }, { nonce: NONCE })).toEqual(['freshness.nonce=fail'])
    expect(await attack({ payload: { nonce: undefined } }, { nonce: NONCE })).toEqual(['freshness.nonce=fail'])
  })
})
