import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { fromHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import type { TokenRequirements } from '../../../../../src/verify/evidence/tokens/types.ts'
import { exitCodeOf, type Group } from '../../../../../src/verify/verdict.ts'
import { type EvidenceVerdict, verifyEvidence } from '../../../../../src/verify/verify-evidence.ts'
import {
  b64,
  defined,
  detachedEat,
  EAT_NONCE,
  type EatWorld,
  itaClaims,
  jwt,
  MAA_ISSUER,
  maaClaims,
  TIMES,
  TOKEN_AT,
  tokenSigner,
} from '../../../../support/tokens.ts'

const nras = tokenSigner('ES384')
const ita = tokenSigner('PS384')
const maa = tokenSigner('RS256')
const other = tokenSigner('ES384')

interface Asked {
  readonly trustAnchors?: readonly Uint8Array[]
  readonly nonce?: Uint8Array
  readonly measurement?: Uint8Array
  readonly tokens?: TokenRequirements
  readonly at?: Date
  readonly allowUnknown?: readonly Group[]
}

function look(format: 'nras-eat' | 'ita-jwt' | 'maa-jwt' | 'auto', token: Uint8Array, asked: Asked = {}): Promise<EvidenceVerdict> {
  const trustAnchors = [nras.jwks, ita.jwks, maa.jwks].slice(
    ...({ 'nras-eat': [0, 1], 'ita-jwt': [1, 2], 'maa-jwt': [2, 3], auto: [0, 3] }[format] as [number, number]),
  )
  return verifyEvidence(token, { format, collateral: [], trustAnchors, at: TOKEN_AT, allowUnknown: [], ...asked })
}

/** The rules that object; of a token that cannot be read, its error code. */
function troubles(verdict: EvidenceVerdict): readonly string[] {
  if (verdict.decision === 'reject' && verdict.parsed === null) return [verdict.error?.code ?? '']
  return verdict.checks.filter((c) => c.outcome !== 'pass').map((c) => `${c.rule}=${c.outcome}`)
}

async function eat(world: EatWorld, asked: Asked = {}): Promise<readonly string[]> {
  return troubles(await look('nras-eat', detachedEat(nras, world), asked))
}

describe('an answer of NRAS', () => {
  it('is accepted with everything that can be asked', async () => {
    const asked = { nonce: fromHex(EAT_NONCE), tokens: { deviceCount: 2 } }
    const verdict = await look('nras-eat', detachedEat(nras), asked)
    expect(troubles(verdict)).toEqual([])
    expect(verdict).toMatchObject({
      decision: 'accept',
      claims: { tee: 'nvidia-gpu', verifier: 'nras', measurement: null, reportData: EAT_NONCE, debug: false },
    })
    expect(troubles(await look('nras-eat', detachedEat(nras, { devices: ['SWITCH-0'] })))).toEqual([])
  })

  const names = 'GPU-0'
  it.each<[string, EatWorld, readonly string[]]>([
    [
      'about a failed attestation, though it is signed',
      { overall: { 'x-nvidia-overall-att-result': false } },
      ['policy.overall-result=fail'],
    ],
    ['with a result that is text', { overall: { 'x-nvidia-overall-att-result': 'true' } }, ['policy.overall-result=fail']],
    ['without a result', { overall: { 'x-nvidia-overall-att-result': undefined } }, ['policy.overall-result=fail']],
    ['of another issuer', { overall: { iss: 'https://nras.example' } }, ['policy.issuer=fail']],
    [
      'whose device comes from another issuer',
      { submodule: (n) => (n === names ? { iss: 'https://nras.example' } : {}) },
      ['policy.issuer=fail'],
    ],
    ['about something else', { overall: { sub: 'OTHER' } }, ['format.token=fail']],
    ['of a version to come', { overall: { 'x-nvidia-ver': '4.0' } }, ['format.token=fail']],
    ['that has expired', { overall: { exp: TIMES.iat + 5 } }, ['validity.token=fail']],
    ['that is not valid yet', { overall: { nbf: TIMES.exp } }, ['validity.token=fail']],
    ['that was issued tomorrow', { overall: { iat: TIMES.exp } }, ['validity.token=fail']],
    ['without an end', { overall: { exp: undefined } }, ['DOCUMENT_INVALID']],
    ['whose device has expired', { submodule: (n) => (n === names ? { exp: TIMES.iat } : {}) }, ['validity.gpu-0=fail']],
    ['with a device that is missing', { detached: ({ 'GPU-1': one = '' }) => ({ 'GPU-1': one }) }, ['signature.digests=fail']],
    [
      'with a device that nobody named',
      { detached: (d) => ({ ...d, 'GPU-2': d[names] ?? '' }) },
      ['signature.digests=fail', 'policy.distinct-devices=fail'],
    ],
    ['with devices exchanged', { detached: (d) => ({ 'GPU-0': d['GPU-1'] ?? '', 'GPU-1': d[names] ?? '' }) }, ['signature.digests=fail']],
    [
      'with a digest of another algorithm',
      { submods: (s) => ({ ...s, 'GPU-0': ['DIGEST', ['SHA256', '00']] }) },
      ['signature.digests=fail'],
    ],
    ['with no devices', { devices: [] }, ['DOCUMENT_INVALID']],
    ['with a device signed by somebody else', { submoduleSigner: other }, ['signature.submodules=fail']],
    ['with a device that failed', { submodule: (n) => (n === names ? { measres: 'fail' } : {}) }, ['policy.gpu-0=fail']],
    ['with a device that says nothing', { submodule: (n) => (n === names ? { measres: undefined } : {}) }, ['policy.gpu-0=fail']],
    ['with a device in debug mode', { submodule: (n) => (n === names ? { dbgstat: 'enabled' } : {}) }, ['debug.gpu-0=fail']],
    [
      'with a device with another nonce',
      { submodule: (n) => (n === names ? { eat_nonce: '00'.repeat(32) } : {}) },
      ['freshness.gpu-0=fail'],
    ],
    [
      'with a device whose report has another nonce',
      { submodule: (n) => (n === names ? { 'x-nvidia-gpu-attestation-report-nonce-match': false } : {}) },
      ['policy.gpu-0=fail', 'freshness.gpu-0=fail'],
    ],
    [
      'with a finding that is false',
      { submodule: (n) => (n === names ? { 'x-nvidia-gpu-arch-check': false } : {}) },
      ['policy.gpu-0=fail'],
    ],
    [
      'with a revoked certificate',
      { submodule: (n) => (n === names ? { 'x-nvidia-gpu-driver-rim-cert-chain': { 'x-nvidia-cert-ocsp-status': 'revoked' } } : {}) },
      ['policy.gpu-0=fail'],
    ],
    [
      'with an error beside the result',
      { submodule: (n) => (n === names ? { 'x-nvidia-error-details': { code: 4010 } } : {}) },
      ['policy.gpu-0=fail'],
    ],
    ['with one device twice', { submodule: () => ({ ueid: '1' }) }, ['policy.distinct-devices=fail']],
    ['with devices without identity', { submodule: () => ({ ueid: undefined }) }, ['policy.distinct-devices=fail']],
    ['with alg none', { overallHeader: { alg: 'none' } }, ['signature.token=fail']],
    ['with alg HS256', { overallHeader: { alg: 'HS256' } }, ['signature.token=fail']],
    ['with alg ES256', { overallHeader: { alg: 'ES256' } }, ['signature.token=fail']],
    ['with a key that nobody named', { overallHeader: { kid: 'attacker' } }, ['signature.token=fail']],
    ['without a key', { overallHeader: { kid: undefined } }, ['signature.token=fail']],
    ['with something critical in its header', { overallHeader: { crit: ['exp'] } }, ['EVIDENCE_UNSUPPORTED']],
    ['with a payload that is not encoded', { overallHeader: { b64: false } }, ['EVIDENCE_UNSUPPORTED']],
  ])('%s is refused', async (_, world, rules) => {
    expect(await eat(world)).toEqual(rules)
  })

  it('brings no key of its own', async () => {
    const jwk = (JSON.parse(new TextDecoder().decode(other.jwks)) as { keys: Record<string, string>[] }).keys[1] ?? {}
    const token = detachedEat(other, { overallHeader: { jwk, jku: 'https://attacker.example/jwks' } })
    expect(troubles(await look('nras-eat', token))).toEqual(['signature.token=fail', 'signature.submodules=fail'])
  })

  it('is not believed without named signers, and collateral names none', async () => {
    const unnamed = await look('nras-eat', detachedEat(nras), { trustAnchors: [] })
    expect(unnamed).toMatchObject({ decision: 'reject', authentic: false })
    expect(troubles(unnamed)).toEqual(['signature.token=unknown', 'signature.submodules=unknown'])
    expect(exitCodeOf(unnamed.checks)).toBe(6)
    const options = { format: 'nras-eat', trustAnchors: [], at: TOKEN_AT, allowUnknown: [] } as const
    expect((await verifyEvidence(detachedEat(nras), { ...options, collateral: [nras.jwks] })).decision).toBe('reject')
  })

  it('is held against nonce and count', async () => {
    expect(await eat({}, { nonce: new Uint8Array(32) })).toEqual(['freshness.nonce=fail'])
    expect(await eat({}, { nonce: fromHex(EAT_NONCE).slice(0, 31) })).toEqual(['freshness.nonce=fail'])
    expect(await eat({}, { tokens: { deviceCount: 8 } })).toEqual(['policy.device-count=fail'])
    expect(await eat({}, { measurement: new Uint8Array(48) })).toEqual(['reference-values.measurement=fail'])
    expect(await eat({}, { tokens: { issuer: 'https://nras.example' } })).toEqual(['policy.issuer=fail'])
  })

  it.each([
    ['nothing', ''],
    ['an object', '{}'],
    ['three parts', '[["JWT","a.b.c"],{},{}]'],
    ['another kind', '[["CWT","a.b.c"],{"GPU-0":"a.b.c"}]'],
    ['a name that is none', '[["JWT","e30.e30."],{"__proto__":"e30.e30."}]'],
    ['bytes that are no text', '\u00ff'],
  ])('that is %s is refused', async (_, text) => {
    const verdict = await look('nras-eat', text === '' ? Uint8Array.of(0x20) : Uint8Array.from(text, (c) => c.charCodeAt(0)))
    expect(verdict).toMatchObject({ decision: 'reject', authentic: false, parsed: null })
  })
})

describe('tokens by content', () => {
  it.each([
    ['nras-eat', detachedEat(nras)],
    ['ita-jwt', utf8(jwt(itaClaims(), ita))],
    ['maa-jwt', utf8(jwt(maaClaims(), maa))],
  ])('a %s is nothing that is known', async (_, token) => {
    expect(troubles(await look('auto', token))).toEqual(['EVIDENCE_UNRECOGNIZED'])
  })
})

describe('a token of Intel Trust Authority', () => {
  async function token(
    claims: Parameters<typeof jwt>[0],
    asked: Asked = {},
    header: Parameters<typeof jwt>[2] = {},
  ): Promise<readonly string[]> {
    return troubles(await look('ita-jwt', utf8(jwt(claims, ita, header)), asked))
  }

  it('is accepted in both versions, with what can be asked', async () => {
    const asked = { nonce: fromHex('d7'.repeat(64)), measurement: fromHex('a1'.repeat(48)) }
    expect(await token(itaClaims(), asked)).toEqual([])
    const { tdx, ...rest } = itaClaims()
    expect(await token({ ...rest, ...(tdx as object) }, asked)).toEqual([])
    const sgx = {
      sgx_mrenclave: 'a1'.repeat(32),
      sgx_report_data: 'd7'.repeat(64),
      sgx_is_debuggable: false,
      attester_tcb_status: 'UpToDate',
    }
    expect(await token({ ...rest, sgx }, { measurement: fromHex('a1'.repeat(32)) })).toEqual([])
  })

  it.each<[string, Parameters<typeof jwt>[0], readonly string[]]>([
    ['about a TD in debug mode', itaClaims({ tdx_is_debuggable: true }), ['debug.token=fail']],
    ['whose two words about debugging differ', itaClaims({ dbgstat: 'enabled' }), ['debug.token=fail']],
    ['that says nothing of debugging', itaClaims({ tdx_is_debuggable: undefined, dbgstat: undefined }), ['debug.token=unknown']],
    ['about a platform that is out of date', itaClaims({ attester_tcb_status: 'OutOfDate' }), ['tcb.status=fail']],
    ['that says nothing of the TCB', itaClaims({ attester_tcb_status: undefined }), ['tcb.status=unknown']],
    ['with a policy that did not match', itaClaims({}, { policy_ids_unmatched: [{ id: '1' }] }), ['policy.matched=fail']],
    ['with one, said among the claims of the TEE', itaClaims({ policy_ids_unmatched: [{ id: '1' }] }), ['policy.matched=fail']],
    ['of another issuer', itaClaims({}, { iss: 'https://portal.trustauthority.intel.com.attacker.example' }), ['policy.issuer=fail']],
    ['about no TEE', { iss: 'https://portal.trustauthority.intel.com', ...TIMES, attester_type: 'TPM' }, ['EVIDENCE_UNSUPPORTED']],
    ['with a short measurement', itaClaims({ tdx_mrtd: 'a1' }), ['DOCUMENT_INVALID']],
  ])('%s is refused', async (_, claims, rules) => {
    expect(await token(claims)).toEqual(rules)
  })

  it('signed with the public key as a secret is refused', async () => {
    const signed = `${b64('{"alg":"HS256","kid":"service-key"}')}.${b64(JSON.stringify(defined(itaClaims())))}`
    const forged = `${signed}.${b64(createHmac('sha256', ita.jwks).update(signed).digest())}`
    expect(troubles(await look('ita-jwt', utf8(forged)))).toEqual(['signature.token=fail'])
  })

  it('under the keys of another service is refused', async () => {
    expect(await token(itaClaims(), { trustAnchors: [maa.jwks] })).toEqual(['signature.token=fail'])
    expect(await token(itaClaims(), {}, { alg: 'RS256' })).toEqual(['signature.token=fail'])
    expect(await token(itaClaims(), {}, { alg: 'ES384' })).toEqual(['signature.token=fail'])
  })

  it('held against another nonce or measurement is refused', async () => {
    expect(await token(itaClaims(), { nonce: new Uint8Array(64) })).toEqual(['freshness.nonce=fail'])
    expect(await token(itaClaims(), { nonce: new Uint8Array(65) })).toEqual(['freshness.nonce=fail'])
    expect(await token(itaClaims(), { measurement: new Uint8Array(48) })).toEqual(['reference-values.measurement=fail'])
  })

  it('cut off anywhere or changed anywhere is refused', async () => {
    const text = jwt(itaClaims(), ita)
    for (let size = 0; size < text.length; size += 3)
      expect((await look('ita-jwt', utf8(` ${text.slice(0, size)}`))).decision).toBe('reject')
    for (let i = 0; i < text.length; i += 5) {
      const changed = `${text.slice(0, i)}${text[i] === 'A' ? 'B' : 'A'}${text.slice(i + 1)}`
      expect((await look('ita-jwt', utf8(changed))).decision).toBe('reject')
    }
  })
})

describe('a token of Azure Attestation', () => {
  const tokens = { issuer: MAA_ISSUER }
  async function token(claims: Parameters<typeof jwt>[0], asked: Asked = { tokens }): Promise<readonly string[]> {
    return troubles(await look('maa-jwt', utf8(jwt(claims, maa)), asked))
  }
  const tdx = {
    'x-ms-attestation-type': 'tdxvm',
    tdx_mrtd: 'a1'.repeat(48),
    tdx_report_data: 'd7'.repeat(64),
    tdx_td_attributes_debug: false,
    attester_tcb_status: 'UpToDate',
  }

  it('is accepted for each TEE of a confidential VM', async () => {
    expect(await token(maaClaims(), { tokens, measurement: fromHex('b2'.repeat(48)), nonce: fromHex('d7'.repeat(64)) })).toEqual([])
    expect(await token(maaClaims(tdx))).toEqual([])
    const guest = { iss: MAA_ISSUER, ...TIMES, 'x-ms-attestation-type': 'azurevm', 'x-ms-isolation-tee': defined(maaClaims()) }
    expect(await token(guest)).toEqual([])
  })

  it('is refused as long as nobody says which instance is trusted', async () => {
    expect(await token(maaClaims(), {})).toEqual(['policy.issuer=unknown'])
    expect(await token(maaClaims(), { allowUnknown: ['policy'] })).toEqual(['policy.issuer=unknown'])
    expect((await look('maa-jwt', utf8(jwt(maaClaims(), maa)), { allowUnknown: ['policy'] })).decision).toBe('accept')
  })

  it.each<[string, Parameters<typeof jwt>[0], readonly string[]]>([
    ['of another instance', maaClaims({ iss: 'https://attacker.eus.attest.azure.net' }), ['policy.issuer=fail']],
    ['about a guest in debug mode', maaClaims({ 'x-ms-sevsnpvm-is-debuggable': true }), ['debug.token=fail']],
    ['that says nothing of debugging', maaClaims({ 'x-ms-sevsnpvm-is-debuggable': undefined }), ['debug.token=unknown']],
    ['about a guest that does not comply', maaClaims({ 'x-ms-compliance-status': 'none' }), ['policy.compliance=fail']],
    ['that says nothing of compliance', maaClaims({ 'x-ms-compliance-status': undefined }), ['policy.compliance=fail']],
    ['about something else', maaClaims({ 'x-ms-attestation-type': 'constructor' }), ['EVIDENCE_UNSUPPORTED']],
    ['about a guest without a TEE', maaClaims({ 'x-ms-attestation-type': 'azurevm' }), ['DOCUMENT_INVALID']],
    ['about a TD that is out of date', maaClaims({ ...tdx, attester_tcb_status: 'OutOfDate' }), ['tcb.status=fail']],
  ])('%s is refused', async (_, claims, rules) => {
    expect(await token(claims)).toEqual(rules)
  })

  it('of an address that is not Azure is refused even where that is allowed to be unknown', async () => {
    const asked = { allowUnknown: ['policy' as const] }
    for (const iss of ['https://attest.azure.net.example', 'http://a.attest.azure.net', 'https://a.attest.azure.net/x'])
      expect(await token(maaClaims({ iss }), asked)).toEqual(['policy.issuer=fail'])
  })
})
