import { createHash, createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AMD_HIERARCHIES, AMD_ROOTS } from '../../../../src/verify/trust/amd.ts'

const authorities = AMD_HIERARCHIES.flatMap(({ product, ark, ask, asvk }) =>
  [ark, ask, asvk].map((facts) => ({ product, name: facts.commonName, facts, ark })),
)

describe('the anchors of AMD', () => {
  it('are those of Milan, Genoa and Turin, each key once', () => {
    expect(AMD_HIERARCHIES.map((h) => h.product)).toEqual(['Milan', 'Genoa', 'Turin'])
    expect(new Set(authorities.map((a) => a.facts.spkiSha256)).size).toBe(9)
    expect(new Set(authorities.map((a) => a.facts.serial)).size).toBe(9)
  })

  it.each(authorities)('hold for $name: the key is RSA-4096 and has the fingerprint that stands beside it', ({ facts }) => {
    const spki = Buffer.from(facts.spki, 'base64')
    expect(createHash('sha256').update(spki).digest('hex')).toBe(facts.spkiSha256)
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    expect([key.asymmetricKeyType, key.asymmetricKeyDetails?.modulusLength]).toEqual(['rsa', 4096])
    expect(facts.certificateSha256).toMatch(/^[0-9a-f]{64}$/)
  })

  it.each(authorities)('hold for $name: issued by its ARK, valid for 25 years, published by AMD', ({ product, facts, ark }) => {
    expect(facts.issuerCommonName).toBe(`ARK-${product}`)
    expect(facts.commonName).toMatch(new RegExp(`^(ARK|SEV|SEV-VLEK)-${product}$`))
    expect(Date.parse(facts.notBefore)).toBeGreaterThanOrEqual(Date.parse(ark.notBefore))
    expect(new Date(facts.notAfter).getUTCFullYear() - new Date(facts.notBefore).getUTCFullYear()).toBe(25)
    expect(facts.published).toMatch(new RegExp(`^https://kdsintf\\.amd\\.com/(vcek|vlek)/v1/${product}/cert_chain$`))
  })

  it('do not hold the first ASK of Genoa, which AMD revoked', () => {
    expect(authorities.map((a) => a.facts.serial)).not.toContain('020001')
    expect(AMD_ROOTS.flatMap((r) => r.intermediates.map((i) => i.serial))).toContain('020002')
  })
})
