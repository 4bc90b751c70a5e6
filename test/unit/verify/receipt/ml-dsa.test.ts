import { describe, expect, it } from 'vitest'
import { fromUtf8, toBase64Url, utf8 } from '../../../../src/verify/bytes/bytes.ts'
import { thumbprint } from '../../../../src/verify/documents/keys.ts'
import { RECEIPT_TYP } from '../../../../src/verify/documents/statement.ts'
import type { TrustFile } from '../../../../src/verify/documents/trust.ts'
import { encodeCanonical, type Json } from '../../../../src/verify/formats/canonical-json.ts'
import { type ReceiptVerdict, verifyReceiptFile } from '../../../../src/verify/receipt/index.ts'
import { exitCodeOf } from '../../../../src/verify/verdict.ts'
import { gatewayMlDsa } from '../../../support/job-documents.ts'
import { testKey, testMlDsaKey } from '../../../support/keys.ts'
import { buildReceipt, DEFAULT_PLAN, type Ending, mlDsaTrust, type Plan, sampleTrust } from '../../../support/receipt-builder.ts'

const keys = DEFAULT_PLAN.keys
const stranger = await testMlDsaKey('stranger')
const wanted = await thumbprint(gatewayMlDsa.key)

async function verify(changes: Partial<Plan>, trust: TrustFile | null = mlDsaTrust): Promise<ReceiptVerdict> {
  return verifyReceiptFile((await buildReceipt({ mlDsa: gatewayMlDsa, ...changes })).bytes, { trust })
}

function failed(verdict: ReceiptVerdict): string[] {
  if (verdict.decision === 'reject' && verdict.parsed === null) return [verdict.error?.code ?? 'none']
  return verdict.checks.filter((c) => c.outcome !== 'pass' && c.allowed !== true).map((c) => c.rule)
}

interface Parts {
  protected: string
  signature: string
}

/** Changes the list of signatures of a receipt, before it is logged. */
function signatures(change: (list: readonly Parts[]) => readonly Parts[]): Plan['receipt'] {
  return (jws) => {
    const { payload, signatures: list } = JSON.parse(fromUtf8(jws)) as { payload: string; signatures: Parts[] }
    return encodeCanonical({ payload, signatures: change(list) } as unknown as Json)
  }
}

const ENDINGS: readonly Ending[] = ['execution', 'lost', 'refusal-released', 'refusal-unread', 'refusal-attested', 'refusal-early']

describe('where the trust file names an ML-DSA key for the gateway', () => {
  it.each(ENDINGS)('a receipt of kind %s that is signed by it is accepted, and says so', async (ending) => {
    const verdict = await verify({ ending })
    expect(failed(verdict)).toEqual([])
    expect(verdict).toMatchObject({ decision: 'accept', claims: { mlDsa: { signer: wanted, trusted: true } } })
    expect(verdict.checks).toContainEqual(expect.objectContaining({ rule: 'signature.gateway-ml-dsa', outcome: 'pass' }))
    expect(verdict.notChecked.filter((n) => n.includes('ML-DSA'))).toEqual([])
  })

  const attacks: readonly (readonly [string, Partial<Plan>])[] = [
    ['whose third signature was stripped before the log', { receipt: signatures((list) => list.slice(0, -1)) }],
    ['that never had one', { mlDsa: null }],
    ['with one by another key', { mlDsa: stranger }],
    ['of a lost job without one', { ending: 'lost', mlDsa: null }],
    ['of an early refusal with one by another key', { ending: 'refusal-early', mlDsa: stranger }],
  ]
  it.each(attacks)('a receipt %s is rejected by name, exit 4', async (_, changes) => {
    const verdict = await verify(changes)
    expect(failed(verdict)).toEqual(['signature.gateway-ml-dsa'])
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false, error: { code: 'RECEIPT_INCONSISTENT' } })
    expect(verdict.decision === 'reject' && verdict.error?.message).toContain(wanted)
    expect(exitCodeOf(verdict.checks)).toBe(4)
  })

  it('a receipt that was logged with its third signature is not the one in the log once it is stripped', async () => {
    const { file } = await buildReceipt({ mlDsa: gatewayMlDsa })
    const without = await buildReceipt({ mlDsa: gatewayMlDsa, file: (f) => ({ ...f, receipt: strip(file.receipt) }) })
    expect(failed(await verifyReceiptFile(without.bytes, { trust: mlDsaTrust }))).toContain('signature.gateway-ml-dsa')
    expect(failed(await verifyReceiptFile(without.bytes, { trust: sampleTrust }))).toContain('signature.log-ending')
  })

  it('another gateway, trusted without such a key, does not need one', async () => {
    const other = testKey('other gateway')
    const { crv, kty, x } = other.jwk
    const trust = { ...mlDsaTrust, gateways: [...mlDsaTrust.gateways, { crv, kty, x }] }
    expect(failed(await verify({ keys: { ...keys, gateway: other }, mlDsa: null }, trust))).toEqual([])
  })

  it("one gateway's ML-DSA key does not count for another's", async () => {
    const other = testKey('other gateway')
    const { crv, kty, x } = other.jwk
    const trust = { ...mlDsaTrust, gateways: [...mlDsaTrust.gateways, { crv, kty, x, mlDsa: stranger.key }] } as const
    expect(failed(await verify({ keys: { ...keys, gateway: other } }, trust))).toEqual(['signature.gateway-ml-dsa'])
  })
})

describe('where the trust file names none', () => {
  it('two signatures are enough, and nothing is said of a third', async () => {
    const verdict = await verify({ mlDsa: null }, sampleTrust)
    expect(verdict).toMatchObject({ decision: 'accept', claims: { mlDsa: null }, notChecked: [] })
    expect(verdict.checks.map((c) => c.rule)).not.toContain('signature.gateway-ml-dsa')
  })

  it('a third signature is shown as of an unknown signer, and counts for nothing', async () => {
    const verdict = await verify({ mlDsa: stranger }, sampleTrust)
    const signer = await thumbprint(stranger.key)
    expect(verdict).toMatchObject({ decision: 'accept', claims: { mlDsa: { signer, trusted: false } } })
    expect(verdict.notChecked).toEqual([`signer of the ML-DSA-65 signature (unknown: ${signer})`])
  })

  it('a third signature does not help a gateway that is unknown', async () => {
    expect(failed(await verify({}, { ...sampleTrust, gateways: [] }))).toEqual(['policy.trusted-gateway'])
    expect(await verify({}, null)).toMatchObject({
      decision: 'reject',
      error: { code: 'SIGNER_UNKNOWN' },
      parsed: { mlDsa: { trusted: false } },
    })
  })
})

describe('whatever the trust file says, a receipt is rejected', () => {
  const swap = (list: readonly Parts[], i: number, j: number): Parts[] =>
    list.map((s, k) => (k === i ? list[j] : k === j ? list[i] : s) as Parts)
  const attacks: readonly (readonly [string, Partial<Plan>, readonly string[]])[] = [
    ['whose third signature stands second', { receipt: signatures((l) => swap(l, 1, 2)) }, ['DOCUMENT_INVALID']],
    ['whose third signature stands first', { receipt: signatures((l) => swap(l, 0, 2)) }, ['DOCUMENT_INVALID']],
    ['whose third signature is there twice', { receipt: signatures((l) => [...l, l[2] as Parts]) }, ['DOCUMENT_INVALID']],
    ['that only the ML-DSA key signed', { receipt: signatures((l) => l.slice(2)) }, ['JWS_MALFORMED']],
    ['that three Ed25519 keys signed', { signers: [keys.job, testKey('s'), keys.gateway] }, ['JWS_MALFORMED']],
    [
      'whose third signature is an Ed25519 signature under another name',
      {
        receipt: (jws) => {
          const { payload } = JSON.parse(fromUtf8(jws)) as { payload: string }
          return signatures((l) => {
            const third = l[2] as Parts
            return [...l.slice(0, 2), { ...third, signature: toBase64Url(keys.gateway.sign(utf8(`${third.protected}.${payload}`))) }]
          })(jws)
        },
      },
      ['SIGNATURE_INVALID'],
    ],
    ['whose third signature is cut', { receipt: signatures((l) => [...l.slice(0, 2), cut(l[2] as Parts)]) }, ['SIGNATURE_INVALID']],
  ]
  it.each(attacks)('%s', async (_, changes, codes) => {
    for (const trust of [mlDsaTrust, sampleTrust, null]) expect(failed(await verify(changes, trust))).toEqual(codes)
  })

  it('whose third signature is of the right key over another receipt', async () => {
    const other = await buildReceipt({ mlDsa: gatewayMlDsa, ending: 'lost' })
    const { signatures: list } = JSON.parse(fromUtf8(Buffer.from(other.file.receipt, 'base64url'))) as { signatures: Parts[] }
    const verdict = await verify({ receipt: signatures((l) => [...l.slice(0, 2), list.at(-1) as Parts]) })
    expect(failed(verdict)).toEqual(['SIGNATURE_INVALID'])
    expect(list.at(-1)?.protected).toBe(toBase64Url(encodeCanonical({ alg: 'ML-DSA-65', jwk: { ...gatewayMlDsa.key }, typ: RECEIPT_TYP })))
  })

  it('with any byte of its file changed, sampled', async () => {
    const { bytes } = await buildReceipt({ mlDsa: gatewayMlDsa })
    expect((await verifyReceiptFile(bytes, { trust: mlDsaTrust })).decision).toBe('accept')
    for (let i = 3; i < bytes.length; i += 499) {
      const changed = bytes.map((b, j) => (j === i ? b ^ 1 : b))
      expect((await verifyReceiptFile(changed, { trust: mlDsaTrust })).decision, `byte ${i}`).toBe('reject')
    }
  })
})

function cut(part: Parts): Parts {
  return { ...part, signature: part.signature.slice(0, -4) }
}

function strip(receipt: string): string {
  return toBase64Url(signatures((list) => list.slice(0, -1))(Buffer.from(receipt, 'base64url')))
}
