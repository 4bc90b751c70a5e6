import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { u16, u32 } from '../../../../../src/sim/little-endian.ts'
import { concat, toHex, utf8 } from '../../../../../src/verify/bytes/bytes.ts'
import { parseSha1Log } from '../../../../../src/verify/evidence/tdx/event-log/tcg-log.ts'
import type { EvidenceVerdict } from '../../../../../src/verify/verify-evidence.ts'
import { outcomeOf } from '../../../../support/outcome.ts'
import { attest, digest, type HashName, NONCE, TestAk, troublesOf, verifyTpm } from '../../../../support/tpm-maker.ts'

interface Logged {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
}

const SHA256 = 11
const SHA384 = 12

/** A TCG crypto-agile log with digests of both banks. */
function log(events: readonly Logged[], algorithms: readonly number[] = [SHA256, SHA384]): Uint8Array {
  const list = algorithms.map((id) => concat(u16(id), u16(id === SHA256 ? 32 : 48)))
  const spec = concat(utf8('Spec ID Event03\0'), u32(0), Uint8Array.of(0, 2, 0, 2), u32(algorithms.length), ...list, Uint8Array.of(0))
  const header = concat(u32(0), u32(3), new Uint8Array(20), u32(spec.length), spec)
  const body = events.map(({ pcr, type, data }) => {
    const digests = algorithms.map((id) => concat(u16(id), digest(id === SHA256 ? 'sha256' : 'sha384', data)))
    return concat(u32(pcr), u32(type), u32(algorithms.length), ...digests, u32(data.length), data)
  })
  return concat(header, ...body)
}

/** A log of the older form: no header, SHA-1 alone. */
function sha1Log(events: readonly Logged[]): Uint8Array {
  return concat(...events.map(({ pcr, type, data }) => concat(u32(pcr), u32(type), digest('sha1', data), u32(data.length), data)))
}

const EVENTS: readonly Logged[] = [
  { pcr: 0, type: 8, data: utf8('firmware 1\0') },
  { pcr: 7, type: 4, data: new Uint8Array(4) },
  { pcr: 0, type: 4, data: new Uint8Array(4) },
  { pcr: 9, type: 0x0d, data: utf8('kernel') },
]
const STARTUP: Logged = { pcr: 0, type: 3, data: concat(utf8('StartupLocality\0'), Uint8Array.of(3)) }
const NOTE: Logged = { pcr: 0xffffffff, type: 3, data: utf8('SP800-155 Event3') }

/** The PCRs that these events lead to. */
function values(events: readonly Logged[], bank: HashName = 'sha256', locality = 0): readonly Uint8Array[] {
  const size = digest(bank).length
  return Array.from({ length: 24 }, (_, pcr) => {
    const start = new Uint8Array(size).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0)
    if (pcr === 0) start[size - 1] = locality
    const own = events.filter((e) => e.pcr === pcr && e.type !== 3)
    return own.reduce<Uint8Array>((value, e) => digest(bank, value, digest(bank, e.data)), start)
  })
}

const ak = new TestAk('p256')

async function verify(pcrs: readonly Uint8Array[], logs: readonly Uint8Array[], bank: HashName = 'sha256'): Promise<EvidenceVerdict> {
  const selections = [{ bank, pcrs: pcrs.map((_, i) => i) }] as const
  const quote = attest({ selections, pcrDigest: digest('sha256', ...pcrs) })
  const collateral = [ak.sign(quote), utf8(JSON.stringify(pcrs.map(toHex))), ak.publicArea()]
  return verifyTpm(quote, collateral, { trustAnchors: [ak.spki], nonce: NONCE, eventLogs: logs })
}

describe('an event log of a TPM', () => {
  it.each(['sha256', 'sha384'] as const)('leads to the quoted PCRs of the bank %s', async (bank) => {
    const verdict = await verify(values(EVENTS, bank), [log(EVENTS)], bank)
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict.checks.map((c) => c.rule).filter((r) => /pcr\d/.test(r))).toHaveLength(9)
    expect(verdict).toMatchObject({
      claims: {
        events: [
          { pcr: 0, type: 'EV_S_CRTM_VERSION', content: { kind: 'text', text: 'firmware 1' }, contentIsMeasured: true },
          { pcr: 7, type: 'EV_SEPARATOR' },
          { pcr: 0, type: 'EV_SEPARATOR' },
          { pcr: 9, type: 'EV_IPL' },
        ],
      },
    })
  })

  it('begins PCR 0 with the locality of the start', async () => {
    expect(troublesOf(await verify(values(EVENTS, 'sha256', 3), [log([STARTUP, ...EVENTS])]))).toEqual([])
    expect(troublesOf(await verify(values(EVENTS), [log([STARTUP, ...EVENTS])]))).toEqual(['binding.pcr0=fail'])
  })

  it('may hold notes about the platform, and filler', async () => {
    expect(troublesOf(await verify(values(EVENTS), [concat(log([NOTE, ...EVENTS]), new Uint8Array(64).fill(0xff))]))).toEqual([])
  })

  it.each([
    ['an event left out', EVENTS.slice(1)],
    ['an event added', [...EVENTS, { pcr: 7, type: 4, data: utf8('more') }]],
    ['an event changed', EVENTS.map((e, i) => (i === 0 ? { ...e, data: utf8('firmware 2\0') } : e))],
    ['events turned around', [EVENTS[2], EVENTS[1], EVENTS[0]].flatMap((e) => (e === undefined ? [] : [e]))],
    ['nothing in it', []],
  ])('is refused with %s', async (_, events) => {
    expect(troublesOf(await verify(values(EVENTS), [log(events)])).join()).toMatch(/binding\.pcr[07]=fail/)
  })

  it('does not account for PCRs that software extends later', async () => {
    const pcrs = values([...EVENTS, { pcr: 10, type: 0, data: utf8('ima') }, { pcr: 9, type: 0, data: utf8('initrd') }])
    const verdict = await verify(pcrs, [log(EVENTS)])
    expect([troublesOf(verdict), verdict.notChecked]).toEqual([[], ['measurement', 'pcr9', 'pcr10']])
    expect(verdict).toMatchObject({ claims: { events: [{ pcr: 0 }, { pcr: 7 }, { pcr: 0 }] } })
  })

  it('is refused without digests of the bank, for a PCR that no TPM has, or as something else', async () => {
    const code = async (bytes: Uint8Array): Promise<unknown> => (await verify(values(EVENTS), [bytes])).checks[0]?.got
    expect(await code(log(EVENTS, [SHA384]))).toMatch(/EVIDENCE_UNSUPPORTED.*no sha256 digests/)
    expect(await code(log([{ pcr: 24, type: 4, data: new Uint8Array(4) }]))).toMatch(/measurement register 24/)
    expect(await code(log([{ pcr: 0xfffffffe, type: 3, data: new Uint8Array(4) }]))).toMatch(/EVIDENCE_UNSUPPORTED/)
    expect(await code(utf8('{}'))).toMatch(/EVIDENCE_UNRECOGNIZED/)
  })

  it('says nothing without the values of the PCRs', async () => {
    const quote = attest()
    const verdict = await verifyTpm(quote, [ak.sign(quote), ak.publicArea()], { trustAnchors: [ak.spki], eventLogs: [log(EVENTS)] })
    expect(troublesOf(verdict)).toEqual(['binding.pcr-digest=unknown', 'binding.event-log=unknown'])
  })
})

describe('an event log of the older form', () => {
  it('leads to the quoted PCRs of the bank sha1, notes and filler or not', async () => {
    const filled = concat(sha1Log([NOTE, STARTUP, ...EVENTS]), new Uint8Array(64).fill(0xff))
    expect(troublesOf(await verify(values(EVENTS, 'sha1'), [sha1Log(EVENTS)], 'sha1'))).toEqual([])
    const verdict = await verify(values(EVENTS, 'sha1', 3), [filled], 'sha1')
    expect(troublesOf(verdict)).toEqual([])
    expect(verdict).toMatchObject({ claims: { events: [{ pcr: 0, contentIsMeasured: true }, { pcr: 7 }, { pcr: 0 }, { pcr: 9 }] } })
  })

  it('is refused with an event changed, for a PCR that no TPM has, and for every other bank', async () => {
    const [first, ...rest] = EVENTS as [Logged, ...Logged[]]
    const changed = [{ ...first, data: utf8('firmware 2\0') }, ...rest]
    expect(troublesOf(await verify(values(EVENTS, 'sha1'), [sha1Log(changed)], 'sha1'))).toEqual(['binding.pcr0=fail'])
    const stray = await verify(values(EVENTS, 'sha1'), [sha1Log([{ ...first, pcr: 24 }])], 'sha1')
    expect(stray.checks[0]?.got).toMatch(/EVIDENCE_UNSUPPORTED.*measurement register 24/)
    for (const bank of ['sha256', 'sha384'] as const)
      expect((await verify(values(EVENTS, bank), [sha1Log(EVENTS)], bank)).checks[0]?.got).toMatch(/EVIDENCE_UNRECOGNIZED/)
  })

  it('cut off anywhere is refused, unless an event ends there or nothing but zeros is left, which could be filler', async () => {
    const bytes = sha1Log(EVENTS)
    const ends = EVENTS.map((_, i) => sha1Log(EVENTS.slice(0, i)).length)
    for (let n = 0; n < bytes.length; n++) {
      const got = await outcomeOf(() => parseSha1Log(bytes.subarray(0, n), 23))
      const rest = bytes.subarray(Math.max(...ends.filter((end) => end <= n)), n)
      expect([n, got]).toEqual([n, rest.every((b) => b === 0) ? 'accepted' : 'EVIDENCE_TRUNCATED'])
    }
  })

  it('fails only with an AttestError, whatever the bytes', async () => {
    const start = fc.constantFrom(new Uint8Array(), sha1Log(EVENTS), sha1Log([NOTE]))
    const bytes = fc.tuple(start, fc.uint8Array({ maxLength: 200 })).map((parts) => concat(...parts))
    await fc.assert(fc.asyncProperty(bytes, async (log) => void (await outcomeOf(() => parseSha1Log(log, 23)))))
  })
})
